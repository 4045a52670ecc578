"""What the API is measured against: a bare WSGI app with one query and orjson, and FastAPI with SQLAlchemy.

Both answer the same page of /data in the same shape; neither knows filters, cursors, validators or exact totals.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import psycopg2

SIZE = 50
COLUMNS = {
    "id": "q.listing_id",
    "asset_id": "a.slug",
    "symbol": "l.symbol",
    "name": "l.name",
    "price_usd": "q.price_usd",
    "market_cap": "q.market_cap",
    "volume_24h": "q.volume_24h",
    "percent_change_24h": "q.percent_change_24h",
    "rank": "q.rank",
    "source": "s.slug",
    "source_asset_id": "l.source_asset_id",
    "updated_at": "q.observed_at",
    "last_seen_at": "coalesce(l.last_seen_at, greatest(s.last_sweep_at, l.first_seen_at))",
    "is_stale": "q.observed_at < now() - 3 * s.interval_seconds * interval '1 second'",
    "delisted": "l.delisted_at IS NOT NULL",
}
JOINS = """JOIN assets_source s ON s.id = q.source_id JOIN assets_listing l ON l.id = q.listing_id
    JOIN assets_asset a ON a.id = q.asset_id"""
PAGE = f"""
SELECT {", ".join(f"{sql} AS {name}" for name, sql in COLUMNS.items())}
FROM (SELECT * FROM assets_quote ORDER BY rank, listing_id LIMIT {SIZE}) q {JOINS} ORDER BY q.rank, q.listing_id
"""
ASSETS = f"""
SELECT a.slug AS asset_id, a.symbol, a.name, a.rank, a.price_usd, a.market_cap, a.volume_24h, a.percent_change_24h,
       a.spread_bps, a.observed_at AS updated_at, a.price_min, a.price_max, a.agreement, a.sources_used, a.left_out,
       quoted.quotes
FROM (SELECT * FROM assets_asset {{where}} ORDER BY rank, id LIMIT {SIZE}) a
LEFT JOIN LATERAL (SELECT json_agg((SELECT row_to_json(shown)
    FROM (SELECT {", ".join(f"{sql} AS {name}" for name, sql in COLUMNS.items())}) shown)) AS quotes
    FROM assets_quote q JOIN assets_source s ON s.id = q.source_id JOIN assets_listing l ON l.id = q.listing_id
    WHERE q.asset_id = a.id) quoted ON true
ORDER BY a.rank, a.id
"""
QUERIES = {"/data": PAGE, "/assets": ASSETS.format(where="")}
OF_ONE = ASSETS.format(where="WHERE slug = %s")

# ------------------------------------------------------------------------------- gunicorn bench.rivals:application

held = threading.local()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if not hasattr(held, "connection"):
        held.connection = psycopg2.connect(os.environ["DATABASE_URL"])
        held.connection.autocommit = True
    path = environ["PATH_INFO"]
    with held.connection.cursor() as cursor:
        if path in QUERIES:
            cursor.execute(QUERIES[path])
        else:
            cursor.execute(OF_ONE, [path.removeprefix("/assets/")])
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    body = orjson.dumps({"data": rows, "total": None, "page": 1, "page_size": SIZE, "next": None}, default=number)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError


# ------------------------------------------------------------------------------------- uvicorn bench.rivals:fast()


def fast() -> Any:
    """FastAPI as its handbook has it: async session, ORM rows, response model."""
    from fastapi import Depends, FastAPI
    from pydantic import BaseModel
    from sqlalchemy import literal_column, select
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

    class Row(BaseModel):
        id: int
        asset_id: str
        symbol: str | None
        name: str | None
        price_usd: Decimal | None
        market_cap: Decimal | None
        volume_24h: Decimal | None
        percent_change_24h: Decimal | None
        rank: int | None
        source: str
        source_asset_id: str
        updated_at: datetime
        last_seen_at: datetime
        is_stale: bool
        delisted: bool

    class Page(BaseModel):
        data: list[Row]
        total: int | None
        page: int
        page_size: int

    quote, listing, asset, source = tables()
    address = os.environ["DATABASE_URL"].replace("postgres://", "postgresql+asyncpg://", 1).partition("?")[0]
    sessions = async_sessionmaker(create_async_engine(address, pool_size=8))
    seen = select(
        quote.listing_id.label("id"),
        asset.slug.label("asset_id"),
        listing.symbol,
        listing.name,
        quote.price_usd,
        quote.market_cap,
        quote.volume_24h,
        quote.percent_change_24h,
        quote.rank,
        source.slug.label("source"),
        listing.source_asset_id,
        quote.observed_at.label("updated_at"),
        *(literal_column(COLUMNS[name]).label(name) for name in ("last_seen_at", "is_stale", "delisted")),
    )
    joined = seen.join(listing, listing.id == quote.listing_id).join(source, source.id == quote.source_id)
    page = joined.join(asset, asset.id == quote.asset_id).order_by(quote.rank, quote.listing_id).limit(SIZE)

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as one:
            yield one

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/data", response_model=Page)
    async def data(one: AsyncSession = Depends(session)) -> Any:  # noqa: B008
        rows = (await one.execute(page)).mappings().all()
        return {"data": rows, "total": None, "page": 1, "page_size": SIZE}

    # So that names written as texts are found in this function.
    data.__annotations__ = {"one": AsyncSession}
    return app


def tables() -> tuple[Any, ...]:
    from sqlalchemy import BigInteger, DateTime, Integer, Numeric, Text
    from sqlalchemy.orm import DeclarativeBase, aliased, mapped_column

    class Base(DeclarativeBase):
        pass

    class Quote(Base):
        __tablename__ = "assets_quote"
        listing_id = mapped_column(BigInteger, primary_key=True)
        source_id, rank = mapped_column(Integer), mapped_column(Integer)
        asset_id = mapped_column(BigInteger)
        price_usd, market_cap = mapped_column(Numeric), mapped_column(Numeric)
        volume_24h, percent_change_24h = mapped_column(Numeric), mapped_column(Numeric)
        observed_at = mapped_column(DateTime(timezone=True))

    class Listing(Base):
        __tablename__ = "assets_listing"
        id = mapped_column(BigInteger, primary_key=True)
        symbol, name, source_asset_id = mapped_column(Text), mapped_column(Text), mapped_column(Text)

    class Asset(Base):
        __tablename__ = "assets_asset"
        id = mapped_column(BigInteger, primary_key=True)
        slug = mapped_column(Text)

    class Source(Base):
        __tablename__ = "assets_source"
        id = mapped_column(Integer, primary_key=True)
        slug = mapped_column(Text)

    aliases = zip((Quote, Listing, Asset, Source), "qlas", strict=True)
    return tuple(aliased(model, name=name) for model, name in aliases)
