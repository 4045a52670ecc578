"""CoinPaprika, GET /tickers: all in one call. Docs: https://api.coinpaprika.com (OpenAPI 1.7.12, 2026-03-27). USD, UTC.

What it doesn't know it writes as 0, not null: a price, a market cap, a volume, a supply, a rank of 0 is unknown. The
free plan gives at most 2,000 coins, no circulating supply, and 20,000 calls a month; a ticker is renewed every 5 to 10
minutes. 402 is either "over the limit", as 429 is, or "your plan is too small".
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from assets.records import AssetRecord
from ingestion.errors import Malformed
from ingestion.source import Http, Item, Options, Page, Plan, Quick, Source
from ingestion.sources.coinpaprika_past import PAST
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


class InDollars(msgspec.Struct):
    price: msgspec.Raw = ABSENT
    volume_24h: msgspec.Raw = ABSENT
    market_cap: msgspec.Raw = ABSENT
    percent_change_24h: msgspec.Raw = ABSENT


class Quotes(msgspec.Struct):
    USD: InDollars | None = None


class Ticker(msgspec.Struct):
    """The fields that are read; the rest is ignored by name in IGNORED."""

    id: msgspec.Raw = ABSENT
    name: msgspec.Raw = ABSENT
    symbol: msgspec.Raw = ABSENT
    rank: msgspec.Raw = ABSENT
    circulating_supply: msgspec.Raw = ABSENT
    total_supply: msgspec.Raw = ABSENT
    max_supply: msgspec.Raw = ABSENT
    last_updated: msgspec.Raw = ABSENT
    quotes: Quotes | None = None


def fetch(http: Http, cursor: str | None, options: Options) -> Iterator[Page]:
    """All tickers in one call, so a sweep is one page."""
    response = http.get("/tickers", {"quotes": "USD"})
    records, broken = 0, ""
    try:
        records = len(raw_items(response.body))
    except Malformed as error:
        broken = str(error)
    yield Page.of(response, cursor=None, records=records, broken=broken)


def parse(item: Item) -> AssetRecord:
    """Pure. Raises Malformed with the field's name."""
    ticker: Ticker = item.data
    if ticker.quotes is None or ticker.quotes.USD is None:
        raise Malformed("quotes.USD is missing: without it there is no price in dollars.", "quotes.USD")
    usd = ticker.quotes.USD
    return AssetRecord(
        source_asset_id=text(ticker.id, "id", required=True),
        symbol=text(ticker.symbol, "symbol").upper(),
        name=text(ticker.name, "name"),
        observed_at=time(ticker.last_updated, "last_updated", item.page.received_at),
        price_usd=not_negative(present(usd.price, "quotes.USD.price"), "quotes.USD.price", zero_is_unknown=True),
        market_cap=not_negative(usd.market_cap, "quotes.USD.market_cap", zero_is_unknown=True),
        volume_24h=not_negative(usd.volume_24h, "quotes.USD.volume_24h", zero_is_unknown=True),
        percent_change_24h=number(usd.percent_change_24h, "quotes.USD.percent_change_24h"),
        rank=rank(ticker.rank, "rank"),
        circulating_supply=not_negative(ticker.circulating_supply, "circulating_supply", zero_is_unknown=True),
        total_supply=not_negative(ticker.total_supply, "total_supply", zero_is_unknown=True),
        max_supply=not_negative(ticker.max_supply, "max_supply", zero_is_unknown=True),
    )


class UsualInDollars(msgspec.Struct, gc=False):
    """As documented throughout."""

    price: Decimal | None
    volume_24h: Decimal | None = None
    market_cap: Decimal | None = None
    percent_change_24h: Decimal | None = None


class UsualQuotes(msgspec.Struct, gc=False):
    USD: UsualInDollars


class UsualTicker(msgspec.Struct, gc=False):
    """A ticker of which every field is as documented."""

    id: str
    last_updated: datetime
    quotes: UsualQuotes
    name: str | None = None
    symbol: str | None = None
    rank: int | None = None
    circulating_supply: Decimal | None = None
    total_supply: Decimal | None = None
    max_supply: Decimal | None = None


def usual(ticker: UsualTicker, latest: datetime) -> AssetRecord:
    """As `parse`. Raises Unusual."""
    usd = ticker.quotes.USD
    return AssetRecord(
        usual_text(ticker.id, required=True),
        usual_text(ticker.symbol).upper(),
        usual_text(ticker.name),
        usual_time(ticker.last_updated, latest),
        usual_figure(usd.price, None),
        usual_figure(usd.market_cap, None),
        usual_figure(usd.volume_24h, None),
        usual_number(usd.percent_change_24h),
        usual_rank(ticker.rank),
        usual_figure(ticker.circulating_supply, None),
        usual_figure(ticker.total_supply, None),
        usual_figure(ticker.max_supply, None),
    )


NUMBERS = frozenset(
    {
        "rank",
        "circulating_supply",
        "total_supply",
        "max_supply",
        "quotes.USD.price",
        "quotes.USD.volume_24h",
        "quotes.USD.market_cap",
        "quotes.USD.percent_change_24h",
    }
)
READ = (
    "id name symbol rank circulating_supply total_supply max_supply last_updated quotes.USD.price quotes.USD.volume_24h"
)
READ += " quotes.USD.market_cap quotes.USD.percent_change_24h"
IGNORED = """beta_value first_data_at quotes quotes.USD quotes.USD.volume_24h_change_24h
quotes.USD.market_cap_change_24h
quotes.USD.percent_change_15m quotes.USD.percent_change_30m quotes.USD.percent_change_1h quotes.USD.percent_change_6h
quotes.USD.percent_change_12h quotes.USD.percent_change_7d quotes.USD.percent_change_30d quotes.USD.percent_change_1y
quotes.USD.ath_price quotes.USD.ath_date quotes.USD.percent_from_price_ath"""

SOURCE = Source(
    slug="coinpaprika",
    title="CoinPaprika",
    home="https://coinpaprika.com",
    plans={
        "free": Plan("https://api.coinpaprika.com/v1", 60, 20_000, timedelta(minutes=5)),
        "paid": Plan(
            "https://api-pro.coinpaprika.com/v1", 60, 200_000, timedelta(minutes=5), key_header="authorization"
        ),
    },
    fetch=fetch,
    split=split_list(Ticker),
    parse=parse,
    identify=id_in("id"),
    quick=Quick(quick_page(UsualTicker, usual), NUMBERS),
    says_when=True,
    past=PAST,
    min_records=1,
    identity_rank=2,
    known_fields=frozenset(READ.split()) | frozenset(IGNORED.split()),
    # The only nulls ever recorded, and these three together.
    nullable=frozenset(f"quotes.USD.{name}" for name in ("ath_price", "ath_date", "percent_from_price_ath")),
    refusals={
        "402": "the plan of this API key is too small, or its calls are used up",
        "403": "the API key is invalid: check COINPAPRIKA_API_KEY",
    },
)
