"""The source that docs/ADDING_A_SOURCE.md builds works as it stands there."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from django.conf import settings

from ingestion import sources
from ingestion.source import HttpFile, HttpResponse, Options, PageFacts

BLOCKS = re.findall(
    r"^```python\n(.*?)^```",
    (Path(settings.BASE_DIR) / "docs" / "ADDING_A_SOURCE.md").read_text(),
    flags=re.MULTILINE | re.DOTALL,
)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def coinlore(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the page, importable under the name that the page gives it."""
    module = ModuleType("ingestion.sources.coinlore")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sources, "coinlore", module, raising=False)
    exec(compile(BLOCKS[0], "docs/ADDING_A_SOURCE.md", "exec"), module.__dict__)
    yield module


class Pages:
    """Answers as CoinLore does: so many coins, 100 at a time."""

    def __init__(self, coins: int) -> None:
        self.coins = coins
        self.asked: list[int] = []

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> HttpResponse:
        start = int((params or {})["start"])
        self.asked.append(start)
        numbers = range(start, min(start + 100, self.coins))
        data = [{"id": str(n), "symbol": f"C{n}", "name": f"Coin {n}", "price_usd": f"{n}.50"} for n in numbers]
        body = json.dumps({"data": data, "info": {"coins_num": self.coins}}).encode()
        return HttpResponse(body=body, url=path, received_at=NOW, status_code=200, headers={})

    def download(self, url: str) -> HttpFile:
        raise NotImplementedError


def test_it_is_as_short_as_promised(coinlore: ModuleType) -> None:
    code = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(code) <= 70
    assert max(map(len, code)) <= 120
    assert coinlore.SOURCE.slug == "coinlore"


def test_it_walks_all_pages_and_goes_on_from_each(coinlore: ModuleType) -> None:
    whole = Pages(250)
    pages = list(coinlore.fetch(whole, None, Options()))
    assert [(page.records, page.cursor) for page in pages] == [(100, "100"), (100, "200"), (50, None)]
    again = Pages(250)
    assert [page.records for page in coinlore.fetch(again, pages[0].cursor, Options())] == [100, 50]
    assert (whole.asked, again.asked) == ([0, 100, 200], [100, 200])


def test_every_record_of_a_page_is_read(coinlore: ModuleType) -> None:
    page = next(coinlore.fetch(Pages(30), None, Options()))
    items = coinlore.SOURCE.split(page.body, page.encoding, PageFacts(NOW, page.meta))
    assert [str(coinlore.parse(item).price_usd) for item in items] == [f"{n}.50" for n in range(30)]


@pytest.mark.parametrize("name", re.findall(r"def (test_\w+)", BLOCKS[1]))
def test_its_own_tests_pass(coinlore: ModuleType, name: str) -> None:
    tests: dict[str, object] = {"__name__": "test_coinlore"}
    exec(compile(BLOCKS[1], "docs/ADDING_A_SOURCE.md", "exec"), tests)
    tests[name]()  # type: ignore[operator]
