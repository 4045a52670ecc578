"""A source's own past, in pieces: one call for one coin and one stretch of time, kept as received before it is read.

What is wanted, less what the table of pieces holds, is what is asked for: so a backfill that was killed goes on where
it was, one that is wanted again next week asks for the week alone, and nothing is fetched twice. The calls pass the
same gate as all others, and leave the month's sweeps what they need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

from django.db import connection, transaction

from assets import backfilled, store
from assets.filters import resolve
from assets.models import Source as SourceRow
from ingestion.errors import Malformed, Unknown
from ingestion.gate import calls_made, first_of_next_month
from ingestion.models import BackfillPiece, Run
from ingestion.parsing import as_bytes, as_text, clean
from ingestion.registry import Configured
from ingestion.source import Http, HttpResponse, Past, PastPoint
from ingestion.sources.json_items import GENESIS

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
INTERVALS = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}
WORDS = {"1h": "an hour", "1d": "a day"}
#: What lies at the end of a plan's reach is out of it before a long backfill comes to it.
MARGIN = timedelta(days=1)


class Forbidden(Exception):
    """The plan does not give what is wanted; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Coin:
    """A listing of the source."""

    listing_id: int
    own_id: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One call."""

    coin: Coin
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill is going to do."""

    interval: str
    begin: datetime
    end: datetime
    coins: int
    pieces: tuple[Piece, ...]
    spare: int | None
    """Calls of this month that the sweeps do not need; None: no limit."""

    @property
    def points(self) -> int:
        return sum((piece.end - piece.begin) // INTERVALS[self.interval] for piece in self.pieces)


def coins_of(source: SourceRow, names: Sequence[str]) -> list[Coin]:
    """The coins of these names (the source's own ids, or asset ids, former ones too), or all that it lists.

    The largest first. Raises LookupError with the names that it does not list.
    """
    rows = listed(source, names)
    present = {name: name for name in names}
    for name in unlisted(names, rows):
        if (asset := resolve(name)) is not None:
            present[name] = asset[1]
    if present.keys() != set(present.values()):
        rows = listed(source, [*present.values()])
    if missing := [name for name, now in present.items() if unlisted([now], rows)]:
        raise LookupError(", ".join(sorted(missing)))
    return [Coin(listing_id, own_id) for listing_id, own_id, _ in rows]


def listed(source: SourceRow, names: Sequence[str]) -> list[tuple[int, str, str]]:
    """(listing, own id, asset id) of the source's coins of these names, the present ones; all living ones for none."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT listing.id, listing.source_asset_id, asset.slug
               FROM assets_listing listing JOIN assets_quote quote ON quote.listing_id = listing.id
               JOIN assets_asset asset ON asset.id = listing.asset_id
               WHERE listing.source_id = %(source)s AND (
                   CASE WHEN %(all)s THEN listing.delisted_at IS NULL
                   ELSE listing.source_asset_id = ANY(%(names)s) OR asset.slug = ANY(%(names)s) END)
               ORDER BY quote.rank NULLS LAST, listing.source_asset_id""",
            {"source": source.pk, "all": not names, "names": list(names)},
        )
        return cursor.fetchall()


def unlisted(names: Sequence[str], rows: Sequence[tuple[int, str, str]]) -> set[str]:
    return set(names) - {name for _, own_id, slug in rows for name in (own_id, slug)}


def interval_for(config: Configured, past: Past, days: int, wanted: str | None) -> str:
    """The interval to ask for: the one wanted, or the closest that the plan gives for so long. Raises Forbidden."""
    reach = past.reach[config.options.plan]
    given = [name for name, back in reach.items() if back is None or timedelta(days=days) <= back]
    if wanted is None and given:
        return given[0]
    if wanted in given:
        return wanted
    gives = " and ".join(f"a point {WORDS[name]} {in_words(back)}" for name, back in reach.items())
    asked = f"a point {WORDS[wanted]} for " if wanted else ""
    raise Forbidden(f"{config.source.title}'s {config.options.plan} plan gives {gives}, not {asked}{days:,} days.")


def in_words(back: timedelta | None) -> str:
    if back is None:
        return "without limit"
    return "for the last day" if back.days == 1 else f"for the last {back.days:,} days"


