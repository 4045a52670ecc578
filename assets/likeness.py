"""How alike two listings are by their texts alone: symbol, name and id. Pure.

Each kind of likeness has a score, says whether it stands by itself, only where there are no figures to ask, or not at
all, and which figures lift it when it does not.
Symbols are shared by dozens of coins, so a symbol needs something independent beside it: a name that says more than the
symbol, or the id that both sources gave the coin when they listed it and kept through every renaming.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from assets.figures import APART, Comparison
from assets.names import EMPTY, GENERIC, NAMING, NameParts, Reading, likeness

#: Share of letter pairs from which two names look like spellings of one.
ALIKE = 0.6
#: A symbol of so many letters with which a longer one begins is that one cut short: some sources allow ten characters.
CUT_SHORT = 8


@dataclass(frozen=True, slots=True)
class Likeness:
    method: str
    score: float
    stands: bool
    """Enough by itself when nothing speaks against it and no rival is as good."""
    bare: bool = False
    """Enough where one of the two has no figures that could be compared: where both have, they must agree."""
    lifted_by: Callable[[Comparison], bool] = lambda figures: False
    """Whether these figures are enough where it does not stand by itself."""
    leading: bool = False
    """As `bare`, if one of the two is a leading coin: those are listed everywhere, so little else can be meant."""
    bears: Decimal = APART
    """How far apart prices may be. The surer the texts, the likelier that one price is only stale."""
    quiet: bool = False
    """Not worth a person's look unless some figure agrees."""


def _any(figures: Comparison) -> bool:
    return figures.price or figures.size


def _size(figures: Comparison) -> bool:
    return figures.size


def _both(figures: Comparison) -> bool:
    return figures.price and figures.size


EXACT = Likeness("same symbol and name", 0.87, True, bears=Decimal(10))
LISTED_AS = Likeness("same symbol, listed under the same id", 0.87, True, bears=Decimal(10))
LISTED_ALIKE = Likeness(
    "same symbol, listed under the same id, names differ by a word that tells nothing", 0.87, True, bears=Decimal(10)
)
ALIAS = Likeness("same symbol, one name is the other's note", 0.87, True)
EMPTY_WORDS = Likeness("same symbol, names differ by a word that tells nothing", 0.78, True)
CUT_SYMBOL = Likeness("same name, one symbol is the other cut short", 0.78, True)
SHORTENED = Likeness("same symbol, one name is the other shortened", 0.69, True)
LONGER = Likeness("same symbol, one name has generic words more", 0.60, False, True, _any)
WITH_SYMBOL = Likeness("same symbol, which one name has beside the other name", 0.55, False, True, _any)
NAMED_AS = Likeness("same symbol, one has the other's name as its id", 0.49, False, lifted_by=_any)
CLOSE = Likeness("same symbol, names differ by generic words", 0.48, False, lifted_by=_any)
MAYBE_LONGER = Likeness(
    "same symbol, one name has generic words more that may tell", 0.48, False, lifted_by=_any, leading=True
)
UNTOLD = Likeness("same symbol, a name is missing or only repeats it", 0.47, False, lifted_by=_any)
REPEATED = Likeness("same symbol, which is also one of the names", 0.41, False, lifted_by=_any, quiet=True)
NAME_ONLY = Likeness("same name, a symbol is missing", 0.47, False, lifted_by=_any)
OTHER_SYMBOL = Likeness("same name, another symbol", 0.46, False, lifted_by=_any)
ALIKE_NAMES = Likeness("same symbol, names are alike", 0.44, False, lifted_by=_size)
ID_ONLY = Likeness("listed under the same id", 0.42, False, lifted_by=_both)
SYMBOL_ONLY = Likeness("same symbol", 0.40, False, lifted_by=_both, quiet=True)
MARKED = Likeness("same symbol and id, but one name is marked as another token", 0.35, False)
ABBREVIATED = Likeness(
    "one name and id, one symbol is the name, the other an abbreviation of it", 0.30, False, True, _any
)
RENAMED = Likeness("listed under the same id, one is called as the other's symbol", 0.30, False, True, _any)


def compare_texts(a: Reading, b: Reading) -> Likeness | None:
    """The strongest likeness of the two; None when nothing but chance connects them."""
    same_name = bool(a.compact) and a.compact == b.compact
    if a.symbol and a.symbol == b.symbol:
        return EXACT if same_name else _with_one_symbol(a, b)
    if same_name:
        return _with_one_name(a, b) if a.symbol and b.symbol else NAME_ONLY
    if (a.slugs & b.slugs & {a.slug, b.slug}) - {a.symbol, b.symbol} and a.parts.marks == b.parts.marks:
        return _with_one_id(a, b)
    return None


def _with_one_name(a: Reading, b: Reading) -> Likeness:
    shorter, longer = sorted((a.symbol, b.symbol), key=len)
    if len(shorter) >= CUT_SHORT and longer.startswith(shorter):
        return CUT_SYMBOL
    return ABBREVIATED if a.slugs & b.slugs and _one_abbreviates(a, b, a.compact) else OTHER_SYMBOL


