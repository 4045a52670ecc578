"""Bad rows and hostile files: one clear sentence each, nothing lost or swallowed, and never a whole file in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.errors import Malformed, Refused
from ingestion.tests.sources.csv_reading import HEADER, coin_rows, pages_of, sweep


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "coins.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("BTC,Bitcoin,5", "Row 2 has 3 fields where the header has 4."),
        ("BTC,Bitcoin,5,2024-01-01,more", "Row 2 has 5 fields where the header has 4."),
        (",,5,2024-01-01", "The row names no coin."),
        ("BTC,Bitcoin,five,2024-01-01", "price is no number: 'five'"),
        ("BTC,Bitcoin,-5,2024-01-01", "price is negative: '-5'"),
        ("BTC,Bitcoin,€5,2024-01-01", "price is not in US dollars: '€5'"),
        ("BTC,Bitcoin,5,soon", "date is no time: 'soon'"),
        ("BTC,Bitcoin,5,", "date is no time: ''"),
        ("BTC,Bitcoin,5,1999-01-01", "observed_at lies before the first coin: 1999-01-01"),
        ("BTC,Bitcoin,5,2124-01-01", "observed_at lies in the future: 2124-01-01T00:00:00Z"),
        (f"BTC,{'x' * 201},5,2024-01-01", "name has 201 characters; 200 are the most a name may have."),
        (f"BTC,Bitcoin,{'9' * 400},2024-01-01", "price is out of any range"),
        ('BTC,"Bitcoin,5,2024-01-01', "Row 2 has a quote that is never closed"),
        ("BTC,Bit\0coin,5,2024-01-01", "Row 2 holds NUL bytes"),
    ],
)
def test_a_row_that_can_not_be_read_is_rejected_with_its_reason_and_costs_no_other(
    tmp_path: Path, row: str, why: str
) -> None:
    path = write(tmp_path, HEADER + coin_rows(1, 1) + row + "\n" + coin_rows(3, 40))
    found = sweep(path)
    assert len(found.items) == 40
    assert [reason for reason in found.rejects if not reason.startswith(why)] == []
    assert [record.symbol for record in found.records] == ["C1"] + [f"C{n}" for n in range(3, 41)]
    assert found.items[1].raw == row.replace("\0", "\N{SYMBOL FOR NULL}")


def test_fields_that_are_missing_at_the_end_are_empty_where_the_header_is(tmp_path: Path) -> None:
    found = sweep(write(tmp_path, "symbol,name,price,,\nBTC,Bitcoin,5\nETH,Ethereum,6,\nXRP,XRP,7,,\n"))
    assert (found.prices, found.rejects) == (["5", "6", "7"], [])


def test_line_breaks_inside_quotes_belong_to_the_field(tmp_path: Path) -> None:
    text = HEADER + 'BTC,"Bit\ncoin, ""the"" first\r\n",5,2024-01-01\n' + coin_rows(1, 2)
    found = sweep(write(tmp_path, text), batch_size=1)
    assert [record.name for record in found.records] == ['Bit\ncoin, "the" first', "Coin 1", "Coin 2"]
    assert found.items[0].raw == 'BTC,"Bit\ncoin, ""the"" first\r\n",5,2024-01-01'


def test_two_stray_quotes_do_not_make_one_row_of_all_between_them(tmp_path: Path) -> None:
    stray = 'BTC,"Bitcoin,5,2024-01-01\n'
    found = sweep(write(tmp_path, HEADER + coin_rows(1, 5) + stray + coin_rows(7, 300) + stray + coin_rows(302, 310)))
    assert len(found.items) == 310
    assert len(found.records) == 308
    assert [reason.split(" has ")[0] for reason in found.rejects] == ["Row 6", "Row 301"]


def test_a_stray_quote_that_another_one_closes_cleanly_makes_no_row_of_too_many_fields(tmp_path: Path) -> None:
    rows = 'BTC,"Bitcoin,5,2024-01-01\n' + coin_rows(2, 9) + 'C10",Coin 10,10.5,2024-01-01\n'
    found = sweep(write(tmp_path, HEADER + rows))
    assert [record.symbol for record in found.records] == [f"C{n}" for n in range(2, 10)] + ['C10"']
    assert len(found.rejects) == 1


def test_a_quote_that_is_never_closed_does_not_swallow_a_large_file(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + 'BTC,"Bitcoin,5,2024-01-01\n' + coin_rows(2, 60_000))
    pages = list(pages_of(path))
    assert sum(page.records for page in pages) == 60_000
    assert b"".join(page.body for page in pages) == path.read_bytes()[len(HEADER) :]


def test_a_field_of_ten_megabytes_is_refused_and_the_next_row_read(tmp_path: Path) -> None:
    text = HEADER + coin_rows(1, 1) + f"BTC,{'x' * 10_000_000},5,2024-01-01\n" + coin_rows(3, 4)
    found = sweep(write(tmp_path, text), batch_size=2)
    assert [record.symbol for record in found.records] == ["C1", "C3", "C4"]
    assert found.rejects == ["Row 2 is 10,000,018 bytes long, where 1,048,576 are the most; its start alone is kept."]
    assert sum(len(page.body) for page in found.pages) < 10_000
    again = sweep(tmp_path / "coins.csv", found.pages[1].cursor)
    assert [record.symbol for record in again.records] == ["C3", "C4"]


@pytest.mark.parametrize("size", [1_048_000, 1_049_000, 1_200_000, 1_400_000])
def test_a_row_has_a_limit_in_bytes(tmp_path: Path, size: int) -> None:
    half = "x" * (size // 2)  # for the csv module has the same limit for one field
    text = f"symbol,name,price,note,remark\nBTC,Bitcoin,1,{half},{half}\nETH,Ethereum,2,,\n"
    found = sweep(write(tmp_path, text))
    assert found.prices == (["1", "2"] if size < 1 << 20 else ["2"])
    assert len(found.rejects) == 2 - len(found.records)


def test_a_first_line_without_an_end_is_no_csv(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="has no line end in its first 262,144 bytes"):
        sweep(write(tmp_path, "symbol,name,price," * 100_000))


def test_a_page_has_a_limit_in_bytes_too(tmp_path: Path) -> None:
    wide = "".join(f'C{n},Coin,5,2024-01-01,"{"x" * 900_000}"\n' for n in range(20))
    pages = list(pages_of(write(tmp_path, "symbol,name,price,date,note\n" + wide)))
    assert sum(page.records for page in pages) == 20
    assert max(len(page.body) for page in pages) < 10_000_000
    assert len(pages) > 1


def test_a_million_blank_lines_are_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + coin_rows(1, 2) + "\n" * 1_000_000 + coin_rows(3, 4) + "\n" * 1_000_000)
    found = sweep(path)
    assert [record.symbol for record in found.records] == ["C1", "C2", "C3", "C4"]
    assert sum(len(page.body) for page in found.pages) < 300_000
    assert list(pages_of(path, found.cursor)) == []


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "CSV_SOURCE_PATH names no file."),
        ("{}/nowhere.csv", "There is no file {}/nowhere.csv."),
        ("{}/*.csv", "No file matches {}/*.csv."),
        ("{}", "{} is a directory; name a file in it, or a pattern such as {}/*.csv."),
        ("{}/pipe", "{}/pipe is no regular file."),
        ("{}/pipe/x.csv", "{}/pipe/x.csv can't be read: Not a directory."),
        (
            "ftp://user:secret@example.com/a.csv",
            "ftp://example.com/a.csv: ftp:// is no address that a CSV can be read from.",
        ),
        ("s3://bucket/a.csv", "s3://bucket/a.csv needs the packages fsspec and s3fs: pip install s3fs."),
    ],
)
def test_a_path_that_leads_to_no_csv_is_refused_with_a_sentence(
    tmp_path: Path, path: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Refused) as refusal:
        list(pages_of(path.replace("{}", str(tmp_path))))
    assert str(refusal.value) == why.replace("{}", str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + coin_rows(1, 1))
    path.chmod(0)
    with pytest.raises(Refused, match="can't be read: Permission denied"):
        list(pages_of(path))


def test_a_name_with_brackets_is_a_name_before_it_is_a_pattern(tmp_path: Path) -> None:
    path = tmp_path / "coins [1].csv"
    path.write_text(HEADER + coin_rows(1, 2))
    assert len(sweep(path).records) == 2


def test_the_source_runs_where_neither_django_nor_celery_is(tmp_path: Path) -> None:
    write(tmp_path, HEADER + coin_rows(1, 2))
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('django', 'celery', 'redis', 'psycopg2', 'requests')))\n"
        "from ingestion.source import Options, PageFacts\n"
        "from ingestion.sources.csv_file import fetch, parse, split\n"
        "page, = fetch(None, None, Options(path=sys.argv[1]))\n"
        "facts = PageFacts(page.received_at, page.meta)\n"
        "print([parse(item).symbol for item in split(page.body, page.encoding, facts)])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "coins.csv")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert (ran.stdout, ran.stderr) == ("['C1', 'C2']\n", "")


def test_memory_stays_flat_whatever_the_file_holds(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER)
    with path.open("a") as file:
        for start in range(0, 200_000, 20_000):
            file.write(coin_rows(start, start + 19_999))
        file.write('BTC,"' + "x" * 40_000_000 + "\n" + coin_rows(1, 10))
    script = (
        "import resource, sys\n"
        "from ingestion.source import Options\n"
        "from ingestion.sources.csv_file import fetch\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rows = sum(page.records for page in fetch(None, None, Options(path=sys.argv[1])))\n"
        "print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    rows, megabytes = map(int, ran.stdout.split())
    assert rows == 200_011
    assert megabytes < 30
