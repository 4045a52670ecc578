"""An API key that sings: it is sent down every path, and then nothing that is kept, shown or passed on holds it."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from django.conf import settings as project
from django.contrib.admin import site
from django.contrib.auth import get_user_model
from django.db import connection
from django.urls import reverse

from assets.models import Source
from ingestion import broker, runs, tasks
from ingestion.models import Gate, RawPayload, Reject, Run
from ingestion.tests.browsing import list_path, row_path
from ingestion.tests.crew import Crew, wait_for

pytestmark = pytest.mark.faults

KEY = "CG-canary7f3aQ9zZ"
#: Of another source, which has no business here and is repeated all the same. No two spellings of it are alike.
OTHERS_KEY = 'cp/canary8b+Zq="x&<y>%41'
OTHER_SPELLINGS = (
    quote(OTHERS_KEY),
    quote(OTHERS_KEY, safe=""),
    re.sub("%..", lambda code: code[0].lower(), quote(OTHERS_KEY, safe="")),
    quote(quote(OTHERS_KEY, safe="")),
    json.dumps(OTHERS_KEY)[1:-1],
    json.dumps(OTHERS_KEY)[1:-1].replace("/", "\\/"),
    "".join(character if character.isalnum() else f"\\u{ord(character):04X}" for character in OTHERS_KEY),
    "".join(f"\\u{ord(character):04x}" for character in OTHERS_KEY),
    html.escape(OTHERS_KEY),
    "".join(character if character.isalnum() else f"&#{ord(character)};" for character in OTHERS_KEY),
    *(base64.b64encode(b"x" * before + OTHERS_KEY.encode()).decode() for before in range(3)),
    base64.urlsafe_b64encode(OTHERS_KEY.encode()).decode(),
)
COIN = {
    "symbol": "btc",
    "current_price": 91000,
    "market_cap": 1,
    "total_volume": 1,
    "last_updated": "2026-11-21T08:00:00.000Z",
}


def coins(*changes: dict[str, object]) -> str:
    return json.dumps([{**COIN, "id": f"coin-{n}", "name": f"Coin {n}"} | change for n, change in enumerate(changes)])


#: path -> status, headers, body; {key} is the key as the server was sent it, {here} the server.
ANSWERS: dict[str, tuple[int, dict[str, str], str]] = {
    "said in every field": (
        200,
        {"etag": "{key}", "x-ratelimit-of": "{key}"},
        coins({"name": "{key}", "image": "{key}"}),
    ),
    "said in a record that can't be read": (200, {}, coins({}, {"current_price": "{key}"}, {"name": 5, "id": "{key}"})),
    "said in a list cut short": (200, {}, '[{{"id": "{key}", "name": '),
    "said in a page of HTML": (200, {"content-type": "text/html"}, "<html>{key}</html>"),
    "said in gzip": (200, {"content-encoding": "gzip"}, coins({"name": "{key}"})),
    "a code that is known": (401, {}, '{{"status": {{"error_code": 10002, "error_message": "{key} is missing"}}}}'),
    "a code that is not": (401, {}, '{{"status": {{"error_code": 1, "error_message": "{key} is unknown"}}}}'),
    "as text": (403, {}, '{{"error": "who is {key}?"}}'),
    "too many calls": (429, {"retry-after": "0", "x-ratelimit-of": "{key}"}, "<html>{key}</html>"),
    "a plan too small": (402, {}, '{{"error": "upgrade the plan of {key}"}}'),
    "trouble": (500, {}, '{{"error": "{key} broke it"}}'),
    "nothing there": (404, {}, '{{"error": "{key} not found"}}'),
    "spelled in other ways": (200, {}, coins(*({"name": f"spelling {n} "} for n in range(len(OTHER_SPELLINGS))))),
    "spelled so that it can't be read": (
        200,
        {"etag": "{spelling 0}", "x-ratelimit-of": "{spelling 12}"},
        coins(*({"current_price": f"spelling {n} "} for n in range(len(OTHER_SPELLINGS)))),
    ),
    **{
        f"spelled as text {n}": (status, {}, f'{{{{"error": "who is spelling {n} ?"}}}}')
        for n, status in ((1, 401), (5, 429), (10, 403))
    },
    "another address, spelled": (302, {"location": "{here}/{spelling 1}/x"}, ""),
    "another host": (302, {"location": "http://{key}@localhost:9/{key}?key={key}"}, ""),
    "another address": (302, {"location": "{here}/{key}/x?key={key}"}, ""),
    "silence": (0, {}, ""),
    "our own fault": (200, {}, coins({"id": "our-own-fault"})),
}


class Echo(ThreadingHTTPServer):
    """Sends the key back in every way that it is told."""

    daemon_threads = True
    next = ""
    sent = 0


class Answer(BaseHTTPRequestHandler):
    server: Echo

    def do_GET(self) -> None:
        key = self.headers["x-cg-demo-api-key"]
        self.server.sent += key == KEY
        status, headers, body = ANSWERS[self.server.next]
        if not status:
            self.rfile.read(1)
            return
        here = f"http://127.0.0.1:{self.server.server_port}"
        fill = {"key": key, "here": here} | {f"spelling {n}": text for n, text in enumerate(OTHER_SPELLINGS)}
        # The bodies made by json.dumps have braces of their own.
        text = body.replace("{key}", json.dumps(key)[1:-1]).replace("{{", "{").replace("}}", "}")
        text = re.sub(r"spelling (\d+) ", lambda found: OTHER_SPELLINGS[int(found[1])], text)
        data = gzip.compress(text.encode()) if "content-encoding" in headers else text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value.format(**fill))
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


#: A worker whose patience is short, and which stumbles over one page with the key in its hand.
WORKER = """
import django
django.setup()
from cryptoetl.celery import app
from django.conf import settings
from ingestion import http, pipeline
http.READ_TIMEOUT = 0.3
store = pipeline.store_page
def stumble(run, lease, page):
    if b"our-own-fault" in page.body:
        key = settings.COINGECKO_API_KEY
        raise RuntimeError(f"the key was {key}, {[key]} and {key.encode()!r}")
    return store(run, lease, page)
