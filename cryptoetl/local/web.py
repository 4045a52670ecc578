"""Asks the running copy over HTTP, as any user of it would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from cryptoetl.local.ports import LOOPBACK

# A proxy named in the environment is for the world outside, not for this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """`status` is 0 when nobody answered; `body` then says why."""

    status: int
    body: str

    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def ask(port: int, path: str, accept: str = "application/json", timeout: float = 5) -> Answer:
    # A copy with HTTPS sends elsewhere whoever didn't come by its proxy, which says so with this; others don't look.
    headers = {"Accept": accept, "X-Forwarded-Proto": "https"}
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}{path}", headers=headers)
    try:
        with _opener.open(request, timeout=timeout) as response:
            return Answer(response.status, response.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode("utf-8", "replace"))
    except OSError as error:
        reason = getattr(error, "reason", error)
        return Answer(0, getattr(reason, "strerror", None) or str(reason))


def trouble(port: int, timeout: float = 2) -> str | None:
    """Why the web does not serve; None when it does."""
    answer = ask(port, "/health/live", timeout=timeout)
    if answer.status == 200:
        return None
    return f"/health/live answered {answer.status}" if answer.status else answer.body
