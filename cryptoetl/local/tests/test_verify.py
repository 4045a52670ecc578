"""`make verify` looks at a copy over HTTP alone, here at a server that says what each test wants it to say."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cryptoetl.local.verify import verify

GOOD: dict[str, tuple[int, Any]] = {
    "/health": (200, {"status": "healthy", "database": "healthy", "broker": "healthy", "etl": "healthy"}),
    "/stats": (200, {"sources": {"csv": {"status": "completed"}, "coingecko": {"status": "completed"}}}),
    "/data": (200, {"data": [{"id": 1}], "total": 1}),
    "/docs": (200, "<!doctype html><html></html>"),
    "/schema": (200, {"openapi": "3.0.3"}),
}


@pytest.fixture
def copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Callable[..., None]]:
    """A server that gives the good answers, but for those that the test names."""
    answers = dict(GOOD)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, {}))
            if answers.get("https") and self.headers["X-Forwarded-Proto"] != "https":
                self.send_response(301)
                self.send_header("Location", f"https://{self.headers['Host']}{self.path}")
                self.end_headers()
                return
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """The test's output is verify's alone."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("PORT", str(server.server_address[1]))
    monkeypatch.setenv("VAR", str(tmp_path / "none"))
    # A proxy is for the world outside.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    yield answers.update
    server.shutdown()
    thread.join()
    server.server_close()


def test_all_is_well(copy: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    assert verify() == 0
    said = capsys.readouterr().out
    assert said.count("  ok    ") == 5
    assert "All 5 are well." in said


def test_a_copy_behind_https_is_asked_as_its_proxy_asks(copy: Callable[..., None]) -> None:
    copy(https=(200, True))
    assert verify() == 0


@pytest.mark.parametrize(
    ("path", "answer", "line"),
    [
        (
            "/health",
            (503, {"status": "unhealthy", "database": "unhealthy"}),
            "health: status unhealthy, database unhealthy",
        ),
        (
            "/stats",
            (200, {"sources": {"csv": {"status": "failed", "error": "No file."}}}),
            "source csv: last run failed, No file.",
        ),
        ("/stats", (200, {"sources": {"csv": {"status": None}}}), "source csv: last run never ran"),
        ("/stats", (200, {"sources": {}}), "stats: no source is shown"),
        ("/stats", (500, "<html>"), "stats: no source is shown; /stats answered 500"),
        ("/data", (200, {"data": [], "total": 0}), "data: 0 rows"),
        ("/data", (200, ["data"]), "data: /data answered 200"),
        ("/docs", (404, {}), "docs: /docs answered 404"),
        ("/schema", (500, {}), "docs: the page is there, and /schema answered 500"),
    ],
)
def test_whatever_is_not_well_is_a_line_and_exit_1(
    copy: Callable[..., None], capsys: pytest.CaptureFixture[str], path: str, answer: tuple[int, Any], line: str
) -> None:
    copy({path: answer})
    assert verify() == 1
    said = capsys.readouterr().out
    assert f"  FAIL  {line}" in said
    assert "1 of " in said.splitlines()[-1]


def test_a_copy_that_asks_for_keys_is_well(copy: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    copy({"/stats": (401, {}), "/data": (401, {})})
    assert verify() == 0
    said = capsys.readouterr().out
    assert said.count("not looked at, as it takes an API key") == 2 and "2 not looked at." in said


def test_a_copy_that_does_not_run_fails_in_every_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("VAR", str(tmp_path / "none"))
    assert verify() == 1
    assert "4 of 4 failed." in capsys.readouterr().out
