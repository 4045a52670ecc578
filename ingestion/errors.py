"""What can go wrong with a source, sorted by what the caller has to do.

    SourceError
    ├── Unavailable          wait, then try again: timeouts, connection errors, 429, 5xx
    │   ├── RateLimited      the source, or our own budget, says when (retry_after)
    │   └── BudgetSpent      the month's calls are used up: the run stops as partial, the next month goes on
    ├── Refused              a person must act: key, plan, address, a file that is not there
    │   └── Unknown          only this one thing is not there; the others may be
    └── Malformed            the payload can't be read: keep it, reject the record (or fail the page), raise the alarm

A message is one sentence that names the culprit; it never holds a key.
"""

from __future__ import annotations


class SourceError(Exception):
    """Anything that a source, a file or a network can do to a run."""


class Unavailable(SourceError):
    """Waiting can cure it. `retry_after` is the source's own word in seconds, None if it gave none."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Unavailable):
    """429, 402 used as 429, or our own limiter: no call was possible now."""


class BudgetSpent(Unavailable):
    """Going on would overspend the month's calls. `retry_after` reaches into the next month."""


class Refused(SourceError):
    """Waiting does not help: a wrong key, a plan too small, an unknown address, a missing file."""


class Unknown(Refused):
    """404: what was asked for by its name is not there."""


class Malformed(SourceError):
    """What came can't be read as what it should be. `field` names the place where that is known."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field
