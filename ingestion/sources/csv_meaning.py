"""What the rows of a CSV mean, found from its header and a sample of its values; refused where a person could not tell.

A header alone lies: `coin` may hold names or symbols, `id` a coin's id or the number of the row, `name` one and the
same number, `Symbol` pairs in Bitcoin. So each is believed only as far as the values bear it out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ingestion.errors import Malformed
from ingestion.sources.coinmarketcap_cells import is_front_page
from ingestion.sources.csv_coin import coin_of
from ingestion.sources.csv_columns import FIGURES, columns_of
from ingestion.sources.csv_pairs import keep_currency, quote_currency
from ingestion.sources.dates import DayOrder, is_time
from ingestion.sources.figures import UNKNOWN, decimal_mark, number

CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?\s*([ap]m)?\s*(Z|UTC)?", re.IGNORECASE | re.ASCII)
#: A coin's address at CoinMarketCap, CoinGecko, CoinPaprika and their like; its last part names the coin.
COIN_URL = re.compile(r"https?://[^/]+/(?:[a-z]{2}/)?(?:currencies|coins?|currency|price)/([^/?#]+)/?", re.IGNORECASE)
_TICKER = re.compile(r"[A-Z0-9$]{1,12}|[a-z0-9]{1,5}", re.ASCII)
_ROW_NUMBER = re.compile(r"[0-9]{1,18}").fullmatch

#: Headers of times, and of other things as well.
_TIME_OR_NOT = re.compile(r"(?:data|time|day|zeit|last|kurs)[\s_]*\(?(?:UTC|GMT)?\)?", re.IGNORECASE).fullmatch

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Meaning:
    """How to make records of rows. JSON-able."""

    columns: dict[str, int] = field(default_factory=dict)
    """Which column holds which field of a record."""
    coin: list[str] | None = None
    """Symbol and name of the one coin that all rows are about, where only the file's name tells."""
    decimal: str = "."
    """What marks the decimals: a dot or a comma."""
    day_first: bool = False
    days_doubtful: bool = False
    """True when no value of the sample tells day from month."""
    symbol_before_name: bool = False
    """`BTCBitcoin` beside `BTC`."""
    front_page: bool = False
    """CoinMarketCap's front page as scrapers save it."""
    pairs: bool = False
    """Symbols are written with what the price is in: `BTC/USD`."""
    zero_volume_is_unknown: bool = False


def meaning_of(header: Sequence[str], sample: Rows, file: str) -> Meaning:
    """What the columns under this header mean. Raises Malformed with a sentence when they tell of no coin's market."""
    days = [cell for cell in header if is_time(cell)]
    if len(days) > 2 and 2 * len(days) > len(header):
        raise Malformed(f"{file} has dates for columns ({days[0]}, {days[1]}, …); a row must be one coin at one time.")
    columns = columns_of(header)
    _check_time(columns, header, sample, file)
    if currency := keep_currency(columns, sample):
        named = header[columns["quoted_in"]]
        raise Malformed(f"{file} holds prices in {currency} (column {named!r}), not in US dollars.")
    _check_identity(columns, sample)
    quote = quote_currency(header, columns, sample)
    if quote and quote.currency != "USD":
        raise Malformed(f"{file} holds prices in {quote.currency} ({quote.example}), not in US dollars.")
    coin = list(quote.coin) if quote and quote.coin else None
    if coin:
        columns.pop("symbol", None)
    meaning = Meaning(
        columns=columns,
        coin=coin,
        pairs=bool(quote) and not coin,
        zero_volume_is_unknown=any(name.strip().casefold() == "snapped_at" for name in header),
    )
    return _completed(meaning, header, sample, file)


def without_header(sample: Rows, width: int, file: str) -> tuple[list[str], Meaning]:
    """Names for the columns of a file without a header, where its values leave no doubt about them."""
    kinds: dict[str, list[int]] = {}
    for index in range(width):
        kinds.setdefault(_kind(_values(sample, index)), []).append(index)
    texts = kinds.get("text", []) + kinds.get("ticker", [])
    clear = len(kinds.get("number", [])) == 1 and all(
        len(kinds.get(kind, [])) < 2 for kind in ("time", "url", "text", "ticker")
    )
    if not clear or not (texts or kinds.get("time")):
        raise Malformed(f"{file} has no header, and its values don't tell what its columns are.")
    names = {"number": "price_usd", "time": "observed_at", "url": "url", "text": "name", "ticker": "symbol"}
    columns = {names[kind]: indexes[0] for kind, indexes in kinds.items() if kind in names}
    header = [next((name for name, at in columns.items() if at == index), "") for index in range(width)]
    _check_identity(columns, sample)
    return header, _completed(Meaning(columns=columns), header, sample, file)


def _completed(meaning: Meaning, header: Sequence[str], sample: Rows, file: str) -> Meaning:
    """The meaning with all that the values tell: the coin, the decimals, the order of days and months."""
    columns = meaning.columns
    for name in FIGURES:
        if _are_words(_values(sample, columns.get(name))):  # `Market` may be a market's name
            del columns[name]
    if not meaning.coin and not columns.keys() & {"id", "url", "symbol", "name"}:
        named = coin_of(file)
        if named is None:
            raise Malformed(f"{_lacks(file, header)} a coin's id, symbol or name, and its file name does not name one.")
        meaning = replace(meaning, coin=list(named))
    if not columns.keys() & set(FIGURES):
        raise Malformed(f"{_lacks(file, header)} a price, a market cap or any other figure.")
    if meaning.coin and "price_usd" not in columns:
        raise Malformed(f"{_lacks(file, header)} a price.")
    if "observed_at" not in columns:
        _refuse_history_without_times(meaning, sample, file)
    numbers = [index for name, index in columns.items() if name in FIGURES and name != "rank"]
    order = DayOrder()
    for cell in _values(sample, columns.get("observed_at")):
        order.see(cell)
    names = columns.get("name")
    return replace(
        meaning,
        decimal=decimal_mark(cell for index in numbers for cell in _values(sample, index)),
        day_first=order.day_first,
        days_doubtful=order.doubtful and not order.proven,
        symbol_before_name=_is_symbol_before_name(columns, sample),
        front_page="symbol" not in columns and is_front_page(_values(sample, names)),
    )


