"""How a CSV is written and what its columns mean is found by looking; what can't be told is refused with a sentence."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ingestion.errors import Malformed
from ingestion.tests.sources.csv_reading import Sweep, sweep

TABLE = "symbol;name;price;date\nBTC;Bitcoin;104,5;2024-01-01\nETH;Eth“er”é;2.500,25;2024-01-01\n"


def read(tmp_path: Path, text: str | bytes, name: str = "coins.csv") -> Sweep:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return sweep(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n", "\r"])
def test_encoding_and_line_ends_are_found(tmp_path: Path, encoding: str, end: str) -> None:
    found = read(tmp_path, TABLE.replace("\n", end).encode(encoding))
    assert [(record.symbol, record.name, str(record.price_usd)) for record in found.records] == [
        ("BTC", "Bitcoin", "104.5"),
        ("ETH", "Eth“er”é", "2500.25"),
    ]
    assert not found.rejects
    assert (
        found.pages[0].body.decode(found.pages[0].encoding)
        == TABLE.replace("\n", end)[len(TABLE.splitlines()[0] + end) :]
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    text = delimiter.join(["symbol", "name", "price"]) + "\n" + delimiter.join(["BTC", '"a, b; c|d"', "5"]) + "\n"
    found = read(tmp_path, text)
    assert (found.records[0].name, found.prices) == ("a, b; c|d", ["5"])


def test_latin_and_utf8_rows_in_one_file_are_each_read_as_what_they_are(tmp_path: Path) -> None:
    rows = [b"BTC,Bitcoin,1\n", "AAA,Münze,2\n".encode(), "BBB,Münze,3\n".encode("latin-1"), b"CCC,Coin,4\n"]
    found = read(tmp_path, b"symbol,name,price\n" + b"".join(rows))
    assert [record.name for record in found.records] == ["Bitcoin", "Münze", "Münze", "Coin"]
    assert [(page.encoding, page.records) for page in found.pages] == [("utf-8", 2), ("cp1252", 2)]
    assert b"".join(page.body for page in found.pages) == b"".join(rows)


@pytest.mark.parametrize(
    "text",
    [
        "https://www.example.com\nSymbol,Name,Close\nBTC,Bitcoin,5\n",
        "sep=,\nsymbol,name,price\nBTC,Bitcoin,5\n",
        "\n\n symbol , name ,\tprice \nBTC,Bitcoin,5\n\n",
        "Kürzel,Bezeichnung,Preis\nBTC,Bitcoin,5\n",
        "Símbolo,Nombre,Precio\nBTC,Bitcoin,5\n",
        "Sigla,Moeda,Preço\nBTC,Bitcoin,5\n",
        ",symbol,name,price\n0,BTC,Bitcoin,5\n",
        "'symbol','name','price'\n'BTC','Bitcoin','5'\n",
        'symbol, "name", "price"\nBTC, "Bitcoin", "5"\n',
        "symbol,name,price,\nBTC,Bitcoin,5\n",
        "symbol,name,price\nBTC,Bitcoin,5,,\n",
        "BTC,Bitcoin coin,5\n",
    ],
)
def test_headers_of_many_kinds_are_found(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert [(record.symbol, record.name.removesuffix(" coin"), str(record.price_usd)) for record in found.records] == [
        ("BTC", "Bitcoin", "5")
    ]


def test_the_best_of_several_columns_is_taken(tmp_path: Path) -> None:
    text = "symbol,name,close,current_price,Vol.,Volume(2),volume_24h,Circulating Supply %\nBTC,Bitcoin,1,2,3,4,5,6\n"
    record = read(tmp_path, text).records[0]
    assert (str(record.price_usd), str(record.volume_24h), record.circulating_supply) == ("2", "5", None)


@pytest.mark.parametrize(
    "header",
    [
        "id,asset_id,symbol,name,price_usd,market_cap,volume_24h,percent_change_24h,rank,source_asset_id,updated_at",
        "row,cell,symbol,name,priceUsd,marketCapUsd,volumeUsd24Hr,changePercent24Hr,market_rank,asset_id,recorded_at",
        "row,cell,symbol,name,usd_price,mcap,vol_24h,pct_change_24h,rank,coin_id,last_update",
        "row,cell,ticker,name,last_price,market_cap_usd,volume_24hr,change_percent_24h,rank,slug,fetched_at",
    ],
)
def test_headers_of_programs_are_known_our_own_export_s_among_them(tmp_path: Path, header: str) -> None:
    found = read(tmp_path, f"{header}\n7,x,BTC,Bitcoin,5,100,20,1.5,3,btc-bitcoin,2026-01-02T03:04:05Z\n")
    record = found.records[0]
    assert (record.source_asset_id, record.symbol, record.name) == ("btc-bitcoin", "BTC", "Bitcoin")
    figures = (record.price_usd, record.market_cap, record.volume_24h, record.percent_change_24h, record.rank)
    assert [str(figure) for figure in figures] == ["5", "100", "20", "1.5", "3"]
    assert record.observed_at.isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(
    ("header", "row", "identity"),
    [
        ("id,symbol,name,price", "bitcoin,btc,Bitcoin,5", ("bitcoin", "BTC", "Bitcoin")),
        ("symbol,name,price", "btc,Bitcoin,5", ("btc-bitcoin", "BTC", "Bitcoin")),
        ("symbol,name,price", "XRP,xrp,5", ("xrp", "XRP", "xrp")),
        ("name,price", "Bitcoin Cash,5", ("bitcoin-cash", "", "Bitcoin Cash")),
        ("coin,price", "btc,5", ("btc", "BTC", "BTC")),
        ("id,symbol,price", "bnb-binance-coin,bnb,5", ("bnb-binance-coin", "BNB", "Binance Coin")),
        ("symbol,url,price", "BNB,https://coinmarketcap.com/currencies/bnb/,5", ("bnb", "BNB", "Bnb")),
        ("symbol,url,price", "BNB,https://example.com/,5", ("bnb", "BNB", "BNB")),
        ("symbol,price", "BTC-USD,5", ("btc", "BTC", "BTC")),
        ("symbol,price", "BTCUSD,5", ("btc", "BTC", "BTC")),
        ("symbol,price", "SUSD,5", ("susd", "SUSD", "SUSD")),
        ("symbol,price,currency", "BTC,5,usd", ("btc", "BTC", "BTC")),
        ("currency,price", "BTC,5", ("btc", "BTC", "BTC")),
        ("symbol,name,currency,price", "BTC,Bitcoin,BTC,5", ("btc-bitcoin", "BTC", "Bitcoin")),
        ("base,quote,price", "BTC,USD,5", ("btc", "BTC", "BTC")),
        ("symbol,name,price (US$)", "BTC,Bitcoin,5", ("btc-bitcoin", "BTC", "Bitcoin")),
        ("symbol,name,price,market", "BTC,Bitcoin,5,spot", ("btc-bitcoin", "BTC", "Bitcoin")),
        ("symbol,name,price", "BTC/USD,Bitcoin,5", ("btc-bitcoin", "BTC", "Bitcoin")),
        ("symbol,name,price", "ab,༼ つ ◕_◕ ༽つ,5", ("ab-つ-_-つ", "AB", "༼ つ ◕_◕ ༽つ")),
    ],
)
def test_a_coin_has_the_id_that_the_file_gives_it(
    tmp_path: Path, header: str, row: str, identity: tuple[str, str, str]
) -> None:
    record = read(tmp_path, f"{header}\n{row}\n").records[0]
    assert (record.source_asset_id, record.symbol, record.name) == identity


def test_ids_that_count_rows_are_no_ids(tmp_path: Path) -> None:
    text = "id,symbol,name,price\n" + "".join(f"{n},C{n},Coin {n},5\n" for n in range(1, 5))
    assert [record.source_asset_id for record in read(tmp_path, text).records][:1] == ["c1-coin-1"]
    text = "id,symbol,name,price,date\n" + "".join(f"{7 * n},BTC,Bitcoin,5,2024-01-0{n}\n" for n in range(1, 5))
    assert {record.source_asset_id for record in read(tmp_path, text).records} == {"btc-bitcoin"}
    text = "id,symbol,name,price\n1,BTC,Bitcoin,5\n1027,ETH,Ethereum,6\n52,XRP,XRP,7\n"
    assert [record.source_asset_id for record in read(tmp_path, text).records] == ["1", "1027", "52"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("btc-usd-max.csv", "btc-bitcoin"),
        ("foo-usd-max.csv", "foo"),
        ("Bitcoin Historical Data - Investing.com.csv", "btc-bitcoin"),
        ("pepe_history.csv", "pepe"),
        ("BTCUSD_1d.csv", "btc-bitcoin"),
        ("link-usd.csv", "link-chainlink"),
        ("eth-btc.csv", None),
        ("BTCUSDT.csv", None),
        ("btc-eur.csv", None),
        ("link.csv", None),
        ("prices.csv", None),
    ],
)
def test_a_history_without_a_coin_takes_it_from_a_file_name_that_names_one(
    tmp_path: Path, name: str, key: str | None
) -> None:
    text = "date,price\n2024-01-14,6.07e-06\n2024-01-15,5.8e-06\n"
    if key is None:
        with pytest.raises(Malformed, match="its file name does not name one"):
            read(tmp_path, text, name)
    else:
        assert {record.source_asset_id for record in read(tmp_path, text, name).records} == {key}


def test_days_and_months_are_told_apart_by_any_value_in_the_file(tmp_path: Path) -> None:
    rows = "".join(f"C{n},Coin {n},5,03/04/2024\n" for n in range(20_000))
    months = read(tmp_path, "symbol,name,price,date\n" + rows).records
    days = read(tmp_path, "symbol,name,price,date\n" + rows + "BTC,Bitcoin,5,13/04/2024\n")
    assert {record.observed_at.date().isoformat() for record in months} == {"2024-03-04"}
    assert {record.observed_at.date().isoformat() for record in days.records} == {"2024-04-03", "2024-04-13"}
    assert not days.rejects


@pytest.mark.parametrize("unknown", ["", "-", "?", "N/A", "#N/A", "nan", "None", "null"])
def test_coins_whose_ids_are_unknown_are_not_one_coin(tmp_path: Path, unknown: str) -> None:
    text = f"id,symbol,name,price\nbitcoin,BTC,Bitcoin,5\n{unknown},ETH,Ethereum,6\n{unknown},XRP,XRP,7\n"
    found = read(tmp_path, text).records
    assert [record.source_asset_id for record in found] == ["bitcoin", "eth-ethereum", "xrp"]


@pytest.mark.parametrize("unknown", ["-", "?", "N/A"])
def test_what_stands_for_unknown_is_no_symbol_and_no_name(tmp_path: Path, unknown: str) -> None:
    text = f"symbol,name,price\n{unknown},Ethereum,6\nXRP,{unknown},7\nNULL,NaN,9\n"
    assert [record[:3] for record in read(tmp_path, text).records] == [
        ("ethereum", "", "Ethereum"),
        ("xrp", "XRP", "XRP"),
        ("null-nan", "NULL", "NaN"),
    ]


def test_a_coin_may_be_called_by_a_dash_throughout(tmp_path: Path) -> None:
    (record,) = read(tmp_path, "id,symbol,name,price\n-,-,-,5\n").records
    assert record[:3] == ("-", "-", "-")


def test_a_date_and_a_clock_in_two_columns_are_one_time(tmp_path: Path) -> None:
    found = read(tmp_path, "symbol,name,price,date,time\nBTC,Bitcoin,5,2024-01-14,13:14:56Z\n")
    assert found.records[0].observed_at == datetime(2024, 1, 14, 13, 14, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    "header", ["Date(UTC)", "timestamp_utc", "Last Updated (UTC)", "Time (GMT)", "Date,Time (UTC)"]
)
def test_a_header_of_times_may_name_its_zone(tmp_path: Path, header: str) -> None:
    time = "2024-03-15,10:05" if "," in header else "2024-03-15 10:05"
    (record,) = read(tmp_path, f"symbol,name,price,{header}\nBTC,Bitcoin,5,{time}\n").records
    assert record.observed_at == datetime(2024, 3, 15, 10, 5, tzinfo=UTC)


def test_a_time_of_day_alone_is_no_time_of_a_row(tmp_path: Path) -> None:
    (record,) = read(tmp_path, "symbol,name,price,Time (UTC)\nBTC,Bitcoin,5,10:05\n").records
    assert record.observed_at.date() == datetime.now(UTC).date()


def test_a_file_without_times_is_observed_when_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "coins.csv"
    path.write_text("symbol,name,price\nBTC,Bitcoin,5\n")
    os.utime(path, (0, 1_700_000_000))
    assert sweep(path).records[0].observed_at == datetime.fromtimestamp(1_700_000_000, UTC)
    os.utime(path, (0, 0))  # as packing tools leave it: no time at all
    assert (datetime.now(UTC) - sweep(path).records[0].observed_at).total_seconds() < 60


def test_a_row_in_another_currency_than_dollars_is_a_reject(tmp_path: Path) -> None:
    found = read(tmp_path, "symbol,price,currency\nBTC,5,USD\nETH,6,EUR\nXRP,7,$\nADA,8,\n")
    assert [record.symbol for record in found.records] == ["BTC", "XRP", "ADA"]
    assert found.rejects == ["The price of ETH is in EUR, not in US dollars."]
    found = read(tmp_path, "symbol,price\nBTCUSD,5\nETHEUR,6\n")
    assert [record.symbol for record in found.records] == ["BTC"]
    assert found.rejects == ["The price of ETHEUR is in EUR, not in US dollars."]


def test_a_column_called_currency_says_what_a_history_is_in_and_names_no_coin(tmp_path: Path) -> None:
    text = "Date,Open,Close,Currency\n2024-01-01,5,6,USD\n2024-01-02,6,7,USD\n"
    assert {record.symbol for record in read(tmp_path, text, "Bitcoin.csv").records} == {"BTC"}


def test_zero_is_unknown_where_nothing_can_be_zero(tmp_path: Path) -> None:
    header = "symbol,name,price,market_cap,total_volume,change %,rank,circulating_supply"
    record = read(tmp_path, f"{header}\nBTC,Bitcoin,0,0,0,0,0,0\n").records[0]
    assert (record.price_usd, record.market_cap, record.rank, record.circulating_supply) == (None, None, None, None)
    assert (record.volume_24h, record.percent_change_24h) == (Decimal(0), Decimal(0))
    export = "snapped_at,price,market_cap,total_volume\n2013-04-28 00:00:00 UTC,135.3,1500517590,0\n"
    assert read(tmp_path, export, "btc-usd-max.csv").records[0].volume_24h is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("symbol,name,price\n", "holds a header and no row"),
        ("symbol,name,price\n\n\n,,\n", "holds a header and no row"),
        ("just some words\nand more of them\n", "neither comma, semicolon, tab nor bar"),
        (b"PK\x03\x04" + bytes(200), "an Excel workbook"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"symbol,name,price\n" + bytes(range(256)) * 20, "control characters"),
        ("<!DOCTYPE html>\n<html></html>\n", "holds an HTML page"),
        ('{"data": [1, 2]}\n', "holds JSON"),
        ("symbol,name\nBTC,Bitcoin\n", "has none for a price, a market cap or any other figure"),
        ("price,volume\n5,6\n", "has none for a coin's id, symbol or name"),
        ("コイン,価格\nビット,5\n", "has none for a coin's id"),
        ("symbol,name,price,date\nBTC,Bitcoin,5,Q3\n", "a column 'date' that holds 'Q3', which is no time"),
        ("crypto_id,2024-06-05,2024-06-06,2024-06-07\nbitcoin,1,2,3\n", "has dates for columns"),
        ("symbol,name,close\n" + 9 * "BTC,Bitcoin,5\n", "many rows of one coin (BTC Bitcoin) and no times"),
        ("Unix,Symbol,Close,Volume ETH,Volume EUR\n1749945600000,ETHEUR,5,6,7\n", "prices in EUR (ETHEUR)"),
        ("symbol,price,date\nBTC/USDT,5,2024-01-01\n", "prices in USDT (BTC/USDT)"),
        ("symbol,price\nBTCUSDT,5\nETHUSDT,6\nXRPUSDT,7\n", "prices in USDT"),
        ("symbol,date,close\nBTCUSDT,2024-01-01,5\nBTCUSDT,2024-01-02,6\n", "prices in USDT (BTCUSDT)"),
        ("symbol,name,price\nBTCEUR,Bitcoin,5\nETHEUR,Ethereum,6\n", "prices in EUR (BTCEUR)"),
        ("symbol,price\nBTC-SGD,5\nETH-SGD,6\n", "prices in SGD (BTC-SGD)"),
        ("symbol,name,Price (€)\nBTC,Bitcoin,5\n", "has none for a price"),
        ("symbol,name,Preis £\nBTC,Bitcoin,5\n", "has none for a price"),
        ("symbol,name,price,currency\nBTC,Bitcoin,5,EUR\n", "prices in EUR (column 'currency')"),
        ("Date,Close,Currency\n2024-01-01,5,CHF\n2024-01-02,6,CHF\n", "prices in CHF (column 'Currency')"),
        ("id,vs_currency,price\nbitcoin,btc,5\nethereum,btc,6\n", "prices in BTC (column 'vs_currency')"),
        ("BTC,Bitcoin,5,6\nETH,Ethereum,7,8\n", "has no header, and its values don't tell"),
    ],
)
def test_what_no_person_could_read_is_refused_with_a_sentence(tmp_path: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(Malformed) as refusal:
        read(tmp_path, text)
    assert "coins.csv" in str(refusal.value)
    assert why in str(refusal.value)


def test_the_bundled_sample_is_read_whole() -> None:
    sample = Path(__file__).parents[3] / "data" / "sample_assets.csv"
    found = sweep(sample)
    assert len(found.records) >= 120
    assert not found.rejects
    assert {record.observed_at for record in found.records} == {datetime(2026, 11, 1, tzinfo=UTC)}
    assert len({record.source_asset_id for record in found.records}) == len(found.records)
    assert [record.rank for record in found.records] == list(range(1, len(found.records) + 1))
    for record in found.records:
        assert record.price_usd and record.circulating_supply and record.market_cap and record.volume_24h
        assert abs(record.price_usd * record.circulating_supply - record.market_cap) <= 1


def test_an_id_of_thousands_of_digits_is_no_row_number_and_a_reject(tmp_path: Path) -> None:
    found = read(tmp_path, f"id,symbol,price,date\n{'7' * 5000},BTC,1,2024-01-01\n2,ETH,2,2024-01-01\n")
    assert [record.source_asset_id for record in found.records] == ["2"]
    assert [reject[:40] for reject in found.rejects] == ["source_asset_id has 5,000 characters; 20"]
