"""`manage.py backfill`: what a source says of its own past is beside what we observed.

Says what it is going to do before it does it. It may be stopped, or killed, at any moment: the same command goes on.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.db import InterfaceError, OperationalError, connection

from assets.clock import database_clock
from assets.models import Source
from assets.wording import counted, span
from ingestion import backfilling
from ingestion.backfilling import Forbidden, Plan
from ingestion.errors import BudgetSpent, Unavailable
from ingestion.gate import Throttled, first_of_next_month
from ingestion.http import SourceHttp
from ingestion.management.sentences import SentenceCommand, source_argument, source_named, whole
from ingestion.management.terminal import Progress
from ingestion.registry import Configured, configured
from ingestion.source import Past
from ingestion.tasks import wait_after

#: With the source's number: the advisory lock of whoever backfills it. It goes with its connection, however that ends.
LOCK = 7632
SHOWN_EVERY = 0.25
#: Days before which there was no coin.
FOR_EVER = 10_000


class Stopped(Exception):
    """It can't go on now; the text is a sentence."""


class Command(SentenceCommand):
    help = (
        "Fetches the past of a source's coins from its own history, in pieces, as price points that never overwrite"
        " what was observed. Shows first what it is going to do. Stopped or killed, the same command goes on where it"
        " was. Exit 1 when not all that was asked for is there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source_argument(parser, help="whose past")
        parser.add_argument("--days", required=True, metavar="N", help="how far back")
        parser.add_argument(
            "--coins",
            nargs="+",
            default=[],
            metavar="COIN",
            help="its own ids, or asset ids, former ones too (none: all it lists)",
        )
        parser.add_argument(
            "--interval", choices=backfilling.INTERVALS, help="how close (none: as close as the plan allows)"
        )
        parser.add_argument("--yes", action="store_true", help="do it without asking")

    def handle(self, *_: Any, **options: Any) -> None:
        source = source_named(options["source"])
        config = configured(source.slug)
        past = config.source.past
        if past is None:
            raise CommandError(f"{source.title} can't be asked for its past; its files are read by `ingest`.")
        if (days := whole(options["days"], "--days")) > FOR_EVER:
            raise CommandError(f"--days is {options['days']}, and no coin has a past of more than {FOR_EVER:,} days.")
        names = [name for text in options["coins"] for name in text.split(",") if name]
        with alone(source), Progress(self.stderr) as progress:
            for piece in backfilling.unread(source):
                backfilling.read(piece, past)
            plan = self.plan(source, config, past, days, names, options["interval"])
            if not plan.pieces:
                self.stdout.write("All that was asked for is there already: nothing to fetch.")
                return
            self.stdout.write(preview(source, config, plan))
            if plan.spare == 0:
                raise CommandError("The month's calls are all needed for the sweeps: nothing is fetched.")
            self.agree(options["yes"])
            self.carry(source, config, past, plan, progress)

    def plan(
        self, source: Source, config: Configured, past: Past, days: int, names: list[str], interval: str | None
    ) -> Plan:
        try:
            interval = backfilling.interval_for(config, past, days, interval)
            coins = backfilling.coins_of(source, names)
        except Forbidden as forbidden:
            raise CommandError(str(forbidden)) from None
        except LookupError as error:
            raise CommandError(
                f"{source.title} lists no {error.args[0]} here: /data?source={source.slug} shows its ids."
            ) from None
        if not coins:
            raise CommandError(
                f"Nothing is known of {source.title} yet: run `python manage.py ingest {source.slug}` first."
            )
        return backfilling.planned(source, config, past, coins, days, interval, database_clock())

    def agree(self, yes: bool) -> None:
        """Raises CommandError unless a person agrees."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise CommandError("Nothing is fetched without a yes: say --yes.")
        self.stdout.write("Go on? [y/N] ", ending="")
        self.stdout.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was fetched.")

    def carry(self, source: Source, config: Configured, past: Past, plan: Plan, progress: Progress) -> None:
        http = config.http(source)
        made = written = unread = 0
        total, why = len(plan.pieces), ""

        def show(more: str = "") -> None:
            text = f"{made:,} of {counted(total, 'call')}, {counted(written, 'point')}{f', {more}' if more else ''}"
            progress.row(source.title, text, made / total, more)

        try:
            for piece in plan.pieces:
                if plan.spare is not None and made >= plan.spare:
                    raise Stopped("The rest of the month's calls is for the sweeps")
                show()
                row = self.fetch(http, past, source, plan, piece, show)
                made += 1
                written += backfilling.read(row, past)
                unread += row.state != row.State.STORED
            show()
        except Stopped as stopped:
            why = str(stopped)
        except KeyboardInterrupt:
            why = "Interrupted"
        self.stdout.write(f"{made:,} of {counted(total, 'piece')} fetched, {counted(written, 'new point')}.")
        if unread:
            self.stdout.write(f"{unread:,} of them can't be used: the admin's page Backfill pieces says why.")
        if why:
            raise CommandError(f"{why}; the same command goes on from here.")

    def fetch(
        self, http: SourceHttp, past: Past, source: Source, plan: Plan, piece: backfilling.Piece, show: Any
    ) -> Any:
        """The piece, stored. Waits for what waiting can cure; raises Stopped where that takes too long."""
        strikes = 0
        while True:
            try:
                return backfilling.fetch(http, past, source, plan.interval, piece)
            except BudgetSpent as spent:
                raise Stopped(str(spent).rstrip(".")) from None
            except Unavailable as error:
                strikes += not isinstance(error, Throttled)
                if strikes > settings.ETL_RETRY_ATTEMPTS:
                    raise Stopped(f"{str(error).rstrip('.')} ({strikes} attempts)") from None
                pause(wait_after(error, strikes), str(error), show)


def pause(seconds: float, why: str, show: Any) -> None:
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        show(f"going on in {span(left)}: {why}")
        sleep(min(left, SHOWN_EVERY))


@contextmanager
def alone(source: Source) -> Iterator[None]:
    """Nobody else backfills the source meanwhile. Raises CommandError."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK, source.pk])
        if not cursor.fetchone()[0]:
            raise CommandError(f"Another process is backfilling {source.title}.")
    try:
        yield
    finally:
        with suppress(OperationalError, InterfaceError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK, source.pk])


def preview(source: Source, config: Configured, plan: Plan) -> str:
    """What is going to happen, for a person to agree to."""
    calls, a_minute = len(plan.pieces), config.limits.per_minute
    lasts = (
        "less than a minute" if calls <= a_minute else f"at {a_minute:,} calls a minute {span(calls * 60 / a_minute)}"
    )
    lines = [
        f"{source.title}, {config.options.plan} plan: the past of {counted(plan.coins, 'coin')},"
        f" a point {backfilling.WORDS[plan.interval]},"
        f" from {plan.begin:%Y-%m-%d %H:%M} to {plan.end:%Y-%m-%d %H:%M} UTC"
        f" ({counted((plan.end - plan.begin).days, 'day')}).",
        f"{counted(calls, 'call')}, about {counted(plan.points, 'point')}; {lasts}.",
    ]
    if plan.spare is not None:
        lines.append(
            f"This month has {counted(plan.spare, 'call')} to spare: the others are used, or needed for its sweeps."
        )
        if plan.spare < calls:
            again = first_of_next_month(plan.end)
            lines.append(f"Left for the same command after {again:%Y-%m-%d}: {counted(calls - plan.spare, 'call')}.")
    return "\n".join(lines)
