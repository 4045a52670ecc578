"""CoinGecko, GET /coins/markets. Docs: https://docs.coingecko.com/reference/coins-markets (read 2026-06-22). USD, UTC.

Pages of at most 250 by market cap; a short or an empty page is the last. Pages shift while they are read, so a coin may
come twice (the newer word wins) or be missed (three sweeps must miss it before it counts as delisted). A market cap of
0 beside an unknown supply means unknown. Keyless and demo calls share a host; every call counts, failed ones too. The
demo plan allows 10,000 calls a month and 30 a minute (100 since May 2026, which is disputed; 30 is safe): four pages
every 20 minutes are 8,640 to 8,928 a month. No limit is published for keyless calls: they are held to the demo plan's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from assets.records import AssetRecord
from ingestion.errors import Malformed
from ingestion.source import Http, Item, Options, Page, Plan, Quick, Source
from ingestion.sources.coingecko_past import PAST
from ingestion.sources.json_ids import id_in
from ingestion.sources.json_items import (
    ABSENT,
    not_negative,
    number,
    present,
    quick_page,
    rank,
    raw_items,
    split_list,
    text,
    time,
    usual_figure,
    usual_number,
    usual_rank,
    usual_text,
    usual_time,
)

PER_PAGE = 250


class Market(msgspec.Struct):
    """The fields that are read; the rest is ignored by name in FIELDS."""

    id: msgspec.Raw = ABSENT
    symbol: msgspec.Raw = ABSENT
    name: msgspec.Raw = ABSENT
    current_price: msgspec.Raw = ABSENT
    market_cap: msgspec.Raw = ABSENT
    market_cap_rank: msgspec.Raw = ABSENT
    total_volume: msgspec.Raw = ABSENT
    price_change_percentage_24h: msgspec.Raw = ABSENT
    circulating_supply: msgspec.Raw = ABSENT
    total_supply: msgspec.Raw = ABSENT
    max_supply: msgspec.Raw = ABSENT
    last_updated: msgspec.Raw = ABSENT


def fetch(http: Http, cursor: str | None, options: Options) -> Iterator[Page]:
    """One page of markets a call, from behind as many coins as the cursor says to the last of `options.coins`."""
    # As few pages as possible, and all of one size, as the server counts: 300 coins are two pages of 150.
    last = -(-options.coins // PER_PAGE)
    per_page = -(-options.coins // last)
    number_of_page = int(cursor or 0) // per_page + 1
    while True:
        response = http.get("/coins/markets", markets(per_page, number_of_page))
        here, broken, records = str((number_of_page - 1) * per_page), "", 0
        try:
            records = len(raw_items(response.body))
        except Malformed as error:
            broken = str(error)
        after = None if records < per_page or number_of_page >= last else str(number_of_page * per_page)
        if after and not broken:
            http.ahead("/coins/markets", markets(per_page, number_of_page + 1))
        yield Page.of(response, cursor=here if broken else after, records=records, broken=broken)
        if after is None or broken:
            return
        number_of_page += 1


def markets(per_page: int, page: int) -> dict[str, str | int]:
    return {
        "vs_currency": "usd",
        "order": "market_cap_desc",
        "per_page": per_page,
        "page": page,
        "precision": "full",
    }


def parse(item: Item) -> AssetRecord:
    """Pure. Raises Malformed with the field's name."""
    market: Market = item.data
    circulating = not_negative(market.circulating_supply, "circulating_supply", zero_is_unknown=True)
    market_cap = not_negative(market.market_cap, "market_cap")
    if market_cap == 0 and circulating is None:
        market_cap = None
    return AssetRecord(
        source_asset_id=text(market.id, "id", required=True),
        symbol=text(market.symbol, "symbol").upper(),
        name=text(market.name, "name"),
        observed_at=time(market.last_updated, "last_updated", item.page.received_at),
        price_usd=not_negative(present(market.current_price, "current_price"), "current_price"),
        market_cap=market_cap,
        volume_24h=not_negative(market.total_volume, "total_volume"),
        percent_change_24h=number(market.price_change_percentage_24h, "price_change_percentage_24h"),
        rank=rank(market.market_cap_rank, "market_cap_rank"),
        circulating_supply=circulating,
        total_supply=not_negative(market.total_supply, "total_supply", zero_is_unknown=True),
        max_supply=not_negative(market.max_supply, "max_supply", zero_is_unknown=True),
    )


