"""Commands that say what is wrong in one sentence and exit 1; a traceback is for faults of this program alone."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from math import nan
from typing import Any

import psycopg2
import redis
from django.core.management import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError, connection, connections
from django.utils.dateparse import parse_datetime
from kombu.exceptions import OperationalError as BrokerError
from psycopg2.errorcodes import INSUFFICIENT_PRIVILEGE

from assets.models import Source
from ingestion import broker
from ingestion.errors import SourceError
from ingestion.models import Run
from ingestion.runs import AlreadyActive
from ingestion.sources import BY_SLUG


class SentenceCommand(BaseCommand):
    """The parent of this project's commands."""

    requires_system_checks = ()
    suppressed_base_arguments = {  # noqa: RUF012  # as its parent has it
        *("--version", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color")
    }

    def run_from_argv(self, argv: list[str]) -> None:
        options: dict[str, Any] = {}
        for stream in (sys.stdout, sys.stderr):
            # A coin's name in an alphabet that the terminal does not know is no reason to break off.
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            options = vars(self.create_parser(argv[0], argv[1]).parse_args(argv[2:]))
            nothing_empty(options)
            all_of_text(options)
            self.execute(**options)
        except CommandError as error:
            if options.get("traceback"):
                raise
            sys.exit(str(error).removeprefix("Error: "))
        except KeyboardInterrupt:
            sys.exit("Interrupted.")
        except BrokenPipeError:
            # Whoever read the output has read enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        finally:
            connections.close_all()

    def execute(self, *args: Any, **options: Any) -> str | None:
        root = logging.getLogger()
        level = root.level
        # Log lines would tear what is drawn, and say it twice; -v 2 shows them.
        if options.get("verbosity", 1) < 2:
            root.setLevel(logging.CRITICAL)
        try:
            return super().execute(*args, **options)
        except CommandError:
            raise
        except Exception as error:
            said = sentence(error)
            if said is None:
                raise
            raise CommandError(said) from error
        finally:
            root.setLevel(level)


def sentence(error: BaseException) -> str | None:
    """What happened, for a person; None for what is a fault of this program."""
    if isinstance(error, SourceError | AlreadyActive):
        return str(error)
    if isinstance(error, OperationalError | InterfaceError):
        return f"PostgreSQL at {database_place()} can't be used: {first_line(error)}."
    if isinstance(error, ProgrammingError) and "does not exist" in str(error):
        return (
            f"The database at {database_place()} is not set up: run `python manage.py migrate` ({first_line(error)})."
        )
    if isinstance(error, DatabaseError) and (refused := refusal(error)):
        return f"The database at {database_place()} refuses: {refused}. The user of DATABASE_URL must own it."
    if isinstance(error, BrokerError | redis.RedisError):
        return f"The broker can't be reached ({broker.reason(error)})."
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}."
    return None


def refusal(error: BaseException | None) -> str:
    """What PostgreSQL does not let this user do; "" where it is about something else."""
    while error is not None:
        if isinstance(error, psycopg2.Error) and error.pgcode == INSUFFICIENT_PRIVILEGE:
            return first_line(error)
        error = error.__cause__ or error.__context__
    return ""


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def database_place() -> str:
    """Where the database is, without its password."""
    its = connection.settings_dict
    port = f":{its['PORT']}" if its["PORT"] else ""
    return f"{its['HOST'] or 'its socket'}{port}/{its['NAME']}"


# ------------------------------------------------------------------------------------------------------- arguments


def nothing_empty(options: dict[str, Any]) -> None:
    """No argument is empty. A script whose variable is not set must not be taken to mean everything."""
    for name, value in options.items():
        if "" in (value if isinstance(value, list) else [value]):
            raise CommandError(f"The argument {name!r} is empty: give it a value, or leave it out.")


def all_of_text(options: dict[str, Any]) -> None:
    """No argument, but for paths, holds bytes that are no UTF-8: no database takes them."""
    for name, value in options.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
                raise CommandError(f"The argument {name!r} is not UTF-8: {ascii(text)[:60]}.")


def source_argument(parser: ArgumentParser, **how: Any) -> None:
    """The positional argument `source`, or `sources`."""
    name = "sources" if how.get("nargs") == "*" else "source"
    parser.add_argument(name, metavar="SOURCE", **how)


def source_named(slug: str) -> Source:
    """The source of that name. An unknown one is a sentence with those that are known."""
    rows = known()
    if slug not in rows:
        raise CommandError(f"There is no source {slug!r}; the sources are {', '.join(rows)}.")
    return rows[slug]


def sources_named(slugs: Sequence[str]) -> list[Source]:
    """Those named, each once; all of them when none is."""
    return [source_named(slug) for slug in dict.fromkeys(slugs)] if slugs else list(known().values())


def known() -> dict[str, Source]:
    """The sources that both the database and this version know."""
    rows = {row.slug: row for row in Source.objects.all() if row.slug in BY_SLUG}
    if not rows:
        raise CommandError("The database knows no source yet: run `python manage.py migrate`.")
    return rows


def run_numbered(text: str) -> Run:
    """The run of that number."""
    run = Run.objects.select_related("source").filter(pk=whole(text, "The number of a run")).first()
    if run is None:
        raise CommandError(f"There is no run {text}; `python manage.py runs` shows those there are.")
    return run


def whole(text: str, what: str) -> int:
    """The positive number that the text is."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) < 2**63):
        raise CommandError(f"{what} is a whole number from 1, and {text[:40]!r} is none.")
    return int(text)


def number(low: float, high: float, what: str) -> Callable[[str], float]:
    """For argparse: what reads a number of this range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = nan
        if not low <= value <= high:
            raise ArgumentTypeError(f"{text[:40]!r} is not {what}")
        return value

    return read


SPANS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def time_named(text: str) -> datetime:
    """A time: ISO 8601 (UTC where it names no zone), a date, or how long ago (90m, 24h, 7d, 2w)."""
    return time_from(text, -1, "how long ago")


def time_to_come(text: str) -> datetime:
    """A time as above, or in how long."""
    return time_from(text, 1, "in how long")


def time_from(text: str, direction: int, what: str) -> datetime:
    number, unit = text[:-1], text[-1:]
    try:
        if unit in SPANS and number.isascii() and number.isdigit():
            return datetime.now(UTC) + direction * timedelta(**{SPANS[unit]: int(number)})
        at = parse_datetime(text if len(text) > 10 else f"{text}T00:00")
        at = at and (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise CommandError(f"{text!r} is no time: write 2026-11-21, 2026-11-21T08:00Z, or {what} (90m, 24h, 7d).")
    return at
