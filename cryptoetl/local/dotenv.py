"""`make env`: `.env` holds the passwords that docker compose asks for. What stands there already is left as it is."""

from __future__ import annotations

import os
import re

from cryptoetl.local.folder import CLONE, password
from cryptoetl.local.trouble import Trouble

SECRETS = ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "GRAFANA_PASSWORD", "FLOWER_PASSWORD")


def write() -> int:
    file = CLONE / ".env"
    try:
        text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        missing = [name for name in SECRETS if not re.search(rf"^\s*(export )?{name}=\S", text, re.MULTILINE)]
        if not missing:
            print(f"{file} has all {len(SECRETS)} passwords already and is left as it is.")
            return 0
        # Never more than its owner's, from the first moment on.
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8") as out:
            os.fchmod(out.fileno(), 0o600)
            out.write("\n" if text and not text.endswith("\n") else "")
            out.write("# Written by `make env`; docker compose reads it. .env.example says what else can stand here.\n")
            out.writelines(f"{name}={password()}\n" for name in missing)
    except OSError as error:
        raise Trouble(f"{file} can't be written: {error.strerror}.") from error
    print(f"Wrote generated passwords into {file} ({', '.join(missing)}); only you can read it.")
    return 0
