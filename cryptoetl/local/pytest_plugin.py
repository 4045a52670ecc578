"""Gives the tests their own PostgreSQL and Redis before Django reads its settings, and takes them away again.

Named in pytest.ini with `-p`, as a conftest.py is loaded too late for that. Nothing of the user's is touched or read:
neither a running copy, nor `.env`, nor the variables that name servers, keys and limits.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Generator

import pytest

from cryptoetl.local.folder import CLONE
from cryptoetl.local.throwaway import Throwaway
from cryptoetl.local.trouble import Trouble

_running: list[Throwaway] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    # A wrapper runs before pytest-django's hook of this name, which loads the settings.
    for name in _settings_variables():
        os.environ.pop(name, None)
    try:
        servers = Throwaway()
        servers.start()
    except Trouble as trouble:
        raise pytest.UsageError(f"cryptoetl: {trouble}") from None
    _running.append(servers)
    atexit.register(_stop)
    os.environ |= {**servers.environment(), "ENV_FILE": os.devnull}
    yield


def pytest_unconfigure() -> None:
    _stop()


def _stop() -> None:
    while _running:
        _running.pop().stop()


def _settings_variables() -> list[str]:
    """Every variable that the settings read; `.env.example` names them all, which a test holds it to."""
    example = CLONE / ".env.example"
    return re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", example.read_text(), flags=re.MULTILINE) if example.exists() else []


@pytest.fixture(scope="session")
def servers() -> Throwaway:
    """The session's PostgreSQL and Redis, for tests that kill one."""
    return _running[0]
