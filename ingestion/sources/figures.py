"""Reading numbers as people write them: `$1,234.56`, `76.761,5`, `13.91K`, `-0,08%`, `6.07e-06`, `Rank #65`, `N/A`.

Exact decimals, never through a float. What a text means must not be guessed row by row: whether a comma or a dot marks
the decimals is one fact of a file, found by looking at many values (`decimal_mark`), and a number that does not fit it
(`5.9` where dots group thousands) is refused, not read as 59. Money is US dollars; another currency's sign is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal

from assets.records import MAX_EXPONENT

#: What people write where they know no number; compared in lower case, without spaces, currency and percent signs.
UNKNOWN = frozenset(
    {"", "-", "--", "---", "–", "—", "?", "n/a", "na", "#n/a", "nan", "null", "none", "nil", "unknown", "∞"}
)

#: How many zeros a suffix stands for. K, M, B and T as crypto sites use them; Mio. and Mrd. are German.
ZEROS = {
    "k": 3,
    "m": 6,
    "mn": 6,
    "mio": 6,
    "million": 6,
    "b": 9,
    "bn": 9,
    "mrd": 9,
    "billion": 9,
    "t": 12,
    "trillion": 12,
}

_WRITTEN = re.compile(
    r"(?P<sign>[+-]?)\s*(?P<money>us\$|usd|\$)?\s*(?P<sign2>[+-]?)\s*"
    r"(?P<digits>\d{1,3}(?: \d{3}(?!\w))+(?:[.,]\d+)?|\d+(?:[.,'’]\d+)*[.,]?|[.,]\d+)(?:e(?P<exponent>[+-]?\d{1,4}))?"
    r"(?:\s*(?P<suffix>k|mn|mio|million|m|bn|billion|b|mrd|trillion|t)\b\.?)?"
    # A unit stands behind a space, for 19.87MBTC may be millions of BTC or units of MBTC. It may begin as 1INCH does.
    r"(?:\s*(?P<money2>us\$|usd|\$)|\s*(?P<percent>%)|\s+(?P<unit>\d{0,2}[^\d\s.,$%+-]\S{0,19}))?",
    re.IGNORECASE | re.ASCII,
)
#: Of currencies other than the dollar.
SIGNS = "€£¥₹₩₽₿₺₴₦฿Ξ"
_FOREIGN = re.compile(rf"[{SIGNS}]|\b(?:EUR|GBP|JPY|CNY|INR|BRL|CAD|AUD|CHF|BTC|ETH|USDT)\b|(?:R|A|C|AU|CA|HK)\$")
ZERO = Decimal(0)

#: Plain numbers need no looking: these forms make up nearly all of any file, and are read at the speed of one match.
_PLAIN = re.compile(r"-?[0-9]{1,60}(?:\.[0-9]{1,80})?(?:[eE][-+]?[0-9]{1,2})?").fullmatch
_DIGITS = re.compile(r"-?[0-9]{1,60}").fullmatch
_GROUPED_BY_COMMA = re.compile(r"\$?(?:[0-9]{1,60}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,20})(?:\.[0-9]{1,80})?").fullmatch
_WITH_SIGN = re.compile(r"[+-]?[0-9]{1,60}(?:\.[0-9]{1,80})?%").fullmatch
_NEVER = re.compile(r"(?!)").fullmatch

Read = Callable[[str], Decimal | None]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def decimal_mark(texts: Iterable[str]) -> str:
    """`.` or `,`: what marks the decimals in these numbers. Where no value tells, a dot, as in the United States."""
    votes = {".": 0, ",": 0}
    for text in texts:
        digits = re.sub(r"[^\d.,]", "", text).strip(".,")
        last = max(digits.rfind("."), digits.rfind(","))
        if last < 0:
            continue
        mark = digits[last]
        other = "," if mark == "." else "."
        before, after = digits[:last], digits[last + 1 :]
        if mark in before:  # 1,234,567 or 1.234.567: this one groups, so the other one marks.
            votes[other] += other not in before
        elif other in before or len(after) != 3 or before in ("", "0") or len(before) > 3:
            votes[mark] += 1
    return "," if votes[","] > votes["."] else "."


def number(
    text: str, mark: str = ".", *, money: bool = False, percent: bool = False, unit: bool = False
) -> Decimal | None:
    """The number that a person wrote, None for one of the many spellings of "unknown".

    `money` allows a dollar sign, `percent` a percent sign, `unit` a word after a space (`18,777,093.00 BTC`). Raises
    ValueError with a sentence.
    """
    if mark == "." and _PLAIN(text):
        return Decimal(text) or ZERO
    tidy = text.strip().replace("\u2212", "-").replace("\xa0", " ").replace("\u202f", " ").replace("\u2009", " ")
    if re.sub(r"[$%\s]", "", tidy).casefold() in UNKNOWN:
        return None
    if tidy.startswith("(") and tidy.endswith(")"):  # as accountants write a number below zero
        tidy = "-" + tidy[1:-1]
    if len(tidy) > 2 * MAX_EXPONENT:
        raise ValueError(f"has {len(tidy):,} characters, which no market figure has")
    written = _WRITTEN.fullmatch(tidy)
    if written is None or (written["sign"] and written["sign2"]):
        if money and _FOREIGN.search(tidy):
            raise ValueError(f"is not in US dollars: {_shown(text)}")
        raise ValueError(f"is no number: {_shown(text)}")
    if (written["money"] or written["money2"]) and not money:
        raise ValueError(f"is an amount of money where none belongs: {_shown(text)}")
    if written["percent"] and not percent:
        raise ValueError(f"is a percentage where none belongs: {_shown(text)}")
    if written["unit"] and (not unit or written["unit"][0] in SIGNS):
        if money and _FOREIGN.search(tidy):
            raise ValueError(f"is not in US dollars: {_shown(text)}")
        raise ValueError(f"is no number: {_shown(text)}")
    exponent = int(written["exponent"] or 0) + ZEROS.get((written["suffix"] or "").lower(), 0)
    # An exponent in the text, and not a multiplication, which would round to the context's 28 digits.
    value = Decimal(
        f"{written['sign']}{written['sign2']}{_ungrouped(written['digits'].strip(), mark, text)}E{exponent}"
    )
    if value and not -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT:
        raise ValueError(f"is out of any range: {_shown(text)}")
    return value or ZERO


_GROUPED = {
    separator: re.compile(r"[1-9]\d{0,2}(?:S\d{2,3})*S\d{3}".replace("S", re.escape(separator)), re.ASCII).fullmatch
    for separator in ",.'’ "
}


def _ungrouped(digits: str, mark: str, text: str) -> str:
    """`1,234.5` as `1234.5`. Groups have three digits, or two as in India, but the last always three.

    The first begins with no 0: `0,123` is below one, whatever the rest of the file says.
    """
    whole, has_mark, decimals = digits.partition(mark)
    if not whole.isdigit() and whole:
        separators = set(re.sub(r"\d", "", whole))
        if len(separators) > 1 or not _GROUPED["".join(separators)](whole):
            raise ValueError(f"is grouped as no number is, where {mark!r} marks the decimals: {_shown(text)}")
        whole = re.sub(r"\D", "", whole)
    if decimals and not decimals.isdigit():
        raise ValueError(f"is grouped as no number is, where {mark!r} marks the decimals: {_shown(text)}")
    return f"{whole or '0'}.{decimals}" if has_mark else whole


def money(mark: str, *, zero_is_unknown: bool = False) -> Read:
    """A reader of amounts in US dollars. Raises ValueError for what is below zero, or in another currency."""
    return _not_negative(mark, zero_is_unknown, money=True)


def amount(mark: str) -> Read:
    """A reader of amounts of coins, with or without the coin's symbol behind them; 0 is unknown."""
    return _not_negative(mark, True, unit=True)


