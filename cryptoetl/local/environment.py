"""What the processes of one copy get as their environment; the only place that puts it together.

The user's environment wins over `.env`, and both over what is embedded. An empty variable counts as unset.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from cryptoetl.local.folder import CLONE, Folder
from cryptoetl.local.trouble import Trouble

DEFAULT_PORT = 8000


def embedded_environment(var: Path) -> dict[str, str]:
    """DATABASE_URL, REDIS_URL, SECRET_KEY and the rest that the copy in this folder runs with; empty without a copy.

    For `manage.py` in a person's hand, which so reaches the same database as the copy that `make up` started.
    """
    try:
        environment = Folder(var).read_state().get("environment", {})
    except Trouble:
        return {}
    return {str(name): str(value) for name, value in environment.items()}


def given(env_file: Path | None = None) -> dict[str, str]:
    """What the user has set, in the environment or in `.env`."""
    file = Path(os.environ.get("ENV_FILE") or CLONE / ".env") if env_file is None else env_file
    values = {**_read(file), **{name: value for name, value in os.environ.items() if value}}
    return {name: value for name, value in values.items() if value}


def _read(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    # The settings read the file with the same parser; it is loaded only when there is a file, as it loads Django's.
    import environ

    values: dict[str, str] = {}

    class Reader(environ.Env):
        ENVIRON: ClassVar[dict[str, str]] = values

    try:
        Reader.read_env(file)
    except UnicodeDecodeError as error:
        raise Trouble(f"{file} must be text in UTF-8.", code=2) from error
    return values


def folder_for(values: dict[str, str], demo: bool = False) -> Folder:
    """VAR, by default `.var` in the clone. The demo has a folder of its own beside it."""
    name = values.get("VAR") or str(CLONE / ".var")
    return Folder(name.rstrip("/") + "-demo" if demo else name)


def program_environment(folder: Folder, state: dict[str, Any], program: str) -> dict[str, str]:
    """The environment of a supervised program: the supervisor's, with the copy's own values on top."""
    return {**os.environ, **state["environment"], "VAR": str(folder.path), "CRYPTOETL_PROGRAM": program}
