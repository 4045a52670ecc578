"""Measures the rule of identity on whole lists of two sources: recall, false joins, and every error with its why.

Pure: files in, figures out. Curated facts and people's decisions are left out, so that the rule alone is measured.
"""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from assets.identity import Listing, Resolution, resolve, verdict

Pair = tuple[str, str]
#: What the fields of a list are called, in the providers' JSON and in CSV files made of it.
ALIASES = {
    "id": ("id", "coin_id", "slug"),
    "symbol": ("symbol", "ticker"),
    "name": ("name",),
    "rank": ("rank", "rnk", "market_cap_rank"),
    "price_usd": ("price_usd", "current_price", "price"),
    "market_cap": ("market_cap", "market_cap_usd"),
    "circulating_supply": ("circulating_supply",),
    "total_supply": ("total_supply",),
    "max_supply": ("max_supply",),
    "observed_at": ("last_updated", "observed_at"),
}


class UnreadableFile(Exception):
    """A list or a file of pairs is not one; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Error:
    kind: str
    """missed: a true pair was not joined; wrong: a coin of one was joined to another; false: a negative was joined."""
    left: Listing
    right: Listing
    why: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    seconds: float
    joined: int
    doubtful: tuple[tuple[Listing, Listing, float, str], ...]
    truth: int
    """True pairs of which both coins are in the lists; the others can't be judged."""
    found: int
    negatives: int
    errors: tuple[Error, ...]

    @property
    def recall(self) -> float | None:
        return self.found / self.truth if self.truth else None

    def count(self, kind: str) -> int:
        return sum(error.kind == kind for error in self.errors)


def evaluate(
    left: Iterable[Listing], right: Iterable[Listing], truth: Sequence[Pair] = (), negatives: Sequence[Pair] = ()
) -> Evaluation:
    ours = {listing.source_asset_id: listing for listing in left}
    theirs = {listing.source_asset_id: listing for listing in right}
    started = time.perf_counter()
    resolution = resolve([*ours.values(), *theirs.values()], curated=())
    seconds = time.perf_counter() - started

    by_key = {listing.key: listing for listing in (*ours.values(), *theirs.values())}
    partner: dict[str, Listing] = {}
    for group in resolution.groups:
        if len(group) == 2:
            partner[group[0]], partner[group[1]] = by_key[group[1]], by_key[group[0]]

    true_pairs = _known(truth, ours, theirs)
    errors = []
    for a, b in true_pairs:
        if partner.get(a.key) is b:
            continue
        errors.append(Error("missed", a, b, _why_missed(a, b, resolution)))
        for one, other in ((a, partner.get(a.key)), (partner.get(b.key), b)):
            if one and other:
                errors.append(Error("wrong", one, other, _why_joined(other.key, resolution)))
    known_negatives = _known(negatives, ours, theirs)
    errors += [
        Error("false", a, b, _why_joined(b.key, resolution)) for a, b in known_negatives if partner.get(a.key) is b
    ]
    return Evaluation(
        seconds=seconds,
        joined=len(partner) // 2,
        doubtful=tuple((by_key[d.a], by_key[d.b], d.score, "; ".join(d.reasons)) for d in resolution.doubtful),
        truth=len(true_pairs),
        found=sum(partner.get(a.key) is b for a, b in true_pairs),
        negatives=len(known_negatives),
        errors=tuple(errors),
    )


def _known(
    pairs: Iterable[Pair], ours: Mapping[str, Listing], theirs: Mapping[str, Listing]
) -> list[tuple[Listing, Listing]]:
    """The pairs of which both coins are listed, whichever of the two columns is which list's."""
    as_written = [(ours[a], theirs[b]) for a, b in pairs if a in ours and b in theirs]
    turned = [(ours[b], theirs[a]) for a, b in pairs if b in ours and a in theirs]
    return as_written if len(as_written) >= len(turned) else turned