def _not_negative(mark: str, zero_is_unknown: bool, *, money: bool = False, unit: bool = False) -> Read:
    zero = None if zero_is_unknown else ZERO
    plain = _PLAIN if mark == "." else _DIGITS
    grouped = _GROUPED_BY_COMMA if mark == "." and money else _NEVER

    def read(text: str) -> Decimal | None:
        if plain(text) and text[0] != "-":
            return Decimal(text) or zero
        if grouped(text):
            return Decimal(text.replace(",", "").replace("$", "")) or zero
        value = number(text, mark, money=money, unit=unit)
        if value is not None and value < 0:
            raise ValueError(f"is negative: {_shown(text)}")
        return value or (None if value is None else zero)

    return read


def percentage(mark: str) -> Read:
    """A reader of percentages, with or without the sign: 1.5 is 1.5 %."""
    plain, signed = (_PLAIN, _WITH_SIGN) if mark == "." else (_DIGITS, _NEVER)

    def read(text: str) -> Decimal | None:
        if plain(text):
            return Decimal(text) or ZERO
        return (Decimal(text[:-1]) or ZERO) if signed(text) else number(text, mark, percent=True)

    return read


_RANK = re.compile(r"(?:rank\s*)?#?\s*(\d{1,9})(?:[.,]0+)?", re.IGNORECASE | re.ASCII).fullmatch


def rank(text: str) -> int | None:
    """A rank from 1 (`65`, `65.0`, `#65`, `Rank #65`); None for 0 and for unknown."""
    if text.isdigit() and text.isascii() and len(text) < 10:
        return int(text) or None
    written = _RANK(text.strip())
    if written is None:
        if text.strip().casefold() in UNKNOWN:
            return None
        raise ValueError(f"is no rank: {_shown(text)}")
    return int(written[1]) or None
