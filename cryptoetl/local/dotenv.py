"""`make env`: a `.env` with generated passwords, for docker compose. One that is there is never touched."""

from __future__ import annotations

import os

from cryptoetl.local.folder import CLONE, password
from cryptoetl.local.trouble import Trouble

SECRETS = ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "GRAFANA_PASSWORD", "FLOWER_PASSWORD")


def write() -> int:
    file = CLONE / ".env"
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Trouble(f"{file} exists and is left as it is: remove it first if you want new passwords.") from None
    except OSError as error:
        raise Trouble(f"{file} can't be written: {error.strerror}.") from error
    with open(handle, "w", encoding="utf-8") as out:
        out.write("# Written by `make env`; docker compose reads it. .env.example says what else can stand here.\n")
        out.writelines(f"{name}={password()}\n" for name in SECRETS)
    print(f"Wrote {file} with {len(SECRETS)} generated passwords; only you can read it.")
    return 0
