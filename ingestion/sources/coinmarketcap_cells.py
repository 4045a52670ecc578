"""Reading CoinMarketCap's front page as scrapers save it: the text of each cell with nothing between its parts.

`BitcoinBTCBuy` is name, symbol and a button; `$2.08T$2,080,963,640,273` a market cap twice;
`$39,855,155,407380.95K BTC` a volume in dollars and in coins; `19.87MBTC` a rounded supply, whose unit tells where the
name ends and the symbol begins. A change has lost its sign, which the page shows as an arrow: it is left out, as the
supply is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

BUTTON = "Buy"
_SUPPLY = re.compile(r"[\d.,]+([KMBT]?)(\S+)", re.ASCII)
_TWICE = re.compile(r"\$[\d.,]+[KMBT]?\s*(\$[\d.,]+)", re.ASCII)
_TWO_UNITS = re.compile(r"(\$\d{1,3}(?:,\d{3})+)[\d.,]+[KMBT]?\s\S+", re.ASCII)


def is_front_page(names: Sequence[str]) -> bool:
    """True when all names end in the page's button."""
    return len(names) > 1 and all(name.endswith(BUTTON) and len(name) > len(BUTTON) for name in names)


def coin(name: str, supply: str) -> tuple[str, str]:
    """Symbol and name. Raises ValueError when they can't be told apart."""
    written = _SUPPLY.fullmatch(supply.strip())
    glued = name.strip().removesuffix(BUTTON)
    if written:
        # 2.46BTON may be billions of TON or units of BTON: the symbol is what the name ends in, the longer one first.
        suffix, unit = written.groups()
        for symbol in (suffix + unit, unit):
            if glued.endswith(symbol) and len(glued) > len(symbol):
                return symbol, glued.removesuffix(symbol)
    raise ValueError(f"is name and symbol in one, which can't be told apart: {name[:60]!r}")


def market_cap(cell: str) -> str:
    """The exact one of the two figures."""
    written = _TWICE.fullmatch(cell.strip())
    return written[1] if written else cell


def volume(cell: str) -> str:
    """The figure in dollars: groups of three digits end where the other figure begins."""
    written = _TWO_UNITS.fullmatch(cell.strip())
    return written[1] if written else cell
