"""`manage.py createadmin`: the admin has an account whose password nobody but the file's owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError
from django.db import transaction

from ingestion.management.sentences import SentenceCommand

NAME = "admin"


class Command(SentenceCommand):
    help = (
        f"Makes the superuser `{NAME}` with a generated password, kept in a file of mode 600, unless there is one."
        " Says where the file is, never the password."
    )

    def handle(self, *_: Any, **options: Any) -> None:
        users = get_user_model().objects
        path = Path(settings.ADMIN_PASSWORD_FILE)
        present = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
        if present is not None:
            kept = f" The password made for it is in {path}." if present.username == NAME and path.exists() else ""
            self.stdout.write(f"There is a superuser already: {present.username}.{kept}")
            return
        if users.filter(username=NAME).exists():
            raise CommandError(
                f"There is a user {NAME!r} who is no active superuser; `manage.py createsuperuser` makes another one."
            )
        password = secrets.token_urlsafe(18)
        with transaction.atomic():
            users.create_superuser(NAME, password=password)
            # The file is written before the commit: an account without a known password would lock everybody out.
            write_private(path, password + "\n")
        self.stdout.write(f"Made the superuser {NAME}; its password is in {path}.")


def write_private(path: Path, text: str) -> None:
    """The file holds the text and is readable by its owner alone, from its first moment on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