def _with_one_id(a: Reading, b: Reading) -> Likeness:
    if not a.symbol or not b.symbol:
        return ID_ONLY
    # A symbol that only repeats its own coin's name says nothing new.
    if a.symbol == b.compact != a.parts.core or b.symbol == a.compact != b.parts.core:
        return RENAMED
    return ABBREVIATED if _by_empty_words(a.parts, b.parts) and _one_abbreviates(a, b, a.parts.core) else ID_ONLY


def _by_empty_words(a: NameParts, b: NameParts) -> bool:
    """Whether the names are the same but for words that tell nothing."""
    return bool(a.core) and a.core == b.core and a.generic ^ b.generic <= EMPTY


def _one_abbreviates(a: Reading, b: Reading, name: str) -> bool:
    """Whether one symbol is the name, and the other an abbreviation of it."""
    return (a.symbol == name and _abbreviates(b.symbol, name)) or (b.symbol == name and _abbreviates(a.symbol, name))


def _abbreviates(symbol: str, name: str) -> bool:
    """Whether the letters of the symbol stand in the name in this order, the first first; "coin" may be thought of."""
    return len(symbol) > 1 and symbol[0] == name[0] and any(_within(symbol, name + end) for end in ("coin", "token"))


def _within(letters: str, text: str) -> bool:
    rest = iter(text)
    return all(letter in rest for letter in letters)


def _with_one_symbol(a: Reading, b: Reading) -> Likeness | None:
    symbol, ours, theirs = a.symbol, a.parts, b.parts
    listed_as = a.slugs & b.slugs
    named_as = (a.compact in b.slugs) + (b.compact in a.slugs)
    if ours.marks != theirs.marks:
        if "note " + b.compact in ours.marks or "note " + a.compact in theirs.marks:
            return ALIAS
        return MARKED if listed_as - {symbol} else None
    one_core = bool(ours.core) and ours.core == theirs.core
    by_empty_words = _by_empty_words(ours, theirs)
    if listed_as - {symbol} or (listed_as and by_empty_words) or named_as == 2:
        return LISTED_ALIKE if by_empty_words else LISTED_AS
    if by_empty_words and (ours.core != symbol or ours.marks):
        return EMPTY_WORDS
    if ours.initial == theirs.initial and (
        _shortens(ours.words, theirs.words, symbol) or _shortens(theirs.words, ours.words, symbol)
    ):
        return SHORTENED
    longer, more = _one_is_longer(ours, theirs), ours.generic ^ theirs.generic
    if one_core and longer and ours.core != symbol and more.isdisjoint(NAMING):
        return LONGER
    if longer and (_with_symbol(ours, theirs, symbol) or _with_symbol(theirs, ours, symbol)):
        return WITH_SYMBOL
    if named_as:
        return NAMED_AS
    if one_core:
        # Whoever copies a coin calls it that coin's token, and whoever likes one founds a DAO.
        return MAYBE_LONGER if longer and more.isdisjoint(("token", "coin", "dao")) else CLOSE
    alike = a.compact in b.compact or b.compact in a.compact or _alike(a, b)
    if not a.told or not b.told:
        return UNTOLD if alike else REPEATED
    return ALIKE_NAMES if alike else SYMBOL_ONLY


def _alike(a: Reading, b: Reading) -> bool:
    # Names of very different length have too few letter pairs in common to be worth counting them.
    shorter, longer = sorted((len(a.compact), len(b.compact)))
    return 2 * shorter >= ALIKE * (shorter + longer) and likeness(a, b) >= ALIKE


def _one_is_longer(a: NameParts, b: NameParts) -> bool:
    """Whether only one of the two has generic words that the other lacks, but for those that tell nothing."""
    ours, theirs = a.generic - EMPTY, b.generic - EMPTY
    return ours <= theirs or theirs <= ours


def _with_symbol(a: NameParts, b: NameParts, symbol: str) -> bool:
    """Whether the second name is the first with the symbol before or behind it."""
    if not a.core or a.core == symbol:
        return False
    if b.core == symbol + a.core:
        return b.words[0] == symbol
    return b.core == a.core + symbol and b.words[-1].startswith(symbol)


def _shortens(a: tuple[str, ...], b: tuple[str, ...], symbol: str) -> bool:
    """`a` lacks last words of `b`, where the symbol spells all of `b`; or `a` has words of `b` cut to one letter."""
    if 2 <= len(a) < len(b):
        return b[: len(a)] == a and "".join(word[0] for word in b) == symbol
    if len(a) != len(b) or a == b:
        return False
    telling = False
    for ours, theirs in zip(a, b, strict=True):
        if ours == theirs:
            telling |= len(ours) > 3 and ours not in GENERIC
        elif ours != theirs[0]:
            return False
    return telling
