"""Numbers and times are read as people write them, exactly, or refused with a sentence; no row is read by a guess."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ingestion.sources import coinmarketcap_cells, figures
from ingestion.sources.dates import DayOrder, is_time, read_time


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("104686.77", "104686.77"),
        ("$104,686.77", "104686.77"),
        ("US$ 5", "5"),
        ("5 USD", "5"),
        ("1,522,686,975.00", "1522686975.00"),
        ("12,34,567.8", "1234567.8"),
        ("1'234.5", "1234.5"),
        ("1 234 567", "1234567"),
        ("1\u202f234\xa0567.5", "1234567.5"),
        ("13.91K", "13910"),
        ("2.08T", "2080000000000"),
        ("5 Mrd. $", "5000000000"),
        ("6.072127902657534e-06", "0.000006072127902657534"),
        ("1.234E-17", "0.00000000000000001234"),
        ("1e30", "1" + 30 * "0"),
        (".5", "0.5"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
        ("123456789012345678901234567890.123456789K", "123456789012345678901234567890123.456789"),
        ("0", None),
        ("$0.00", None),
        *((unknown, None) for unknown in ("", "-", "--", "- -", "$?", "N/A", "null", "NaN", "None", " ", "∞", "—")),
    ],
)
def test_money_is_read_exactly(text: str, value: str | None) -> None:
    read = figures.money(".", zero_is_unknown=True)(text)
    assert read == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("€5", "not in US dollars"),
        ("5 EUR", "not in US dollars"),
        ("0.5 BTC", "not in US dollars"),
        ("R$ 5", "not in US dollars"),
        ("-5", "is negative"),
        ("$-9", "is negative"),
        ("(3.5)", "is negative"),
        ("5,9", "grouped as no number is"),
        ("1,2345", "grouped as no number is"),
        ("1234,567", "grouped as no number is"),
        ("0,123", "grouped as no number is"),
        ("$0,123.50", "grouped as no number is"),
        ("00 123", "grouped as no number is"),
        ("5%", "a percentage where none belongs"),
        ("Infinity", "is no number"),
        ("1_000", "is no number"),
        ("٣", "is no number"),
        ("0x10", "is no number"),
        ("--5", "is no number"),
        ("five", "is no number"),
        ("1e999", "out of any range"),
        ("9" * 400, "out of any range"),
        ("9" * 700, "700 characters"),
    ],
)
def test_what_is_no_amount_of_dollars_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        figures.money(".")(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("76.761,5", "76761.5"), ("46,88K", "46880"), ("1.234.567,8", "1234567.8"), ("5", "5"), ("0,123", "0.123")],
)
def test_a_comma_marks_the_decimals_where_the_file_says_so(text: str, value: str) -> None:
    assert figures.money(",")(text) == Decimal(value)


def test_a_dot_that_groups_nothing_is_refused_where_the_comma_marks_the_decimals() -> None:
    for text in ("5.9", "0.123"):
        with pytest.raises(ValueError, match="grouped as no number is"):
            figures.money(",")(text)


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (["1,234", "56"], "."),
        (["1,234,567"], "."),
        (["1.234.567"], ","),
        (["0,123"], ","),
        (["5,9"], ","),
        (["76.761,5", "5.900"], ","),
        (["$1,234.56", "1,000"], "."),
        ([], "."),
    ],
)
def test_what_marks_the_decimals_is_found_by_looking_at_many_values(texts: list[str], mark: str) -> None:
    assert figures.decimal_mark(texts) == mark


@pytest.mark.parametrize(
    ("text", "value"),
    [("+2.01%", "2.01"), ("-0.08%", "-0.08"), ("1.5", "1.5"), ("\u22121.5 %", "-1.5"), ("-0.00%", "0"), ("?", None)],
)
def test_percentages_are_percent(text: str, value: str | None) -> None:
    assert figures.percentage(".")(text) == (None if value is None else Decimal(value))
    assert str(figures.percentage(".")(text)) != "-0.00"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18,777,093.00 BTC", "18777093.00"),
        ("1.00B THETA", "1e9"),
        ("960,017 1INCH", "960017"),
        ("--", None),
        ("0", None),
    ],
)
def test_supplies_may_name_their_coin(text: str, value: str | None) -> None:
    assert figures.amount(".")(text) == (None if value is None else Decimal(value))


@pytest.mark.parametrize("text", ["$581,126,720", "19.87MBTC", "5 €", "5 000BTC", "-3"])
def test_what_is_no_supply_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"where none belongs|is no number|is negative"):
        figures.amount(".")(text)


def test_ranks_are_read_from_one() -> None:
    assert [figures.rank(text) for text in ("65", "65.0", "#65", "Rank #65", " 7 ", "0", "", "N/A")] == [
        *(65, 65, 65, 65, 7),
        *(None, None, None),
    ]
    for text in ("-1", "6.5", "first", "9" * 20):
        with pytest.raises(ValueError, match="is no rank"):
            figures.rank(text)


@given(some.decimals(min_value=0, allow_nan=False, allow_infinity=False, places=6), some.sampled_from([".", ","]))
def test_a_number_written_with_groups_is_read_as_it_was_meant(value: Decimal, mark: str) -> None:
    written = f"{value:,f}"
    if mark == ",":
        written = written.translate(str.maketrans(",.", ".,"))
    assert figures.money(mark)(written) == value


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-14", "2024-01-14T00:00:00"),
        ("2021-09-10T01:02:03Z", "2021-09-10T01:02:03"),
        ("2025-06-15T23:59:59.999Z", "2025-06-15T23:59:59.999000"),
        ("2025-06-15T23:59:59.123456789Z", "2025-06-15T23:59:59.123456"),
        ("2013-04-28 00:00:00 UTC", "2013-04-28T00:00:00"),
        ("2021-09-10 12:00+02:00", "2021-09-10T10:00:00"),
        ("2021/9/5", "2021-09-05T00:00:00"),
        ("24.05.2026", "2026-05-24T00:00:00"),
        ("03.04.2026", "2026-04-03T00:00:00"),
        ("11/19/2022", "2022-11-19T00:00:00"),
        ("03/04/2021", "2021-03-04T00:00:00"),
        ("09/10/2021 3:45 PM", "2021-09-10T15:45:00"),
        ("12/31/21 12:05 am", "2021-12-31T00:05:00"),
        ("Sep 10, 2021", "2021-09-10T00:00:00"),
        ("September 1st, 2021", "2021-09-01T00:00:00"),
        ("10-Sep-21", "2021-09-10T00:00:00"),
        ("10 de setembro de 2021", "2021-09-10T00:00:00"),
        ("1. März 2021", "2021-03-01T00:00:00"),
        ("5. Okt. 2021", "2021-10-05T00:00:00"),
        ("20131006", "2013-10-06T00:00:00"),
        ("1609459200", "2021-01-01T00:00:00"),
        ("1609459200000", "2021-01-01T00:00:00"),
        ("1609459200.5", "2021-01-01T00:00:00.500000"),
    ],
)
def test_times_are_read_in_their_usual_forms(text: str, moment: str) -> None:
    assert read_time(text) == datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert is_time(text)


@pytest.mark.parametrize(
    "text", ["", "12:30", "44197", "2021-13-01", "2021-02-30", "31/31/2021", "soon", "2021-09-10 25:00"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        read_time(text)
    assert not is_time(text)


def test_the_order_of_day_and_month_is_proven_by_a_value() -> None:
    order = DayOrder()
    order.see("03/04/2021")
    assert (order.doubtful, order.proven, order.day_first) == (True, False, False)
    order.see("13/04/2021")
    assert (order.proven, order.day_first) == (True, True)
    assert read_time("03/04/2021", order.day_first) == datetime(2021, 4, 3, tzinfo=UTC)
    with_dots = DayOrder()
    with_dots.see("03.04.2021")
    assert not with_dots.doubtful


def test_the_cells_of_coinmarketcaps_front_page_are_told_apart() -> None:
    assert coinmarketcap_cells.coin("BitcoinBTCBuy", "19.87MBTC") == ("BTC", "Bitcoin")
    assert coinmarketcap_cells.coin("XRPXRPBuy", "58.88BXRP") == ("XRP", "XRP")
    assert coinmarketcap_cells.coin("TetherUSDTBuy", "155.46BUSDT") == ("USDT", "Tether")
    assert coinmarketcap_cells.coin("KasKASBuy", "950KAS") == ("KAS", "Kas")
    assert coinmarketcap_cells.market_cap("$2.08T$2,080,963,640,273") == "$2,080,963,640,273"
    assert coinmarketcap_cells.volume("$39,855,155,407380.95K BTC") == "$39,855,155,407"
    with pytest.raises(ValueError, match="can't be told apart"):
        coinmarketcap_cells.coin("BitcoinBTCBuy", "--")
