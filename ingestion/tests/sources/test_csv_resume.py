"""A CSV goes on where it stopped: a file that only grew, and nothing else."""

from __future__ import annotations

import gzip
import json
import os
import time
from itertools import islice
from pathlib import Path

import pytest

from ingestion.errors import Malformed
from ingestion.source import Gone, Options, Page
from ingestion.sources.csv_cursor import rows_behind
from ingestion.sources.csv_file import SOURCE
from ingestion.tests.sources.csv_reading import HEADER, NoHttp, Sweep, coin_rows, items_of, pages_of, sweep, write_large


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ten coins."""
    path = tmp_path / "coins.csv"
    path.write_text(HEADER + coin_rows(1, 10))
    return path


def symbols(read: Sweep) -> list[str]:
    return [record.symbol for record in read.records]


def test_a_sweep_ends_with_the_cursor_of_the_files_end(file: Path) -> None:
    first = sweep(file, batch_size=4)
    assert [page.records for page in first.pages] == [4, 4, 2]
    assert [page.cursor is None for page in first.pages] == [False, False, True]
    assert first.pages[-1].final_cursor == first.cursor
    assert [rows_behind(page.cursor or page.final_cursor) for page in first.pages] == [4, 8, 10]
    assert rows_behind(None) == 0


def test_nothing_new_gives_no_page(file: Path) -> None:
    end = sweep(file).cursor
    assert list(pages_of(file, end)) == []
    os.utime(file)
    assert list(pages_of(file, end)) == []
    assert SOURCE.rows_behind is rows_behind
    assert rows_behind(end) == 10


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("then", [1, 3, 1000])
def test_any_cursor_is_good_for_another_batch_size(file: Path, stop: int, then: int) -> None:
    before = list(islice(pages_of(file, batch_size=3), stop))
    seen = [item.raw for page in before for item in items_of(page)]
    after = sweep(file, before[-1].cursor, batch_size=then)
    assert seen + [item.raw for item in after.items] == coin_rows(1, 10).splitlines()
    assert after.pages[0].meta["first_row"] == 3 * stop + 1


def test_a_file_that_grew_goes_on_where_it_stopped(file: Path) -> None:
    end = sweep(file).cursor
    with file.open("a") as more:
        more.write(coin_rows(11, 12))
    grown = sweep(file, end)
    assert symbols(grown) == ["C11", "C12"]
    assert grown.pages[0].meta["first_row"] == 11
    assert rows_behind(grown.cursor) == 12


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a row in the middle", HEADER + coin_rows(1, 10).replace("C5,Coin 5,5.5", "C5,Coin 5,5.6")),
        ("rows above", HEADER + coin_rows(0, 10)),
        ("fewer rows", HEADER + coin_rows(1, 9)),
        ("the header", HEADER.replace("name", "coin") + coin_rows(1, 10)),
        ("everything", HEADER + coin_rows(50, 70)),
    ],
)
def test_a_file_that_changed_starts_again(file: Path, what: str, text: str) -> None:
    end = sweep(file).cursor
    file.write_text(text)
    assert [item.raw for item in sweep(file, end).items] == text.splitlines()[1:], what


def test_a_change_that_keeps_size_and_time_is_seen_while_the_file_is_young(file: Path) -> None:
    end = sweep(file).cursor
    stat = file.stat()
    file.write_text(file.read_text().replace("10.5", "10.6"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert sweep(file, end).prices[-1] == "10.6"


def bytes_read(path: Path, cursor: str | None, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes of the file a whole sweep reads."""
    read, lengths = os.pread, []

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        piece = read(descriptor, length, offset)
        lengths.append(len(piece))
        return piece

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", counted)
        list(pages_of(path, cursor))
    return sum(lengths)


def test_a_settled_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "coins.csv"
    write_large(path)
    size = path.stat().st_size
    end = list(pages_of(path))[-1].final_cursor
    assert bytes_read(path, end, monkeypatch) > size, "A young file is looked through, to be sure."
    os.utime(path, (0, time.time() - 3600))
    pages = list(pages_of(path))
    assert bytes_read(path, pages[-1].final_cursor, monkeypatch) < 10, "Nothing about it changed since."
    late = bytes_read(path, pages[-3].cursor, monkeypatch)
    assert late < size // 2, "A cursor near the end need not read what lies before it."


def test_reading_in_steps_ends_at_the_same_cursor_as_reading_in_one_go(tmp_path: Path) -> None:
    path = tmp_path / "coins.csv"
    write_large(path)
    os.utime(path, (0, time.time() - 3600))
    whole = list(pages_of(path))
    cursor, bodies = None, []
    while True:
        page = next(pages_of(path, cursor, batch_size=7_000))
        bodies.append(page.body)
        if page.cursor is None:
            break
        cursor = page.cursor
    assert len(bodies) == 5
    assert b"".join(bodies) == b"".join(page.body for page in whole) == path.read_bytes()[len(HEADER) :]
    assert page.final_cursor == whole[-1].final_cursor


def test_a_last_line_without_an_end_is_read_and_may_get_its_end_later(file: Path) -> None:
    file.write_text((HEADER + coin_rows(1, 10)).rstrip("\n"))
    first = sweep(file)
    assert symbols(first)[-1] == "C10"
    with file.open("a") as more:
        more.write("\n" + coin_rows(11, 11))
    assert symbols(sweep(file, first.cursor)) == ["C11"]