def planned(
    source: SourceRow, config: Configured, past: Past, coins: Sequence[Coin], days: int, interval: str, now: datetime
) -> Plan:
    """What is wanted and not there."""
    step = INTERVALS[interval]
    back = past.reach[config.options.plan][interval]
    end = EPOCH + (now - EPOCH) // step * step
    begin = max(end - timedelta(days=days), GENESIS)
    if back is not None:
        # A reach of a day has no day to spare.
        within = now - back + min(MARGIN, back / 24)
        begin = max(begin, EPOCH - (EPOCH - within) // step * step)
    there = stretches(source, coins, [name for name in INTERVALS if INTERVALS[name] <= step])
    pieces = tuple(
        Piece(coin, *stretch)
        for coin in coins
        for stretch in missing(begin, end, there.get(coin.listing_id, []), past.longest[interval])
    )
    return Plan(interval, begin, end, len(coins), pieces, spare_calls(source, config, now))


def stretches(
    source: SourceRow, coins: Iterable[Coin], intervals: Sequence[str]
) -> dict[int, list[tuple[datetime, datetime]]]:
    """What is there of each listing, at least as close as these intervals, in order."""
    found: dict[int, list[tuple[datetime, datetime]]] = {}
    ids = [coin.listing_id for coin in coins]
    there = BackfillPiece.objects.filter(source=source, listing_id__in=ids, interval__in=intervals)
    for listing_id, begin, end in there.order_by("begin").values_list("listing_id", "begin", "end"):
        found.setdefault(listing_id, []).append((begin, end))
    return found


def missing(
    begin: datetime, end: datetime, there: Iterable[tuple[datetime, datetime]], longest: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """The stretches from `begin` to `end` that are not there, none longer than `longest`. `there` is in order."""
    for left, right in [*there, (end, end)]:
        until = min(left, end)
        while begin < until:
            yield begin, (begin := min(begin + longest, until))
        begin = max(begin, right)


def spare_calls(source: SourceRow, config: Configured, now: datetime) -> int | None:
    """Calls of this month that are left when its sweeps to come have had theirs; None: no limit."""
    if config.limits.per_month is None:
        return None
    left = config.limits.per_month - calls_made(source, now)
    sweep = Run.objects.filter(source=source, whole=True, pages__gt=0).order_by("-pk").values_list("pages", flat=True)
    sweeps = (first_of_next_month(now) - now) / timedelta(seconds=source.interval_seconds) if source.enabled else 0
    return max(left - int(sweeps * (sweep.first() or 1)), 0)


def fetch(http: Http, past: Past, source: SourceRow, interval: str, piece: Piece) -> BackfillPiece:
    """The piece is stored as received, or as unknown to its source. Raises SourceError."""
    try:
        answer = past.ask(http, piece.coin.own_id, interval, piece.begin, piece.end)
    except Unknown as unknown:
        return keep(source, interval, piece, None, str(unknown))
    return keep(source, interval, piece, answer)


def keep(source: SourceRow, interval: str, piece: Piece, answer: HttpResponse | None, error: str = "") -> BackfillPiece:
    row = BackfillPiece(
        source=source,
        listing_id=piece.coin.listing_id,
        interval=interval,
        begin=piece.begin,
        end=piece.end,
        state=BackfillPiece.State.STORED if answer else BackfillPiece.State.UNKNOWN,
        error=error,
    )
    with transaction.atomic():
        if answer:
            digest = sha256(answer.body).digest()
            text, encoding = as_text(answer.body, answer.encoding)
            with connection.cursor() as cursor:
                # A row that is there is locked, so that retention keeps from it.
                cursor.execute(
                    """INSERT INTO ingestion_rawbody AS body (sha256, text, encoding, size) VALUES (%s, %s, %s, %s)
                       ON CONFLICT (sha256) DO UPDATE SET stored_at = now()""",
                    [digest, text, encoding, len(answer.body)],
                )
            row.body_id, row.url, row.headers = digest, answer.url[:2000], dict(answer.headers)
        row.save(force_insert=True)
    row.refresh_from_db()
    return row


def unread(source: SourceRow) -> Iterator[BackfillPiece]:
    """Pieces that were stored and not read: their process died, or they could not be read then."""
    yield from (piece for piece in kept(source) if piece.state != BackfillPiece.State.DONE)


def kept(source: SourceRow, since: datetime | None = None) -> Iterator[BackfillPiece]:
    """Pieces whose answer is there as received (since then), in the order in which they came."""
    pieces = BackfillPiece.objects.filter(source=source, body__isnull=False).select_related("body")
    pieces = pieces.filter(received_at__gte=since) if since else pieces
    yield from pieces.order_by("pk").iterator(chunk_size=20)


def read(piece: BackfillPiece, past: Past) -> int:
    """The points of the piece are in the tables; how many were news. One that can't be read says why."""
    if piece.body is None:
        return 0
    try:
        points = past.parse(as_bytes(piece.body), piece.received_at)
    except Malformed as error:
        piece.state, piece.error = BackfillPiece.State.FAILED, clean(str(error))
        piece.save(update_fields=["state", "error"])
        return 0
    # Some sources send a point at the very end, or the present one.
    points = [point for point in points if piece.begin <= point.observed_at < piece.end]
    return store.with_partitions(partial(write, piece, points))


def write(piece: BackfillPiece, points: Sequence[PastPoint]) -> int:
    with transaction.atomic():
        store.need_partitions(point.observed_at for point in points)
        written = backfilled.add(piece.listing_id, points)
        BackfillPiece.objects.filter(pk=piece.pk).update(state=BackfillPiece.State.DONE, error="", points=written)
    return written
