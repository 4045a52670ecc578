"""The admin's login: after a few wrong passwords an address waits, whether the next one is right or wrong.

Counted in Redis, for all webs together; while that is away, in this process, as people must get in just then.
"""

from __future__ import annotations

from math import ceil
from time import monotonic
from typing import Any

from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

from cryptoetl.limits import Taken, address, take

#: Tries in that many seconds: of an address at one account, and at all of them.
AT_ONE, AT_ALL, SECONDS = 5, 20, 300

_here: dict[str, list[float]] = {}


class LoginForm(AuthenticationForm):
    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username", ""))[:150].casefold()
        who = address(self.request)
        for bucket, limit in ((f"login:{who}:{name}", AT_ONE), (f"login:{who}", AT_ALL)):
            taken = take(bucket, limit, SECONDS) or take_here(bucket, limit, SECONDS)
            if not taken.allowed:
                raise ValidationError(
                    f"Too many tries: the next one is possible in {ceil(taken.wait)} seconds.", code="throttled"
                )
        return dict(super().clean())


def take_here(bucket: str, limit: int, seconds: int) -> Taken:
    """As `limits.take`, counted by this process alone."""
    now = monotonic()
    for name in [name for name, times in _here.items() if times[-1] < now - seconds]:
        del _here[name]
    times = _here.setdefault(bucket, [])
    times[:] = [time for time in times if time > now - seconds]
    if len(times) >= limit:
        return Taken(False, limit, seconds, 0, seconds, times[0] + seconds - now)
    times.append(now)
    return Taken(True, limit, seconds, limit - len(times), seconds, 0)
