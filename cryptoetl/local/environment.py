"""What the processes of one copy get as their environment; the only place that puts it together.

The user's environment wins over `.env`, and both over what is embedded. An empty variable counts as unset.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any, ClassVar

from cryptoetl.local.folder import CLONE, Folder
from cryptoetl.local.trouble import Trouble

DEFAULT_PORT = 8000
_LINE = re.compile(r"(?:export )?[A-Za-z_0-9]+=")


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
    values = {**in_file(env_file), **{name: value for name, value in os.environ.items() if value}}
    return {name: value for name, value in values.items() if value}


def in_file(env_file: Path | None = None) -> dict[str, str]:
    """What stands in the file, by default the one that ENV_FILE names, or `.env` in the clone where there is one.

    Raises Trouble with the line that can't be used. It never shows a line: a key may stand in it.
    """
    named = os.environ.get("ENV_FILE")
    file = env_file or Path(named or CLONE / ".env")
    if not named and not env_file and not os.path.lexists(file):
        return {}
    what = f"ENV_FILE names {file}, which" if named and not env_file else str(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Trouble(f"{what} must be text in UTF-8.", code=2) from error
    except OSError as error:
        raise Trouble(f"{what} can't be read: {error.strerror}.", code=2) from error
    if "\0" in text:
        raise Trouble(f"{what} must be text.", code=2)
    lines = [line.strip() for line in text.splitlines()]
    for number, line in enumerate(lines, start=1):
        if line and not line.startswith("#") and not _LINE.match(line):
            raise Trouble(f"{file}, line {number}: write NAME=value, with no blank before the equals sign.", code=2)
    return _parsed("\n".join(lines))


def _parsed(text: str) -> dict[str, str]:
    if not text:
        return {}
    import environ  # loaded only when there is a file, as it loads Django

    values: dict[str, str] = {}

    class Reader(environ.Env):
        ENVIRON: ClassVar[dict[str, str]] = values

    Reader.read_env(io.StringIO(text))
    return values


def folder_for(values: dict[str, str], demo: bool = False) -> Folder:
    """VAR, by default `.var` in the clone. The demo has a folder of its own beside it."""
    name = values.get("VAR") or str(CLONE / ".var")
    return Folder(name.rstrip("/") + "-demo" if demo else name)


def program_environment(folder: Folder, state: dict[str, Any], program: str) -> dict[str, str]:
    """The environment of a supervised program: the supervisor's, with the copy's own values on top."""
    return {**os.environ, **state["environment"], "VAR": str(folder.path), "CRYPTOETL_PROGRAM": program}
