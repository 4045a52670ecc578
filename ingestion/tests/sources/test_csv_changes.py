"""A file that changes while it is read: no page holds rows of two versions, and what only grew goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingestion.errors import Unavailable
from ingestion.sources.csv_cursor import rows_behind
from ingestion.tests.sources.csv_reading import HEADER, coin_rows, items_of, pages_of, write_large


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path, other = tmp_path / "coins.csv", tmp_path / "new.csv"
    write_large(path)
    write_large(other, 100_000)
    pages = pages_of(path)
    seen = next(pages)
    os.replace(other, path)
    with pytest.raises(Unavailable, match="was replaced while it was read"):
        list(pages)
    assert items_of(next(pages_of(path, seen.cursor)))[0].data["symbol"] == "C100000"


@pytest.mark.parametrize("keeps_its_time", [False, True])
def test_a_file_that_is_written_over_while_it_is_read_is_noticed(tmp_path: Path, keeps_its_time: bool) -> None:
    path = tmp_path / "coins.csv"
    write_large(path)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    pages = pages_of(path)
    next(pages)
    with path.open("r+") as same:
        same.seek(len(HEADER))
        same.write("C0,Coin 0,9")
    if keeps_its_time:
        os.utime(path, ns=times)
    with pytest.raises(Unavailable, match="was written over while it was read"):
        list(pages)


def test_a_file_that_is_cut_short_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "coins.csv"
    write_large(path)
    pages = pages_of(path)
    next(pages)
    os.truncate(path, 1000)
    with pytest.raises(Unavailable, match="was written over while it was read"):
        list(pages)


def test_a_file_that_grows_while_it_is_read_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "coins.csv"
    write_large(path)
    pages = pages_of(path)
    rows = next(pages).records
    with path.open("a") as more:
        more.write(coin_rows(30_001, 30_002))
    rest = list(pages)
    rows += sum(page.records for page in rest)
    assert rows == 30_002
    assert rows_behind(rest[-1].final_cursor) == 30_002
