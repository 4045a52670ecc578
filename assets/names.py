"""Reads a coin's name, symbol and id: what is the same under another spelling, and what marks another token.

Pure text, standard library only. No coin is named here: the words below say what kind of thing a token is, never which.
A mark (wrapped, staked, an old version, a note in brackets) on one of two names means that they are not the same token.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import NamedTuple

#: Words that one source writes in a name and another leaves out.
GENERIC = frozenset(
    {"token", "coin", "network", "protocol", "finance", "chain", "blockchain", "dao", "defi", "crypto", "currency"}
    | {"cryptocurrency", "platform", "project", "ecosystem", "foundation", "official", "app", "labs"}
    | {"io", "com", "org", "net", "the"}
)
#: Those of them that tell no two coins apart. The others do now and then: a coin named after a city is not the city's.
EMPTY = frozenset({"token", "the", "io", "com", "org", "net"})
#: Those of them with which another coin's name is made: a coin named after a city, a chain named after a coin.
NAMING = frozenset({"coin", "cryptocurrency", "currency", "chain", "blockchain"})
#: Generic words that also stand glued to the end of a name.
GLUED = ("token", "coin", "network", "protocol", "finance", "chain", "dao", "defi")
#: Words that make another token out of a coin: worth the same, perhaps, and still not the same.
DERIVED = frozenset(
    {"wrapped", "bridged", "bridge", "pegged", "peg", "staked", "staking", "stake", "liquid", "synthetic", "synth"}
    | {"legacy", "old", "deprecated", "migrated", "vault", "lp", "long", "short", "leveraged"}
    | {"erc20", "bep2", "bep20", "trc20", "trc10", "spl", "brc20", "qrc20"}
)
#: Notes in brackets that tell nothing: the newer of two is the plain one, the older carries the mark.
PLAIN_NOTES = frozenset({"", "new"})
#: How a note begins that says what a coin was called before.
_FORMERLY = re.compile(r"(?:ex|prev(?:ious(?:ly)?)?|former(?:ly)?|fka)[\W_]", re.IGNORECASE)

_NOTE = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_VERSION = re.compile(r"v\d+(?:\.\d+)*|\d+\.0")
_GLUED_VERSION = re.compile(r"(?<=[^\W\d])v([2-9])$")
_ON_CHAIN = re.compile(r"(?<=\w )(?:on|via) (\w.*)$")
_BETWEEN_WORDS = re.compile(r"[^\w.]+|_+|(?<!\d)\.|\.(?!\d)")
_SPELLED_OUT = str.maketrans({"'": "", "’": "", "&": " and ", "+": " plus "})
#: Signs that would be read as letters.
_NO_LETTERS = str.maketrans("", "", "™℠")
_DIGITS = "0123456789"
_NOT_ALNUM = {code: None for code in range(128) if not chr(code).isalnum()}


class NameParts(NamedTuple):
    words: tuple[str, ...]
    """The words of the name, without notes and marks."""
    initial: str
    """The letter that they begin with."""
    core: str
    """The same without generic words, compact."""
    generic: frozenset[str]
    """The generic words left out of `core`."""
    marks: frozenset[str]
    """What makes it another token than the plain coin."""


class Reading:
    """One listing's texts. What every listing needs is read at once, the rest when two are compared."""

    __slots__ = ("_keys", "_letter_pairs", "_parts", "compact", "name", "several", "slug", "slugs", "spelled", "symbol")

    def __init__(self, source_asset_id: str, symbol: str, name: str) -> None:
        self.symbol = compact(symbol)
        """Lower case; empty when the source gives none."""
        self.spelled = " ".join(name.split())
        """The name as written: of two namesakes ("MarsInu", "Mars Inu") the one written the same is meant."""
        if "(" in name or "[" in name or "{" in name:
            name = _NOTE.sub(self._telling, name)
        self.name = name if name.strip() else self.spelled
        self.compact = compact(self.name)
        """The whole name without spaces and punctuation; empty when the source gives none."""
        self.slug = compact(source_asset_id)
        """The source's id, compact."""
        self.slugs = frozenset((self.slug, self._id_without_symbol(source_asset_id))) - {""}
        """The id, and the id without the symbol in front: often the name at the time of listing."""
        self.several = "-" in source_asset_id
        """Whether the id has several words."""
        self._parts: NameParts | None = None
        self._letter_pairs: frozenset[tuple[str, str]] | None = None
        self._keys: tuple[str, ...] | None = None

    @property
    def told(self) -> bool:
        """Whether the name says more than the symbol does."""
        return bool(self.compact) and self.compact != self.symbol

    @property
    def parts(self) -> NameParts:
        if self._parts is None:
            self._parts = _take_apart(_plain(self.name))
        return self._parts

    @property
    def keys(self) -> tuple[str, ...]:
        """The texts under which it meets its like; one may come twice."""
        if self._keys is None:
            names = (*self.slugs, self.compact) if self.compact else self.slugs
            symbols = ("symbol:" + self.symbol,) if self.symbol else ()
            self._keys = (*("name:" + name for name in names), *symbols)
        return self._keys

    @property
    def renamed(self) -> bool:
        """Whether its id names it otherwise: its source listed it under another name than it bears now."""
        # An id of one word may be anything: a number, a ticker.
        if not self.several or not self.compact or self.compact in self.slugs:
            return False
        name, listed = self.compact.rstrip(_DIGITS), self.slug.rstrip(_DIGITS)
        if name in (listed, listed.removeprefix(self.symbol)):
            return False
        # What stands behind the name in an id mostly tells a second coin of that name from the first.
        listed = listed.removeprefix(self.symbol) or listed
        return not listed.startswith(name) or listed.removeprefix(name) in GENERIC

    @property
    def letter_pairs(self) -> frozenset[tuple[str, str]]:
        if self._letter_pairs is None:
            self._letter_pairs = frozenset(pairwise(self.compact))
        return self._letter_pairs

    def _id_without_symbol(self, source_asset_id: str) -> str:
        """Compact, empty where the id does not begin with the symbol or tells no name."""
        if self.symbol.isalnum() and not self.slug.startswith(self.symbol):
            return ""  # as most ids
        head, _, rest = source_asset_id.partition("-")
        if compact(head) != self.symbol:
            return ""
        tail = compact(rest)
        # What follows the symbol may also be a number ("the second of that name") or a word like "token".
        return tail if len(tail) > 1 and not tail.isdecimal() and tail not in GENERIC else ""

    def _telling(self, note: re.Match[str]) -> str:
        """The note; a blank when it repeats the symbol, says that this is the new one, or what it was called."""
        text = compact(note.group(1))
        plain = text == self.symbol or text in PLAIN_NOTES or _FORMERLY.match(note.group(1))
        return " " if plain else note.group(0)


