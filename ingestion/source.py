"""The shape of a source: facts and three functions. Pure: no Django and no network is needed to read or test one.

A page is the unit of everything: what one response (or one piece of a file) held, stored as received, parsed as often
as wanted. All that parsing needs beside the body is in `Page.meta`, so a stored page can be replayed years later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from assets.records import AssetRecord


@dataclass(frozen=True, slots=True)
class Page:
    """One response, or one piece of a file, as received."""

    body: bytes
    cursor: str | None
    """Where to go on after this page; None when the sweep is whole."""
    url: str
    """Where it came from, without secrets."""
    received_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers worth keeping, lower case, without secrets."""
    status_code: int | None = None
    encoding: str = "utf-8"
    """A Python codec name; `body.decode(encoding)` is the text."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able facts that parsing needs (a CSV's header, delimiter, time of the file)."""
    final_cursor: str | None = None
    """On the last page alone: what the next sweep starts from (a file's end); None starts from the beginning."""
    records: int = 0
    """How many records it holds, readable or not."""
    broken: str = ""
    """Why it can't be read at all: it is kept as received, the checkpoint stays before it, the run fails with this."""

    @classmethod
    def of(cls, response: HttpResponse, *, cursor: str | None, records: int, broken: str = "", items: str = "") -> Page:
        """The page that one response is; `items` is the key of the list where the body is an object that holds it."""
        return cls(
            body=response.body,
            cursor=cursor,
            url=response.url,
            received_at=response.received_at,
            headers=response.headers,
            status_code=response.status_code,
            encoding=response.encoding,
            meta={"items": items} if items else {},
            records=records,
            broken=broken,
        )


@dataclass(frozen=True, slots=True)
class Gone:
    """Files of the cursor that are no longer among those to read: what they held is not there any more."""

    files: tuple[str, ...]
    """As `meta["file"]` of their pages."""
    cursor: str
    """Where the source stands, without them."""


@dataclass(frozen=True, slots=True)
class Item:
    """One record as received, with its place in the page."""

    position: int
    """From 0, counted over every record of the page, the unreadable ones included."""
    data: Any
    """A decoded object, or the Malformed that says why not even that was possible."""
    page: PageFacts
    raw: Any = ""
    """The item as received (text, or JSON bytes), kept with a reject."""

    @property
    def text(self) -> str:
        """The item as received."""
        return self.raw if isinstance(self.raw, str) else bytes(self.raw).decode(errors="replace")


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a parser may know of the page that an item came from."""

    received_at: datetime
    meta: Mapping[str, Any] = field(default_factory=dict)


class Http(Protocol):
    """What a source's fetch() may do with the network. `ingestion.http` is the only implementation."""

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> HttpResponse:
        """One GET below the source's base URL. Raises Unavailable, Refused."""
        ...

    def ahead(self, path: str, params: Mapping[str, str | int] | None = None) -> None:
        """The GET that comes next is under way while its caller is at work; `get` of the same waits for it."""
        ...

    def download(self, url: str) -> HttpFile:
        """A whole body into a temporary file, never in memory. Raises Unavailable, Refused."""
        ...


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response with status 200."""

    body: bytes
    url: str
    received_at: datetime
    status_code: int
    headers: Mapping[str, str]
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class HttpFile:
    """A downloaded body: a file that the caller may read, and what the server said of it."""

    path: str
    url: str
    received_at: datetime
    last_modified: datetime | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Options:
    """What a user configured for a source; made from the settings by the caller, so that sources read none."""

    base_url: str = ""
    api_key: str = ""
    plan: str = ""
    coins: int = 1000
    path: str = ""
    batch_size: int = 1000
    ends_at: int | None = None
    """A page ends at this record, counted from where fetching begins, if the source can choose."""


Fetch = Callable[[Http, str | None, Options], Iterator[Page | Gone]]
Split = Callable[[bytes, str, PageFacts], Iterator[Item]]
Parse = Callable[[Item], AssetRecord]
Identify = Callable[[Item], str]


@dataclass(frozen=True, slots=True)
class Quick:
    """A page read as a whole, several times faster than item by item: for pages that are as documented throughout.

    It gives exactly what `split` and `parse` give, or None where a record is out of the ordinary.
    """

    read: Callable[[bytes, PageFacts], list[AssetRecord] | None]
    numbers: frozenset[str]
    """Dotted paths of the numbers that it reads: a page that holds a text in one of them is not for it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one plan of a source allows. Dates and origin of the figures stand in the source's module."""

    base_url: str
    calls_per_minute: int
    calls_per_month: int | None
    every: timedelta
    key_header: str = ""
    """The header that carries the key; empty where the plan takes none."""


class PastPoint(NamedTuple):
    """What a source says that a coin cost at a moment of the past; None: it does not say."""

    observed_at: datetime
    price_usd: Decimal
    market_cap: Decimal | None
    volume_24h: Decimal | None


@dataclass(frozen=True, slots=True)
class Past:
    """What a source tells of its own past: one coin, one stretch of time, one call. Intervals are `1h` and `1d`."""

    reach: Mapping[str, Mapping[str, timedelta | None]]
    """Of each plan: how far back it goes, by interval; None: without a limit that is known."""
    longest: Mapping[str, timedelta]
    """The longest stretch of one call, by interval."""
    ask: Callable[[Http, str, str, datetime, datetime], HttpResponse]
    """http, the coin's own id, interval, from (inclusive), to. Raises Unavailable, Refused."""
    parse: Callable[[bytes, datetime], list[PastPoint]]
    """body, when it was received -> points. Pure. Raises Malformed."""


@dataclass(frozen=True, slots=True)
class Source:
    """All that the pipeline needs to know of a source."""

    slug: str
    title: str
    home: str
    plans: Mapping[str, Plan]
    fetch: Fetch
    split: Split
    """body, encoding, facts -> the items, one by one. Raises Malformed when the page as a whole can't be read."""
    parse: Parse
    """Pure. Raises Malformed with the field's name."""
    min_records: int
    """A sweep that keeps fewer records than this has failed, however green its status codes were."""
    identity_rank: int
    """Whose id names an asset when several sources know it: the lowest."""
    identify: Identify | None = None
    """The id of the coin that an item is about, be the rest of it unreadable. Pure; raises Malformed without one."""
    known_fields: frozenset[str] = frozenset()
    """Every field handled or ignored by name; another one is drift."""
    nullable: frozenset[str] = frozenset()
    """Fields that are documented, or known, to be null at times."""
    network: bool = True
    """False where a sweep makes no calls that a provider counts."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Its error codes, or status codes, in plain words."""
    quick: Quick | None = None
    says_when: bool = False
    """Every record says its own time, so a body that was received before says nothing new."""
    past: Past | None = None
    """Where it can be asked for its own past: what `manage.py backfill` goes by."""
    rows_behind: Callable[[str | None], int] | None = None
    """For a source whose sweeps go on from where the last one ended: how many records that cursor stands for."""
