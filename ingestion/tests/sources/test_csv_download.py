"""A CSV behind an address is read from a temporary file, which is gone afterwards; no key in the address is told on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.errors import Malformed, Unavailable
from ingestion.source import HttpFile, HttpResponse, Options, Page, PageFacts
from ingestion.sources.csv_file import SOURCE
from ingestion.tests.sources.csv_reading import coin_rows

ADDRESS = "https://me:password@example.com/coins.csv?token=secret"
MODIFIED = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class Server:
    """Downloads what `text` is at that time, as `ingestion.http` does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = "symbol,name,price\n" + "".join(f"C{n},Coin {n},{n}\n" for n in range(1, 6))
        self.last_modified: datetime | None = MODIFIED

    def get(self, path: str, params: object = None) -> HttpResponse:
        raise AssertionError("A CSV is downloaded, not got.")

    def download(self, url: str) -> HttpFile:
        assert url == ADDRESS
        path = self.folder / "download"
        path.write_text(self.text)
        return HttpFile(str(path), "https://example.com/coins.csv", datetime.now(UTC), self.last_modified, {})

    def pages(self, cursor: str | None = None, batch_size: int = 1000) -> Iterator[Page]:
        return SOURCE.fetch(self, cursor, Options(path=ADDRESS, batch_size=batch_size))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_a_download_is_read_and_deleted(server: Server) -> None:
    pages = list(server.pages(batch_size=2))
    assert [page.records for page in pages] == [2, 2, 1]
    assert list(server.folder.iterdir()) == []
    facts = PageFacts(pages[0].received_at, pages[0].meta)
    first = SOURCE.parse(next(iter(SOURCE.split(pages[0].body, pages[0].encoding, facts))))
    assert first.observed_at == MODIFIED


def test_a_download_without_a_time_is_observed_when_it_was_received(server: Server) -> None:
    server.last_modified = None
    (page,) = server.pages()
    assert abs((datetime.fromisoformat(page.meta["observed_at"]) - page.received_at).total_seconds()) < 60


def test_no_secret_of_the_address_is_kept(server: Server) -> None:
    for page in server.pages(batch_size=2):
        kept = f"{page.url}{page.cursor}{page.final_cursor}{dict(page.meta)}"
        assert "https://example.com/coins.csv" in kept
        assert "secret" not in kept and "password" not in kept


def test_a_download_goes_on_where_it_stopped_and_starts_again_when_it_changed(server: Server) -> None:
    *_, last = server.pages()
    assert list(server.pages(last.final_cursor)) == []
    server.text += "C6,Coin 6,6\n"
    (grown,) = server.pages(last.final_cursor)
    assert grown.body == b"C6,Coin 6,6\n"
    server.text = server.text.replace("Coin 1,1", "Coin 1,2")
    assert sum(page.records for page in server.pages(grown.final_cursor)) == 6


def test_a_download_that_is_no_csv_is_deleted_too(server: Server) -> None:
    server.text = "<html><body>Sign in</body></html>"
    with pytest.raises(Malformed, match=r"https://example\.com/coins\.csv holds an HTML page, not a CSV\."):
        list(server.pages())
    assert list(server.folder.iterdir()) == []


def test_a_sweep_that_is_given_up_leaves_no_file(server: Server) -> None:
    server.text = "symbol,name,price,date\n" + coin_rows(1, 10)
    pages = server.pages(batch_size=2)
    next(pages)
    pages.close()  # type: ignore[attr-defined]
    assert list(server.folder.iterdir()) == []


def test_a_server_that_does_not_answer_is_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_answer(url: str) -> HttpFile:
        raise Unavailable("example.com did not answer.")

    monkeypatch.setattr(server, "download", no_answer)
    with pytest.raises(Unavailable):
        list(server.pages())
