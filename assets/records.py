"""AssetRecord: one source's word on one coin, normalized. Ingestion makes records, assets stores them.

Standard library only. A number is an exact Decimal; None always means "the source did not say", never zero.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

#: Numbers beyond these bounds are no market figures (and would not fit PostgreSQL's numeric): 10^300 and 300 decimals.
MAX_EXPONENT = 300
#: The longest text a source may give for an id, a symbol or a name; recorded lists hold at most 71 characters.
MAX_TEXT = 200


class AssetRecord(NamedTuple):
    """What a source said of one coin at one time. Money is in US dollars, percent is percent (-1.5 is minus 1.5 %)."""

    source_asset_id: str
    """The source's own key for the coin, unique within the source."""
    symbol: str
    """Upper case, may be empty (a few coins have none)."""
    name: str
    observed_at: datetime
    """The source's time of the observation, aware, UTC."""
    price_usd: Decimal | None = None
    market_cap: Decimal | None = None
    volume_24h: Decimal | None = None
    percent_change_24h: Decimal | None = None
    rank: int | None = None
    """By market cap, from 1."""
    circulating_supply: Decimal | None = None
    total_supply: Decimal | None = None
    max_supply: Decimal | None = None
    contracts: tuple[str, ...] = ()
    """`chain:address`, lower case, where the source gives them: the strongest evidence of identity."""
