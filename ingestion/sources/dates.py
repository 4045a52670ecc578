"""Reading times as people write them: ISO 8601, `24.05.2026`, `11/19/2022`, `Sep 10, 2021`, `20131006`, Unix time.

A time without a zone is UTC. Which of two numbers is the day in `03/04/2021` is one fact of a file, found by looking at
its values (`DayOrder`): a first number above 12 proves the day, a second one above 12 the month; where no value tells,
the month comes first, as in the United States, but with dots (`03.04.2021`) always the day.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

_ZONE = r"(?:\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_CLOCK = (
    r"(?:(?:T|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?" + _ZONE + r")?"
)


def _form(date: str) -> re.Pattern[str]:
    return re.compile(date + _CLOCK, re.IGNORECASE | re.ASCII)


_YEAR_FIRST = _form(r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})")
_YEAR_LAST = _form(r"(?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})")
_COMPACT = _form(r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})")
_MONTH_NAMED = _form(r"(?P<name>[a-zä]{3,12})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})")
_DAY_THEN_NAME = _form(
    r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?(?:\s+|-)(?:de\s+)?(?P<name>[a-zä]{3,12})\.?,?(?:\s+|-)(?:de\s+)?(?P<year>\d{4}|\d{2})"
)
_UNIX = re.compile(r"(?P<seconds>\d{10})(?P<rest>\d{3}|\d{6}|\d{9})?(?:\.(?P<fraction>\d*))?", re.ASCII)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII).fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: The first three letters of the months in English, Spanish, Portuguese and German.
_MONTHS = "jan ene;feb fev;mar mär mrz;apr abr;may mai;jun;jul;aug ago;sep set;oct out okt;nov;dec dic dez"
MONTHS = {name: number for number, names in enumerate(_MONTHS.split(";"), 1) for name in names.split()}


class DayOrder:
    """Which comes first in `03/04/2021`, found from as many values as it is shown."""

    def __init__(self) -> None:
        self.day_first = False
        self.proven = False
        self.doubtful = False
        """True when a value of this form was seen."""

    def see(self, text: str) -> None:
        """Learns from one value; once proven, it stays."""
        written = None if self.proven else _YEAR_LAST.fullmatch(text.strip())
        if written is None or written["mark"] == ".":
            return
        self.doubtful = True
        one, two = int(written["one"]), int(written["two"])
        if (one > 12) != (two > 12):
            self.day_first, self.proven = one > 12, True


@lru_cache(maxsize=4096)
def read_time(text: str, day_first: bool = False) -> datetime:
    """The aware UTC time that a person, or a program, wrote. Raises ValueError with a sentence."""
    tidy = text.strip()
    try:
        if _ISO(tidy):  # the usual form, at the speed of the standard library
            moment = datetime.fromisoformat(tidy)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if written := _YEAR_FIRST.fullmatch(tidy) or _COMPACT.fullmatch(tidy):
            return _time(int(written["year"]), int(written["month"]), int(written["day"]), written)
        if written := _UNIX.fullmatch(tidy):
            micros = f"{written['rest'] or ''}{written['fraction'] or ''}"[:6].ljust(6, "0")
            return _EPOCH + timedelta(seconds=int(written["seconds"]), microseconds=int(micros))
        if written := _YEAR_LAST.fullmatch(tidy):
            day, month = int(written["one"]), int(written["two"])
            if not (day_first or written["mark"] == "."):
                day, month = month, day
            return _time(_year(written["year"]), month, day, written)
        if written := _MONTH_NAMED.fullmatch(tidy) or _DAY_THEN_NAME.fullmatch(tidy):
            month = MONTHS.get(written["name"][:3].lower(), 0)
            return _time(_year(written["year"]), month, int(written["day"]), written)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"is no time: {text[:60]!r}")


def _year(text: str) -> int:
    return int(text) + (2000 if len(text) == 2 else 0)


def _time(year: int, month: int, day: int, clock: re.Match[str]) -> datetime:
    hour = int(clock["hour"] or 0)
    if clock["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a clock with twelve")
        hour = hour % 12 + (12 if clock["half"][0] in "pP" else 0)
    micros = int((clock["fraction"] or "")[:6].ljust(6, "0"))
    zone: timezone = UTC
    if (name := clock["zone"]) and name[0] in "+-":
        offset = timedelta(hours=int(name[1:3]), minutes=int(name[-2:]))
        zone = timezone(-offset if name[0] == "-" else offset)
    moment = datetime(year, month, day, hour, int(clock["minute"] or 0), int(clock["second"] or 0), micros, zone)
    return moment.astimezone(UTC)


def is_time(text: str) -> bool:
    """True when the text reads as a time in either order of day and month."""
    for day_first in (False, True):
        try:
            read_time(text, day_first)
        except ValueError:
            continue
        return True
    return False