def _check_time(columns: dict[str, int], header: Sequence[str], sample: Rows, file: str) -> None:
    """Keeps the column of times if its values are times, or finds one without a name."""
    at = columns.get("observed_at")
    values = _values(sample, at)
    if values and not any(map(is_time, values)):
        # `data` is Portuguese for a date and English for anything; `time` may be a time of day.
        if at is not None and not _TIME_OR_NOT(header[at].strip()):
            raise Malformed(f"{file} has a column {header[at]!r} that holds {values[0][:60]!r}, which is no time.")
        del columns["observed_at"]
    if "observed_at" not in columns:
        for index, name in enumerate(header):
            values = _values(sample, index)
            if not name.strip() and values and all(map(is_time, values)):
                columns["observed_at"] = index
                break
    clock = columns.pop("time_of_day", None)
    if clock is not None and "observed_at" in columns and clock != columns["observed_at"]:
        dates_alone = not any(":" in cell for cell in _values(sample, columns["observed_at"]))
        if dates_alone and all(map(CLOCK.fullmatch, _values(sample, clock))):
            columns["time_of_day"] = clock


def _check_identity(columns: dict[str, int], sample: Rows) -> None:
    """Keeps of id, symbol, name and url what the values show to be that."""
    names = _values(sample, columns.get("name"))
    if "name" in columns and names and all(map(str.isdigit, names)) and len(set(names)) == 1 and len(sample) > 1:
        del columns["name"]  # CoinMarketCap's exports have a number there
    if "name" in columns and "symbol" not in columns and names and all(map(_TICKER.fullmatch, names)):
        columns["symbol"] = columns.pop("name")
    if "id" in columns and _are_row_numbers(columns, sample):
        del columns["id"]
    urls = _values(sample, columns.get("url"))
    if "url" in columns and ("id" in columns or not urls or not all(map(COIN_URL.fullmatch, urls))):
        del columns["url"]


def _are_row_numbers(columns: dict[str, int], sample: Rows) -> bool:
    """True when the column of ids counts rows, as databases and spreadsheets do, instead of naming coins."""
    ids = _values(sample, columns["id"])
    if not columns.keys() & {"symbol", "name"} or not ids or not all(map(_ROW_NUMBER, ids)):
        return False
    steps = {int(two) - int(one) for one, two in pairwise(ids)}
    if steps == {1} and len(ids) > 2:
        return True
    coins = {tuple(row[columns[name]] for name in ("symbol", "name") if name in columns) for row in sample}
    return len(set(ids)) > 2 * len(coins)


def _is_symbol_before_name(columns: dict[str, int], sample: Rows) -> bool:
    """True when every name begins with the row's symbol, and goes on without a space: `BTCBitcoin`."""
    if not columns.keys() >= {"symbol", "name"}:
        return False
    coins = {(row[columns["symbol"]], row[columns["name"]]) for row in sample}
    glued = (
        name.startswith(symbol) and name[len(symbol) :].strip() == name[len(symbol) :] != "" for symbol, name in coins
    )
    return len(coins) > 2 and all(glued)


def _refuse_history_without_times(meaning: Meaning, sample: Rows, file: str) -> None:
    keys = [meaning.columns[name] for name in ("id", "url", "symbol", "name") if name in meaning.columns]
    coins = {tuple(row[index] for index in keys) for row in sample}
    if len(sample) > 2 * len(coins):
        which = " ".join(sample[0][index] for index in keys) or " ".join(meaning.coin or [])
        raise Malformed(
            f"{file} holds many rows of one coin ({which[:60]}) and no times: which is the newest can't be told."
        )


def _values(sample: Rows, index: int | None) -> list[str]:
    return [] if index is None else [row[index] for row in sample if row[index]]


def _are_words(values: list[str]) -> bool:
    digits = any(character.isdigit() for value in values for character in value)
    return not digits and any(value.casefold() not in UNKNOWN for value in values)


def _kind(values: list[str]) -> str:
    """What the values of a column without a header are."""
    if not values:
        return "nothing"
    if all(map(is_time, values)):
        return "time"
    if all(map(_is_number, values)):
        return "number"
    if all(value.startswith(("http://", "https://")) for value in values):
        return "url"
    return "ticker" if all(map(_TICKER.fullmatch, values)) else "text"


def _is_number(text: str) -> bool:
    for mark in ".,":
        try:
            number(text, mark, money=True, percent=True)
        except ValueError:
            continue
        return True
    return False


def _lacks(file: str, header: Sequence[str]) -> str:
    shown = ", ".join(repr(name) if name else "(no name)" for name in header[:12]) + (", …" if len(header) > 12 else "")
    return f"{file} has no column for" if not any(header) else f"{file}, with the columns {shown}, has none for"
