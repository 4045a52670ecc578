"""`manage.py resolve`: which listings are one asset is decided again, with today's rule and every person's decision."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from assets.resolving import Resolved, resolve_all
from assets.wording import counted
from ingestion.management.sentences import SentenceCommand
from ingestion.management.terminal import table, width_of

LISTED = 100


class Command(SentenceCommand):
    help = (
        "Decides for every listing again which asset it belongs to, with today's rule and every person's decision, and"
        " shows what changes. Listings that newly come in wait while it does."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="write nothing; show what would change")

    def handle(self, *_: Any, **options: Any) -> None:
        found = resolve_all(dry_run=options["dry_run"])
        self.stdout.write(summary(found, options["dry_run"]))
        if found.moves:
            rows = [
                (
                    move.listing,
                    f"{move.symbol} {move.name}"[:40],
                    move.before,
                    move.after,
                    evidence(move.method, move.reasons),
                )
                for move in found.moves[:LISTED]
            ]
            self.stdout.write("")
            self.stdout.write(table(("listing", "called", "from", "to", "why"), rows, width=width_of(self.stdout)))
            if len(found.moves) > LISTED:
                self.stdout.write(f"... and {len(found.moves) - LISTED:,} more.")
        for before, after in found.renamed[:LISTED]:
            self.stdout.write(f"Asset {before} {'would be' if options['dry_run'] else 'is'} called {after} now.")


def summary(found: Resolved, dry_run: bool) -> str:
    """What changes, in a sentence."""
    would = "Nothing is written: " if dry_run else ""
    return (
        f"{would}{counted(found.listings, 'listing')}, {counted(len(found.moves), 'move')};"
        f" {counted(found.assets_before, 'asset')} before and {found.assets_after:,} after;"
        f" {counted(found.candidates_before, 'pair')} in doubt before and {found.candidates_after:,} after."
    )


def evidence(method: str, reasons: tuple[str, ...]) -> str:
    return f"{method}: {', '.join(reasons)}" if reasons else method
