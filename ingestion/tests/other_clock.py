"""Runs a module under a wall clock that is wrong: `CLOCK=FILE python other_clock.py MODULE ARGUMENTS...`.

FILE holds the seconds by which the clock is wrong, and may change at any time; so may CLOCK, in a child. Only what
Python reads is moved: a stopwatch (`time.monotonic`) goes on, as it does on a machine whose clock is set.
"""

from __future__ import annotations

import datetime
import os
import runpy
import sys
import time
from pathlib import Path

_real, _time, _time_ns = datetime.datetime, time.time, time.time_ns


def wrong_by() -> float:
    return float(Path(os.environ["CLOCK"]).read_text() or 0)


class _Meta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _real)


class OtherDatetime(_real, metaclass=_Meta):
    """A datetime whose `now` is another's; everything that comes out of it is a real one."""

    def __new__(cls, *arguments, **options):
        return _real(*arguments, **options)

    @classmethod
    def now(cls, tz=None):
        return _real.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return _real.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def fromtimestamp(cls, *arguments, **options):
        return _real.fromtimestamp(*arguments, **options)

    @classmethod
    def fromisoformat(cls, text):
        return _real.fromisoformat(text)

    @classmethod
    def strptime(cls, *arguments):
        return _real.strptime(*arguments)

    @classmethod
    def combine(cls, *arguments, **options):
        return _real.combine(*arguments, **options)


if __name__ == "__main__":
    time.time = lambda: _time() + wrong_by()
    time.time_ns = lambda: _time_ns() + int(wrong_by() * 1e9)
    datetime.datetime = OtherDatetime
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path.cwd())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
