"""Every CSV of a corpus from outside (`PAYLOADS`) goes in, or is refused for a reason that a person accepts.

The table pins, for each file: its records, its rejects and, where it is refused, a part of the sentence. Records and
rejects together are all of its data rows: none is lost.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingestion.errors import Malformed
from ingestion.tests.sources.csv_reading import sweep

CORPUS = Path(os.environ.get("PAYLOADS", "")) / "csv"
pytestmark = pytest.mark.skipif(
    not os.environ.get("PAYLOADS") or not CORPUS.is_dir(), reason="PAYLOADS names no corpus"
)

#: File: records, rejects, the first record's id, symbol, price and day ("" where the file tells no time).
READ = {
    "cmc_coin_page_not_utf8.csv": (1, 0, "avax-avalanche", "AVAX", "39.72", ""),
    "cmc_export_btc_semicolon_bom_quoted_2025-06.csv": (364, 0, "btc-bitcoin", "BTC", "105552.026954677", "2025-06-15"),
    "cmc_history_spanish_header_yyyymmdd.csv": (8340, 0, "btc-bitcoin", "BTC", "129.00", "2013-10-06"),
    "cmc_scrape_crcrlf_line_ends.csv": (2713, 0, "bitcoin", "", "9228.37", ""),
    "cmc_scrape_no_header_quoted_thousands.csv": (2558, 0, "bitcoin", "", "8866.65", ""),
    "cmc_scrape_rank_hash.csv": (230, 0, "stacks", "", "1.90", ""),
    "cmc_scrape_semicolon_bom_dollar_2025.csv": (100, 0, "btc-bitcoin", "BTC", "104686.77", ""),
    "cmc_scrape_top100_dollar_2019.csv": (100, 0, "btc-bitcoin", "BTC", "10250.02", ""),
    "coingecko_export_snapped_at_btc.csv": (2999, 0, "btc-bitcoin", "BTC", "135.3", "2013-04-28"),
    "coingecko_list_crlf.csv": (500, 0, "bitcoin", "BTC", "105131.0", ""),
    # In 26 rows of the scrape a value is missing and the others have moved into its place.
    "coinmarketcap_scrape_dollar_thousands.csv": (1073, 26, "btc-bitcoin", "BTC", "39712.91", ""),
    "coinmarketcap_scrape_lucastakara.csv": (100, 0, "bitcoin", "BTC", "39979.12", ""),
    "coinpaprika_tickers_2022-03.csv": (11027, 0, "btc-bitcoin", "BTC", "None", "2022-03-29"),
    "investing_bitcoin_2021-09_bom.csv": (732, 0, "btc-bitcoin", "BTC", "46346.9", "2021-09-10"),
    "investing_bitcoin_ptBR_2026-05_bom_decimal_comma.csv": (1499, 0, "btc-bitcoin", "BTC", "76761.5", "2026-05-24"),
    "investing_btc_us_slash_dates_2022-11.csv": (3940, 0, "btc-bitcoin", "BTC", "16609.0", "2022-11-19"),
    "r_writecsv_rowname_index.csv": (1835, 0, "btc", "BTC", "7273.09481210235", "2019-11-22"),
}
REFUSED = {
    "coingecko_history_scientific_notation.csv": "its file name does not name one",
    "cryptodatadownload_url_first_line.csv": "holds prices in BTC (1INCHBTC), not in US dollars",
    "kaggle_crypto-markets_head.csv": "many rows of one coin (bitcoin BTC Bitcoin) and no times",
    "news_quoted_newlines_spanish.csv": "has none for a coin's id, symbol or name",
    "no_header_market-price.csv": "its file name does not name one",
    "wide_format_dates_as_columns.csv": "has dates for columns (2024-06-05, 2024-06-06, …)",
}


@pytest.mark.parametrize("name", READ)
def test_a_file_of_the_corpus_goes_in(name: str) -> None:
    records, rejects, key, symbol, price, day = READ[name]
    read = sweep(CORPUS / name)
    first = read.records[0]
    assert (len(read.records), len(read.rejects)) == (records, rejects)
    assert (first.source_asset_id, first.symbol, str(first.price_usd)) == (key, symbol, price)
    assert not day or first.observed_at.date().isoformat() == day


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_of_the_corpus_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(Malformed) as refusal:
        sweep(CORPUS / name)
    assert name in str(refusal.value)
    assert REFUSED[name] in str(refusal.value)


def test_every_file_of_the_corpus_is_in_the_table() -> None:
    assert {path.name for path in CORPUS.iterdir()} == READ.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", READ)
def test_a_file_of_the_corpus_read_in_small_steps_is_the_same(name: str) -> None:
    whole = sweep(CORPUS / name)
    steps = sweep(CORPUS / name, batch_size=97)
    assert [item.raw for item in steps.items] == [item.raw for item in whole.items]
    assert [(record.source_asset_id, record.price_usd) for record in steps.records] == [
        (record.source_asset_id, record.price_usd) for record in whole.records
    ]


@pytest.mark.parametrize("name", ["coingecko_history_scientific_notation.csv", "no_header_market-price.csv"])
def test_a_history_of_the_corpus_goes_in_under_a_name_that_names_its_coin(name: str, tmp_path: Path) -> None:
    named = tmp_path / "pepe_history.csv"
    named.write_bytes((CORPUS / name).read_bytes())
    read = sweep(named)
    rows = [line for line in named.read_text().splitlines() if line.strip() and line[0].isdigit()]
    assert (len(read.records), read.rejects) == (len(rows), [])
    assert {record.source_asset_id for record in read.records} == {"pepe"}
