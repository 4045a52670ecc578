"""CSV files through the whole pipeline: where they stop, go on and start again, and every bad file in one sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from assets.models import Asset, Candidate, Listing, PricePoint, Quote
from assets.tests.factories import load, record
from ingestion.models import RawPayload, Reject

HEADER = "symbol,name,price_usd,market_cap,observed_at\n"


def row(number: int, price: str = "1.5", time: str = "2026-11-20T00:00:00Z") -> str:
    return f"C{number},Coin {number},{price},{10**9 - number},{time}\n"


@pytest.fixture
def file(tmp_path, settings):
    path = tmp_path / "coins.csv"
    settings.CSV_SOURCE_PATH = str(path)
    settings.ETL_BATCH_SIZE = 7
    return path


def test_fail_after_n_records_is_exact_and_the_next_run_goes_on_from_the_next(ingest, file, settings):
    file.write_text(HEADER + "".join(row(number) for number in range(1, 31)))
    settings.FAIL_AFTER_N_RECORDS = 10
    run = ingest("csv")
    assert (run.status, run.processed, run.last_processed_id) == ("failed", 10, "c10-coin-10")
    assert "FAIL_AFTER_N_RECORDS=10" in run.error
    settings.FAIL_AFTER_N_RECORDS = None
    run = ingest("csv")
    assert (run.status, run.processed, run.inserted, run.last_processed_id) == ("completed", 20, 20, "c30-coin-30")
    assert Quote.objects.count() == 30


def test_fail_after_n_records_is_exact_over_several_files_and_around_a_line_that_can_not_be_kept(
    ingest, tmp_path, settings
):
    settings.CSV_SOURCE_PATH, settings.ETL_BATCH_SIZE = str(tmp_path / "*.csv"), 1000
    (tmp_path / "a.csv").write_text(HEADER + "".join(row(number) for number in range(1, 5)))
    (tmp_path / "b.csv").write_text(HEADER + row(5) + row(6, "\0") + "".join(row(number) for number in range(7, 31)))
    settings.FAIL_AFTER_N_RECORDS = 10
    for last in (10, 20):
        run = ingest("csv")
        assert (run.status, run.processed, run.last_processed_id) == ("failed", 10, f"c{last}-coin-{last}")
    settings.FAIL_AFTER_N_RECORDS = None
    run = ingest("csv")
    assert (run.status, run.processed, run.last_processed_id) == ("completed", 10, "c30-coin-30")
    assert Quote.objects.count() == 29


def test_an_unchanged_file_is_unchanged_and_a_file_that_grew_goes_on(ingest, file):
    file.write_text(HEADER + "".join(row(number) for number in range(1, 21)))
    assert ingest("csv").inserted == 20
    run = ingest("csv")
    assert (run.status, run.pages, run.processed, run.unchanged) == ("completed", 0, 20, 20)
    assert run.last_processed_id == "c20-coin-20"
    with file.open("a") as more:
        more.write(row(21) + row(22))
    run = ingest("csv")
    assert (run.status, run.processed, run.inserted) == ("completed", 2, 2)
    assert Listing.objects.filter(missed_sweeps__gt=0).count() == 0, "the rows before are still in the file"


def test_a_file_that_changed_starts_again_and_what_it_no_longer_holds_is_missed(ingest, file):
    file.write_text(HEADER + "".join(row(number) for number in range(1, 21)))
    ingest("csv")
    file.write_text(HEADER + row(1, "2.5", "2026-11-20T01:00:00Z") + "".join(row(number) for number in range(2, 20)))
    run = ingest("csv")
    assert (run.status, run.processed, run.updated, run.unchanged) == ("completed", 19, 1, 18)
    assert list(Listing.objects.filter(missed_sweeps=1).values_list("source_asset_id", flat=True)) == ["c20-coin-20"]
    for _ in range(2):
        ingest("csv")
    assert Listing.objects.get(source_asset_id="c20-coin-20").delisted_at is not None


def test_a_history_of_one_coin_is_one_quote_and_many_points(ingest, file):
    file.write_text(HEADER + "".join(f"BTC,Bitcoin,{100 + day},1,2026-10-{day:02}T00:00:00Z\n" for day in range(1, 32)))
    run = ingest("csv")
    assert (run.status, run.processed, Quote.objects.count(), PricePoint.objects.count()) == ("completed", 31, 1, 31)
    assert run.processed == run.inserted + run.updated
    assert Quote.objects.get().price_usd == 131


def test_rows_that_can_not_be_read_are_kept_and_the_rest_goes_in(ingest, file):
    bad = [
        "C90,Coin 90,abc,1,2026-11-20T00:00:00Z\n",
        "C91,Coin 91,-1,1,2026-11-20T00:00:00Z\n",
        "C92,Coin 92\n",
        "C93,Coin 93,1,1,2026-11-20T00:00:00Z,7,8,9\n",
    ]
    file.write_text(HEADER + row(1) + "".join(bad) + row(2))
    run = ingest("csv")
    assert (run.status, run.processed, run.inserted, run.rejected) == ("completed", 6, 2, 4)
    assert sorted(Reject.objects.values_list("raw", flat=True)) == sorted(line.rstrip("\n") for line in bad)
    assert all(reject.reason for reject in Reject.objects.all())


def test_a_ten_megabyte_field_is_refused_and_stops_nothing_else(ingest, file):
    file.write_text(HEADER + row(1) + f"C90,{'x' * 10_000_000},1,1,2026-11-20T00:00:00Z\n" + row(2))
    run = ingest("csv")
    assert (run.status, run.inserted, run.rejected) == ("completed", 2, 1)


def test_quotes_that_never_close_do_not_swallow_the_file(ingest, file):
    file.write_text(
        HEADER + row(1) + 'C90,"Coin 90,1,1,2026-11-20T00:00:00Z\n' + "".join(row(number) for number in range(2, 12))
    )
    run = ingest("csv")
    assert run.status == "completed"
    assert run.processed == run.inserted + run.rejected
    assert run.inserted >= 10


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (HEADER.encode(), "holds a header and no row"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, "coins.csv"),
        (b"PK\x03\x04" + bytes(5000), "coins.csv"),
        (b"source,title,url\nnews,Something happened,https://example.org\n", "coins.csv"),
    ],
)
def test_a_file_that_is_none_is_refused_in_a_sentence_that_names_it(ingest, file, content, words):
    file.write_bytes(content)
    run = ingest("csv")
    assert run.status == "failed"
    assert words in run.error
    assert "coins.csv" in run.error
    assert "Traceback" not in run.error
    file.write_text(HEADER + row(1))
    assert ingest("csv").status == "completed"


def test_a_missing_file_and_a_directory_are_named(ingest, file, tmp_path, settings):
    run = ingest("csv")
    assert run.status == "failed"
    assert "coins.csv" in run.error
    settings.CSV_SOURCE_PATH = str(tmp_path)
    run = ingest("csv")
    assert run.status == "failed"
    assert tmp_path.name in run.error
    settings.CSV_SOURCE_PATH = str(tmp_path / "*.csv")
    assert "*.csv" in ingest("csv").error


def test_a_pattern_reads_every_file_and_notices_the_one_that_changed(ingest, file, tmp_path, settings):
    settings.CSV_SOURCE_PATH = str(tmp_path / "*.csv")
    file.write_text(HEADER + row(1) + row(2))
    (tmp_path / "more.csv").write_text(HEADER + row(3) + row(4))
    assert ingest("csv").inserted == 4
    (tmp_path / "more.csv").write_text(HEADER + row(3, "9", "2026-11-20T01:00:00Z"))
    run = ingest("csv")
    assert (run.status, run.updated) == ("completed", 1)
    assert list(Listing.objects.filter(missed_sweeps=1).values_list("source_asset_id", flat=True)) == ["c4-coin-4"]


@pytest.mark.parametrize(
    ("encoding", "bom"), [("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("latin-1", b"")]
)
def test_other_encodings_and_separators_go_in_and_show_at_psql(ingest, file, encoding, bom):
    text = "Symbol;Name;Preis;Zeit\r\n" + "".join(
        f"U{number};Übercoin {number};1.234,5{number};20.11.2026\r\n" for number in range(9)
    )
    file.write_bytes(bom + text.encode(encoding))
    run = ingest("csv")
    assert (run.status, run.error, run.inserted) == ("completed", "", 9)
    assert str(Quote.objects.get(listing__name="Übercoin 3").price_usd) == "1234.53"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM raw_csv WHERE payload ->> 'Name' LIKE 'Übercoin%'")
        assert cursor.fetchone() == (9,)
    assert RawPayload.objects.count() == 2


def test_the_bundled_sample_goes_in_labelled_as_what_it_is(ingest, settings):
    settings.CSV_SOURCE_PATH = str(settings.BASE_DIR / "data" / "sample_assets.csv")
    run = ingest("csv")
    assert (run.status, run.rejected) == ("completed", 0)
    assert run.inserted >= 100
    assert {moment.isoformat() for moment in Quote.objects.values_list("observed_at", flat=True)} == {
        "2026-11-01T00:00:00+00:00"
    }


def test_a_pair_in_doubt_is_decided_when_a_sweep_brings_the_price_that_tells(ingest, file):
    now = datetime.now(UTC).replace(microsecond=0)
    load("coingecko", record("acehigh", "ACE", "Acehigh", at=now, price_usd="5"))
    file.write_text(HEADER + f"HIGH,Acehigh,,,{now - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}\n")
    ingest("csv")
    assert (Asset.objects.count(), Candidate.objects.count()) == (2, 1)
    file.write_text(HEADER + f"HIGH,Acehigh,5.01,,{now:%Y-%m-%dT%H:%M:%SZ}\n")
    assert (ingest("csv").status, Candidate.objects.count()) == ("completed", 0)
    joined = Asset.objects.get()
    assert (joined.slug, joined.agreement) == ("acehigh", "agree")


def write(path: Path, *numbers: int, day: int = 20) -> None:
    path.write_text(HEADER + "".join(row(number, time=f"2026-11-{day:02}T00:00:00Z") for number in numbers))


def missed() -> dict[str, int]:
    """How many sweeps missed the coin of each symbol that is missed."""
    return dict(Listing.objects.filter(missed_sweeps__gt=0).values_list("symbol", "missed_sweeps"))


def test_a_file_that_is_gone_from_a_pattern_takes_its_coins_along(ingest, tmp_path, settings):
    settings.CSV_SOURCE_PATH = str(tmp_path / "*.csv")
    write(tmp_path / "a.csv", 1, 2, 3)
    write(tmp_path / "b.csv", 3, 4, 5)
    assert ingest("csv").processed == 6
    (tmp_path / "b.csv").unlink()
    for sweeps in (1, 2, 3):
        run = ingest("csv")
        assert (run.status, run.pages, run.processed, run.unchanged) == ("completed", 0, 3, 3)
        assert missed() == {"C4": sweeps, "C5": sweeps}
    assert Listing.objects.filter(delisted_at__isnull=False).count() == 2
    assert list(RawPayload.objects.filter(superseded=True).values_list("meta__file", flat=True)) == [
        str(tmp_path / "b.csv")
    ]
    write(tmp_path / "b.csv", 3, 4, 5)
    assert (ingest("csv").processed, missed()) == (3, {})


def test_a_file_named_in_the_place_of_another_takes_its_place(ingest, tmp_path, settings):
    write(tmp_path / "a.csv", 1, 2, 3)
    write(tmp_path / "b.csv", 4, 5)
    settings.CSV_SOURCE_PATH = str(tmp_path / "a.csv")
    ingest("csv")
    settings.CSV_SOURCE_PATH = str(tmp_path / "b.csv")
    ingest("csv")
    assert (ingest("csv").processed, missed()) == (2, {"C1": 2, "C2": 2, "C3": 2})


def test_an_export_under_a_new_name_each_day_is_one_sweep_a_day(ingest, tmp_path, settings):
    settings.CSV_SOURCE_PATH = str(tmp_path / "*.csv")
    for day in range(1, 5):
        for old in tmp_path.glob("*.csv"):
            old.unlink()
        write(tmp_path / f"prices-{day}.csv", *([1, 2, 3] if day == 1 else [1, 2]), day=day)
        assert ingest("csv").status == "completed"
    assert Listing.objects.get(delisted_at__isnull=False).symbol == "C3"


def test_a_path_with_no_file_is_an_error_that_says_nothing_about_a_coin(ingest, tmp_path, settings):
    folder = tmp_path / "in"
    folder.mkdir()
    settings.CSV_SOURCE_PATH = pattern = str(folder / "*.csv")
    write(folder / "a.csv", 1, 2, 3)
    ingest("csv")
    folder.rename(tmp_path / "away")
    for path in (pattern, str(tmp_path / "none.csv")) * 2:
        settings.CSV_SOURCE_PATH = path
        assert ingest("csv").status == "failed"
    (tmp_path / "away").rename(folder)
    settings.CSV_SOURCE_PATH = pattern
    run = ingest("csv")
    assert (run.status, run.pages, run.unchanged, missed()) == ("completed", 0, 3, {})


def test_a_file_that_goes_in_mid_sweep_loses_no_page_of_the_others(ingest, tmp_path, settings):
    settings.CSV_SOURCE_PATH, settings.ETL_BATCH_SIZE = str(tmp_path / "*.csv"), 2
    write(tmp_path / "a.csv", 1, 2)
    write(tmp_path / "b.csv", 3, 4, 5, 6)
    settings.FAIL_AFTER_N_RECORDS = 4
    assert ingest("csv").status == "failed"
    (tmp_path / "a.csv").unlink()
    settings.FAIL_AFTER_N_RECORDS = None
    assert (ingest("csv").status, missed()) == ("completed", {"C1": 1, "C2": 1})
    assert Quote.objects.count() == 6
