"""`manage.py apikey`: makes, lists and revokes the keys of the API."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management import CommandError

from assets.wording import counted
from cryptoetl import keys
from cryptoetl.models import ApiKey
from ingestion.management.sentences import SentenceCommand, time_to_come, whole
from ingestion.management.terminal import moment, table

#: What of the command a field of the key is.
ARGUMENTS = {"name": "NAME", "per_minute": "--limit", "expires_at": "--expires"}


class Command(SentenceCommand):
    help = (
        "API keys: `make` shows a new one once and keeps its hash alone, `list` shows all, `revoke` ends some for good."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="{make,list,revoke}", required=True)
        make = actions.add_parser("make", help="make a key and show it, once")
        make.add_argument("name", metavar="NAME", help="whose it is, and what for")
        make.add_argument("--operate", action="store_true", help="it may start and cancel runs, too")
        make.add_argument("--limit", metavar="N", help="requests a minute at most; without it: API_KEY_LIMIT")
        make.add_argument(
            "--expires", metavar="TIME", help="not valid from then on (2027-01-01, or in 7d); without it: never"
        )
        actions.add_parser("list", help="every key, without the key itself")
        revoke = actions.add_parser("revoke", help="these are not valid any more")
        revoke.add_argument("ids", metavar="ID", nargs="+", help="the key's number, as `list` shows it")

    def handle(self, *_: Any, action: str, **options: Any) -> None:
        actions: dict[str, Callable[..., None]] = {"make": self.make, "list": self.show, "revoke": self.revoke}
        actions[action](**options)

    def make(self, name: str, operate: bool, limit: str | None, expires: str | None, **_: Any) -> None:
        expires_at = time_to_come(expires) if expires is not None else None
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise CommandError(f"--expires {expires!r} is over already: the key would never be valid.")
        try:
            key, text = keys.make(
                name.strip(),
                ApiKey.Scope.OPERATE if operate else ApiKey.Scope.READ,
                by="manage.py",
                per_minute=whole(limit, "The limit") if limit is not None else None,
                expires_at=expires_at,
            )
        except ValidationError as error:
            said = [f"{ARGUMENTS.get(name, name)}: {' '.join(why)}" for name, why in error.message_dict.items()]
            raise CommandError(" ".join(said)) from error
        self.stdout.write(text)
        self.stderr.write(f"Key {key.pk} may {key.get_scope_display()}. This is the only time that it is shown.")

    def show(self, **_: Any) -> None:
        rows = [
            (
                key.pk,
                f"{key.shown}…",
                key.name,
                key.scope,
                key.per_minute or "",
                keys.state(key),
                moment(key.created_at),
                moment(key.last_used_at) or "never",
            )
            for key in ApiKey.objects.order_by("pk")
        ]
        headings = ("id", "key", "name", "scope", "a minute", "state", "made (UTC)", "last used (UTC)")
        self.stdout.write(table(headings, rows) if rows else "There is no key: `manage.py apikey make NAME` makes one.")

    def revoke(self, ids: list[str], **_: Any) -> None:
        numbers = [whole(one, "The number of a key") for one in ids]
        missing = set(numbers) - set(ApiKey.objects.filter(pk__in=numbers).values_list("pk", flat=True))
        if missing:
            raise CommandError(f"There is no key {min(missing)}; `manage.py apikey list` shows those there are.")
        ended = keys.revoke(ApiKey.objects.filter(pk__in=numbers))
        others = " The others were not valid any more." if ended < len(set(numbers)) else ""
        self.stdout.write(f"{counted(ended, 'key')} revoked.{others}" if ended else "None of these is valid any more.")