def test_a_last_line_that_was_not_whole_is_read_again(file: Path) -> None:
    file.write_text(HEADER + coin_rows(1, 2) + "C3,Coin 3,10,2024-01-0")
    first = sweep(file)
    with file.open("a") as more:
        more.write("1\n")
    again = sweep(file, first.cursor)
    assert symbols(again) == ["C1", "C2", "C3"]
    assert again.rejects == []


def test_a_row_that_ended_inside_quotes_is_read_again_only_when_more_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "coins.csv"
    path.write_text(HEADER + coin_rows(1, 1) + 'C2,"Coin\n' + coin_rows(3, 3))
    first = sweep(path, batch_size=1)
    assert (symbols(first), len(first.rejects)) == (["C1", "C3"], 1)
    behind_the_quote = first.pages[1].cursor
    assert symbols(sweep(path, behind_the_quote)) == ["C3"]
    assert list(pages_of(path, first.cursor)) == []
    with path.open("a") as more:
        more.write('2",2,2024-01-01\n')
    for cursor in (behind_the_quote, first.cursor):
        assert symbols(sweep(path, cursor)) == ["C1", "C2"]


def test_a_quote_that_what_is_appended_closes_makes_the_row_whole(tmp_path: Path) -> None:
    path = tmp_path / "coins.csv"
    path.write_text(HEADER + coin_rows(1, 1) + 'C2,"Coin\n')
    pages = list(pages_of(path, batch_size=2))
    with path.open("a") as more:
        more.write('2",2,2024-01-01\n' + coin_rows(3, 3))
    again = sweep(path, pages[-1].final_cursor)
    assert (symbols(again), again.rejects) == (["C1", "C2", "C3"], [])


def test_a_growing_file_whose_dates_turn_out_to_begin_with_the_day_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "days.csv"
    path.write_text("symbol,name,price,date\nBTC,Bitcoin,1,03/04/2024\n")
    first = sweep(path)
    assert first.records[0].observed_at.month == 3
    with path.open("a") as more:
        more.write("BTC,Bitcoin,2,13/04/2024\n")
    assert [record.observed_at.day for record in sweep(path, first.cursor).records] == [3, 13]


def test_a_cursor_of_another_kind_starts_from_the_first_row(file: Path) -> None:
    for cursor in (
        "",
        "17",
        "null",
        "[]",
        "not json",
        '{"version": 0}',
        json.dumps({"version": 1, "files": {"x": {}}}),
    ):
        assert len(sweep(file, cursor).records) == 10


def test_a_pattern_reads_all_files_in_order_and_goes_on_in_each(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"part{number}.csv").write_text(HEADER + coin_rows(10 * number, 10 * number + 4))
    pattern = tmp_path / "part*.csv"
    first = sweep(pattern, batch_size=3)
    assert symbols(first) == [f"C{n}" for start in (10, 20, 30) for n in range(start, start + 5)]
    assert [page.cursor is None for page in first.pages] == [False] * 5 + [True]
    middle = sweep(pattern, first.pages[2].cursor, batch_size=100)
    assert symbols(middle) == symbols(first)[8:]
    with (tmp_path / "part1.csv").open("a") as more:
        more.write(coin_rows(15, 15))
    (tmp_path / "part2.csv").unlink()
    (tmp_path / "part4.csv").write_text(HEADER + coin_rows(40, 41))
    assert symbols(sweep(pattern, first.cursor)) == ["C15", "C40", "C41"]


def test_one_file_in_disorder_does_not_keep_the_others_from_being_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "b.csv").write_text(HEADER + coin_rows(1, 2))
    pages = pages_of(tmp_path / "*.csv")
    page = next(pages)
    assert page.records == 2
    assert page.cursor, "The sweep is not whole, so its checkpoint is no end."
    with pytest.raises(Malformed, match=r"a\.csv is empty"):
        next(pages)


def test_a_packed_file_is_unpacked_and_goes_on_too(tmp_path: Path) -> None:
    path = tmp_path / "coins.csv.gz"
    path.write_bytes(gzip.compress((HEADER + coin_rows(1, 5)).encode()))
    first = sweep(path, batch_size=2)
    assert symbols(first) == ["C1", "C2", "C3", "C4", "C5"]
    assert list(pages_of(path, first.cursor)) == []
    path.write_bytes(gzip.compress((HEADER + coin_rows(1, 7)).encode()))
    assert symbols(sweep(path, first.cursor)) == ["C6", "C7"]


def test_a_file_that_is_gone_is_given_up_and_no_row_of_the_others_is_skipped(tmp_path: Path) -> None:
    for name, first in (("a.csv", 1), ("b.csv", 11)):
        (tmp_path / name).write_text(HEADER + coin_rows(first, first + 4))
    pattern = str(tmp_path / "*.csv")
    end = sweep(pattern).cursor
    (tmp_path / "a.csv").unlink()
    with (tmp_path / "b.csv").open("a") as more:
        more.write(coin_rows(16, 19))
    said = list(SOURCE.fetch(NoHttp(), end, Options(path=pattern, batch_size=2)))
    assert [type(one) for one in said] == [Page, Gone, Page]
    gone = said[1]
    assert isinstance(gone, Gone)
    assert gone.files == (str(tmp_path / "a.csv"),)
    assert symbols(sweep(pattern, gone.cursor)) == ["C18", "C19"]
