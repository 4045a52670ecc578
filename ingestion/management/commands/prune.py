"""`manage.py prune`: retention is applied."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.conf import settings

from assets.wording import counted
from ingestion import retention
from ingestion.management.sentences import SentenceCommand


class Command(SentenceCommand):
    help = (
        "Removes raw pages older than RAW_RETENTION_DAYS, and months of price points and the news of coins that went"
        " stale older than HISTORY_RETENTION_DAYS."
        " What something still stands on stays: pages of current quotes, of open rejects, of the last two sweeps."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="remove nothing; say what would be removed")

    def handle(self, *_: Any, **options: Any) -> None:
        gone = retention.prune(dry_run=options["dry_run"])
        verb = "Would remove" if options["dry_run"] else "Removed"
        bodies = "" if options["dry_run"] else f" (bodies that no page has any more: {gone.bodies:,})"
        self.stdout.write(
            f"{verb} {counted(gone.pages, 'page')} older than {counted(settings.RAW_RETENTION_DAYS, 'day')}{bodies}."
        )
        named = f": {months(gone.partitions)}" if gone.partitions else ""
        self.stdout.write(
            f"{verb} price points of {counted(len(gone.partitions), 'month')} older than"
            f" {counted(settings.HISTORY_RETENTION_DAYS, 'day')}{named}."
        )
        if gone.silences:
            self.stdout.write(f"{verb} {counted(gone.silences, 'event')} of as long ago: coins that went stale.")
        if gone.in_use:
            self.stdout.write(
                f"Points are being read all the time: these months go another day: {months(gone.in_use)}."
            )


def months(partitions: Iterable[str]) -> str:
    return ", ".join(name.removeprefix("assets_price_point_").replace("_", "-") for name in partitions)