def compact(text: str) -> str:
    """Letters and digits of any script, lower case, accents dropped; the bare text where there are none (a face)."""
    plain = _plain(text)
    # What most names and ids hold besides letters and digits is quickly taken out.
    if (bare := plain.replace(" ", "").replace("-", "")).isalnum() and bare.isascii():
        return bare
    letters = plain.translate(_NOT_ALNUM) if plain.isascii() else "".join(filter(str.isalnum, plain))
    return letters or "".join(plain.split())


def likeness(a: Reading, b: Reading) -> float:
    """0 to 1: the share of letter pairs that two names have in common (Dice)."""
    total = len(a.letter_pairs) + len(b.letter_pairs)
    return 2 * len(a.letter_pairs & b.letter_pairs) / total if total else 0.0


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.translate(_NO_LETTERS))
    return "".join(letter for letter in parts if not unicodedata.combining(letter)).casefold()


def _take_apart(name: str) -> NameParts:
    marks: set[str] = set()
    bare = " ".join(name.split())
    if not (plain := bare.isascii() and bare.replace(" ", "").isalnum()):
        marks = {text if (text := compact(note)) in DERIVED else "note " + text for note in _NOTE.findall(name)}
        bare = " ".join(_NOTE.sub(" ", name).split())
        if not bare:
            bare, marks = name, set()
    if (" on " in bare or " via " in bare) and (on_chain := _ON_CHAIN.search(bare)):
        marks.add("on " + compact(on_chain.group(1)))
        bare = bare[: on_chain.start()]
    # Most names are words and blanks, and need none of the regular expressions.
    words = (bare if plain else _BETWEEN_WORDS.sub(" ", bare.translate(_SPELLED_OUT))).split()
    kept = []
    for position, word in enumerate(words):
        if word in DERIVED:
            marks.add(word)
        elif word.isalpha():
            kept.append(word)
        elif position and _VERSION.fullmatch(word):
            marks.add("version " + word.lstrip("v").removesuffix(".0"))
        elif position == len(words) - 1 and (glued := _GLUED_VERSION.search(word)):
            marks.add("version " + glued.group(1))
            kept.append(word[: glued.start()])
        else:
            kept.append(word)
    kept = kept or words
    return NameParts(tuple(kept), kept[0][0] if kept else "", *_core(kept), frozenset(marks))


def _core(words: list[str]) -> tuple[str, frozenset[str]]:
    singular = ["token" if word == "tokens" else "coin" if word == "coins" else word for word in words]
    kept = [word for word in singular if word not in GENERIC]
    if not kept:
        return "".join(words), frozenset()
    generic = {word for word in singular if word in GENERIC}
    if kept[-1].endswith(GLUED):
        for ending in GLUED:
            if kept[-1].endswith(ending) and len(kept[-1]) > len(ending) + 1:
                kept[-1] = kept[-1].removesuffix(ending)
                generic.add(ending)
                break
    return "".join(kept), frozenset(generic)
