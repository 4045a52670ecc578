"""The sessions of docs/API.md are real: each `$ curl` is asked, and its answer is what stands below it."""

from __future__ import annotations

import json
import shlex
from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings

from assets.tests.test_api_examples import world
from cryptoetl import keys

pytestmark = pytest.mark.django_db(transaction=True)  # An export sees only what is committed.

ANY = "…"


def sessions() -> list[tuple[str, str]]:
    """Each command of the page with what it prints."""
    found: list[tuple[str, str]] = []
    inside = False
    for line in (settings.BASE_DIR / "docs" / "API.md").read_text().splitlines():
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append((line[2:], ""))
        elif inside:
            found[-1] = (found[-1][0], found[-1][1] + line + "\n")
    return found


def curl(client: Any, command: str) -> str:
    """What curl would print."""
    options = ArgumentParser()
    options.add_argument("-s", action="store_true")
    options.add_argument("-o")
    options.add_argument("-w", default="")
    options.add_argument("-H", action="append", default=[])
    options.add_argument("-X", default="GET")
    options.add_argument("url")
    program, *arguments = shlex.split(command)
    asked = options.parse_args(arguments)
    host, _, path = asked.url.partition("/")
    assert (program, host) == ("curl", "localhost:8000")
    headers = dict(header.split(": ", 1) for header in asked.H)
    if headers.get("Authorization") == "Bearer $KEY":
        headers["Authorization"] = f"Bearer {keys.make('a session', 'operate')[1]}"
    answer = client.generic(asked.X, "/" + path, headers=headers, HTTP_HOST=host)
    told = asked.w.replace("%{http_code}", str(answer.status_code))
    told = told.replace("%{redirect_url}", f"http://{host}{answer.get('Location', '')}")
    return told if asked.o else answer.getvalue().decode() + told


def likened(expected: Any, answer: Any) -> Any:
    """The answer, with `…` where that is expected."""
    if expected == ANY and answer is not None:
        return ANY
    if isinstance(expected, dict) and isinstance(answer, dict):
        return {name: likened(expected.get(name), value) for name, value in answer.items()}
    if isinstance(expected, list) and isinstance(answer, list) and len(expected) == len(answer):
        return [likened(one, other) for one, other in zip(expected, answer, strict=True)]
    return answer


@pytest.mark.parametrize(("command", "printed"), sessions())
def test_a_session_is_what_happens(client, command, printed):
    world()
    answer = curl(client, command)
    if not printed.startswith("{"):
        assert answer.strip().replace("\r\n", "\n") == printed.strip()
        return
    expected, real = (json.loads(text, parse_float=Decimal) for text in (printed, answer))
    assert likened(expected, real) == expected
    assert list(real) == list(expected), "in this order"


def test_there_are_sessions_of_every_kind():
    text = " ".join(command for command, _ in sessions())
    for part in (
        "cursor=",
        "as_of=",
        "format=csv",
        "format=ndjson",
        "If-None-Match",
        "/history",
        "page=-1",
        "ids=",
        "POST",
    ):
        assert part in text