pipeline.store_page = stumble
app.worker_main(["worker", "-c", "1", "-Q", "fetch,normalize,maintenance", "--without-mingle", "-E"])
"""


@pytest.fixture
def crew(provider, echo) -> Iterator[Crew]:
    crew = Crew(provider)
    crew.environment |= {
        "COINGECKO_BASE_URL": f"http://127.0.0.1:{echo.server_port}",
        "COINGECKO_API_KEY": KEY,
        "COINGECKO_PLAN": "demo",
        "COINPAPRIKA_API_KEY": OTHERS_KEY,
        "ETL_RETRY_ATTEMPTS": "0",
        "LOG_LEVEL": "DEBUG",
    }
    yield crew
    crew.stop()


class Listening(threading.Thread):
    """Every command that Redis gets: whatever a message, an event or a result ever held."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.heard: list[str] = []
        self.url = url
        self.ended = False
        self.ready = threading.Event()

    def run(self) -> None:
        with broker.redis_client(self.url, 60) as client, client.monitor() as monitor:
            self.ready.set()
            for command in monitor.listen():
                self.heard.append(str(command))
                if self.ended:
                    return

    def __enter__(self) -> Listening:
        self.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True
        with broker.redis_client(self.url) as client:
            client.ping()
        self.join()


#: As text, as the bytes of a column, and inside of base64 at any of the three places where it may begin.
SONGS = (
    KEY,
    KEY.encode().hex(),
    *(base64.b64encode(b"\0" * before + KEY.encode()).decode()[4 if before else 0 : -4] for before in range(3)),
    "canary8b",
    *OTHER_SPELLINGS,
    *(base64.b64encode(b"\0" * before + OTHERS_KEY.encode()).decode()[4 if before else 0 : -4] for before in range(3)),
)


def holds(text: str) -> bool:
    return any(song in text for song in SONGS)


def rows_of_every_table() -> Iterator[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" t')
            for (row,) in cursor.fetchall():
                yield table, row


#: What is kept is the same whatever the logs look like: as lines for a person one of each kind is enough.
LOGGED = ("said in a record that can't be read", "said in a list cut short", "trouble", "another host", "our own fault")


@pytest.mark.parametrize(("form", "answers"), [("json", tuple(ANSWERS)), ("console", LOGGED)])
def test_a_key_that_comes_back_in_every_way_is_in_nothing_that_is_kept_shown_or_passed_on(
    form, answers, crew, echo, client, settings, tables
):
    source = Source.objects.get(slug="coingecko")
    with Listening(crew.environment["REDIS_URL"]) as redis:
        crew.python("-c", WORKER, LOG_FORMAT=form)
        for answer in answers:
            echo.next = answer
            Gate.objects.update(failures=0, open_until=None)
            run = runs.start_run(source, Run.Trigger.COMMAND, full=True)
            tasks.send(tasks.fetch, run.pk)
            wait_for(lambda: Run.objects.get(pk=run.pk).finished_at, answer, 30)  # noqa: B023
    assert echo.sent >= len(answers)
    # It came that far: without these, there would be nothing to find.
    assert Run.objects.filter(status="completed").exists()
    assert Run.objects.filter(error__contains="fault of cryptoetl itself").exists()
    assert Reject.objects.exists()
    assert RawPayload.objects.filter(state="failed").exists()

    for table, row in rows_of_every_table():
        assert not holds(row), f"{table}: {row[:500]}"
    assert "RuntimeError" in crew.log
    for line in crew.log.splitlines():
        assert not holds(line), line[:500]
    assert any("ingestion.tasks.fetch" in command for command in redis.heard)
    for command in redis.heard:
        assert not holds(command), command[:500]

    settings.COINGECKO_API_KEY, settings.COINGECKO_PLAN = KEY, "demo"
    client.force_login(get_user_model().objects.create_superuser("root", password="known to root"))
    paths = ["/metrics", "/stats", "/stats/runs", "/health/detailed", "/data", "/assets", reverse("admin:index")]
    for model in site._registry:
        paths += [list_path(model), *(row_path(row) for row in model._default_manager.all()[:40])]
    for path in paths:
        shown = client.get(path)
        assert shown.status_code == 200, path
        assert not holds(shown.getvalue().decode()), path


@pytest.mark.parametrize("command", [["doctor"], ["sources", "--check"], ["ingest", "coingecko", "--inline"]])
def test_no_command_shows_the_key(crew, echo, tables, command):
    echo.next = "a code that is not"
    ran = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=project.BASE_DIR,
        env=crew.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert echo.sent
    assert "CoinGecko" in ran.stdout
    assert not holds(ran.stdout + ran.stderr)


LOGS = """
import logging
import django
django.setup()
from django.conf import settings
key = settings.COINGECKO_API_KEY
log = logging.getLogger("ingestion.somewhere")
log.warning("a key in the text: %s", key)
log.warning("and beside it", extra={"one": key, "many": [key], "deep": {"er": {key: key}}})
try:
    raise ValueError(f"the key is {key}")
except ValueError:
    log.exception("an exception with a key")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_log_line_holds_no_key_wherever_it_stood(form, crew, tables):
    assert crew.python("-c", LOGS, LOG_FORMAT=form).wait(60) == 0
    assert "an exception with a key" in crew.log
    assert crew.log.count("[redacted]") >= 5
    assert not holds(crew.log)