class UsualMarket(msgspec.Struct, gc=False):
    """A market of which every field is as documented."""

    id: str
    current_price: Decimal | None
    last_updated: datetime
    symbol: str | None = None
    name: str | None = None
    market_cap: Decimal | None = None
    market_cap_rank: int | None = None
    total_volume: Decimal | None = None
    price_change_percentage_24h: Decimal | None = None
    circulating_supply: Decimal | None = None
    total_supply: Decimal | None = None
    max_supply: Decimal | None = None


def usual(market: UsualMarket, latest: datetime) -> AssetRecord:
    """As `parse`. Raises Unusual."""
    circulating = usual_figure(market.circulating_supply, None)
    market_cap = usual_figure(market.market_cap)
    return AssetRecord(
        usual_text(market.id, required=True),
        usual_text(market.symbol).upper(),
        usual_text(market.name),
        usual_time(market.last_updated, latest),
        usual_figure(market.current_price),
        None if circulating is None and not market_cap else market_cap,
        usual_figure(market.total_volume),
        usual_number(market.price_change_percentage_24h),
        usual_rank(market.market_cap_rank),
        circulating,
        usual_figure(market.total_supply, None),
        usual_figure(market.max_supply, None),
    )


NUMBERS = frozenset(
    {
        "current_price",
        "market_cap",
        "market_cap_rank",
        "total_volume",
        "price_change_percentage_24h",
        "circulating_supply",
        "total_supply",
        "max_supply",
    }
)
IGNORED = """image fully_diluted_valuation high_24h low_24h price_change_24h market_cap_change_24h
market_cap_change_percentage_24h ath ath_change_percentage ath_date atl atl_change_percentage atl_date roi roi.times
roi.currency roi.percentage market_cap_rank_with_rehypothecated price_change_percentage_1h_in_currency
price_change_percentage_24h_in_currency price_change_percentage_7d_in_currency price_change_percentage_14d_in_currency
price_change_percentage_30d_in_currency price_change_percentage_200d_in_currency
price_change_percentage_1y_in_currency"""

FIELDS = frozenset(Market.__struct_fields__) | frozenset(IGNORED.split())

KEYLESS = "https://api.coingecko.com/api/v3"
SOURCE = Source(
    slug="coingecko",
    title="CoinGecko",
    home="https://www.coingecko.com",
    plans={
        "public": Plan(KEYLESS, 30, 10_000, timedelta(minutes=20)),
        "demo": Plan(KEYLESS, 30, 10_000, timedelta(minutes=20), key_header="x-cg-demo-api-key"),
        "pro": Plan(
            "https://pro-api.coingecko.com/api/v3", 250, 500_000, timedelta(minutes=5), key_header="x-cg-pro-api-key"
        ),
    },
    fetch=fetch,
    split=split_list(Market),
    parse=parse,
    identify=id_in("id"),
    quick=Quick(quick_page(UsualMarket, usual), NUMBERS),
    says_when=True,
    past=PAST,
    min_records=1,
    identity_rank=1,
    known_fields=FIELDS,
    # By the specification; not these five.
    nullable=FIELDS - {"id", "symbol", "name", "image", "last_updated"},
    refusals={
        "10002": "the API key is missing: set COINGECKO_API_KEY, or COINGECKO_PLAN=public",
        "10004": "the subscription of this API key is deactivated",
        "10005": "this address is for subscribers of the Pro API",
        "10010": "this is a Pro key at the public address: set COINGECKO_PLAN=pro",
        "10011": "this is a Demo key at the Pro address: set COINGECKO_PLAN=demo",
        "10012": "history older than 365 days needs a paid plan",
        "1020": "Cloudflare denies access from this address",
    },
)
