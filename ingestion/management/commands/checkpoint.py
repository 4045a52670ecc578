"""`manage.py checkpoint`: where each source goes on, and how to make it begin again."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from ingestion.management.sentences import SentenceCommand, source_argument, sources_named
from ingestion.management.terminal import moment, table, width_of
from ingestion.models import Checkpoint
from ingestion.runs import reset_checkpoint

SHOWN = 60


class Command(SentenceCommand):
    help = (
        "Shows where each source goes on (the whole cursor when a source is named), or resets it: the next run begins"
        " at the beginning, in a sweep of its own. The tables stay as they are. Refused while a run is under way."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("show", "reset"))
        source_argument(parser, nargs="?", help="none: every source")

    def handle(self, *_: Any, **options: Any) -> None:
        named = options["source"]
        sources = sources_named([named] if named else [])
        if options["action"] == "reset":
            for source in sources:
                reset_checkpoint(source)
                self.stdout.write(f"{source.title}: the next run begins at the beginning.")
            return
        rows = {row.source_id: row for row in Checkpoint.objects.filter(source__in=sources)}
        self.stdout.write(
            table(
                ("source", "sweep", "next run", "last page", "run", "updated (UTC)", "cursor"),
                [
                    (
                        source.slug,
                        row.sweep,
                        begins(row),
                        row.page_id or "",
                        row.run_id or "",
                        moment(row.updated_at),
                        cursor,
                    )
                    for source in sources
                    if (row := rows.get(source.pk))
                    for cursor in [row.cursor or "" if named else short(row.cursor)]
                ],
                width=width_of(self.stdout) if named else None,
            )
        )


def begins(row: Checkpoint) -> str:
    """What the next run does."""
    if row.in_sweep:
        return "goes on in this sweep" if row.cursor else "begins this sweep"
    return "begins a sweep" if row.cursor is None else "reads what is new"


def short(cursor: str | None) -> str:
    cursor = cursor or ""
    return cursor if len(cursor) <= SHOWN else cursor[: SHOWN - 1] + "…"