def _why_missed(a: Listing, b: Listing, resolution: Resolution) -> str:
    for doubt in resolution.doubtful:
        if {doubt.a, doubt.b} == {a.key, b.key}:
            return f"doubtful ({doubt.score:.2f}): {'; '.join(doubt.reasons)}"
    alone = verdict(a, b, curated=())
    return f"{alone.outcome} by themselves: {'; '.join(alone.reasons)}"


def _why_joined(key: str, resolution: Resolution) -> str:
    why = resolution.reasons[key]
    return f"{why.confidence:.2f}: {'; '.join(why.reasons)}"


# --- reading ------------------------------------------------------------------------------------------------------


def read_list(path: Path, source: str, identity_rank: int) -> list[Listing]:
    """A list of coins, a page of tickers or of markets as JSON, or a CSV with a header. Raises UnreadableFile."""
    text = _text(path)
    items = _json_items(path, text) if text.lstrip()[:1] in ("[", "{") else _csv_rows(path, text)
    listings = {}
    for item in items:
        listing = _listing(item, source, identity_rank)
        if listing.source_asset_id:
            listings[listing.source_asset_id] = listing
    if not listings:
        raise UnreadableFile(f"{path} lists no coin: it needs the fields id, name and symbol.")
    return list(listings.values())


def read_pairs(path: Path) -> list[Pair]:
    """The two ids of each row: the first two columns whose names say that they hold one. Raises UnreadableFile."""
    rows = _csv_rows(path, _text(path))
    columns = [name for name in (rows[0] if rows else {}) if re.search(r"(^|_)id(_|$)|^(left|right)$", name)]
    if len(columns) < 2:
        raise UnreadableFile(f"{path} holds no pairs: it needs a header with two columns of ids.")
    return [(row[columns[0]], row[columns[1]]) for row in rows]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"{path} can't be read: {(error.strerror or str(error)).lower()}.") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path} is not UTF-8 text.") from error


def _json_items(path: Path, text: str) -> list[Mapping[str, Any]]:
    try:
        data = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise UnreadableFile(f"{path} is not JSON: {error}.") from error
    if isinstance(data, dict):
        data = next((value for value in data.values() if isinstance(value, list)), None)
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise UnreadableFile(f"{path} holds no list of coins.")
    return data


def _csv_rows(path: Path, text: str) -> list[dict[str, str]]:
    header = text.partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    try:
        reader = csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter)
        return [
            {(name or "").strip().lower(): (value or "").strip() for name, value in row.items() if name is not None}
            for row in reader
        ]
    except csv.Error as error:
        raise UnreadableFile(f"{path} is not a CSV file: {error}.") from error


def _listing(item: Mapping[str, Any], source: str, identity_rank: int) -> Listing:
    dollars = (item.get("quotes") or {}).get("USD") or {}
    found = {
        field: next((item[name] for name in names if item.get(name) not in (None, "")), None)
        for field, names in ALIASES.items()
    }
    symbol, name = str(found["symbol"] or ""), str(found["name"] or "")
    platforms = item.get("platforms") or {}
    rank = _positive(found["rank"])
    return Listing(
        source=source,
        source_asset_id=str(found["id"] or "-".join(filter(None, (symbol.lower(), name.lower().replace(" ", "-"))))),
        symbol=symbol,
        name=name,
        identity_rank=identity_rank,
        price_usd=_positive(dollars.get("price", found["price_usd"])),
        market_cap=_positive(dollars.get("market_cap", found["market_cap"])),
        circulating_supply=_positive(found["circulating_supply"]),
        total_supply=_positive(found["total_supply"]),
        max_supply=_positive(found["max_supply"]),
        rank=int(rank) if rank else None,
        contracts=tuple(f"{chain}:{address}".lower() for chain, address in platforms.items() if chain and address),
        observed_at=_moment(found["observed_at"]),
    )


def _positive(value: Any) -> Decimal | None:
    """None for what a source writes when it does not know: nothing, 0, or a text that is no number."""
    try:
        number = Decimal(str(value).replace(",", "").lstrip("$#"))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > 0 else None


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
