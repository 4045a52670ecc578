"""`manage.py runs`: what ran, one run with its pages, and two runs side by side."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management import CommandError

from assets.wording import counted
from ingestion.comparison import FIGURES, OnlyIn, compare, figure
from ingestion.management.sentences import SentenceCommand, run_numbered, source_named, whole
from ingestion.management.terminal import moment, table, width_of
from ingestion.models import Run
from ingestion.runs import lasted

COUNTS = ("pages", "processed", "inserted", "updated", "unchanged", "rejected", "retries")


class Command(SentenceCommand):
    help = (
        "Shows the last runs; `runs show ID` one of them with its pages; `runs compare A B` what differs between two."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=("list", "show", "compare"), default="list")
        parser.add_argument("runs", nargs="*", metavar="ID", help="one run to show, two to compare")
        parser.add_argument("--source", metavar="SOURCE", help="runs of this source alone")
        parser.add_argument("--last", metavar="N", default="20", help="how many (20)")

    def handle(self, *_: Any, **options: Any) -> None:
        action = options["action"]
        wanted = {"list": 0, "show": 1, "compare": 2}[action]
        if len(options["runs"]) != wanted:
            raise CommandError(
                f"`runs {action}` takes {('no run', 'the number of one run', 'the numbers of two runs')[wanted]}."
            )
        if options["source"] and action != "list":
            raise CommandError(f"`runs {action}` shows the runs that are named; --source is for the list.")
        if action == "list":
            self.show_last(options["source"], whole(options["last"], "--last"))
        elif action == "show":
            self.show_one(run_numbered(options["runs"][0]))
        else:
            self.show_both(*map(run_numbered, options["runs"]))

    def show_last(self, source: str | None, last: int) -> None:
        runs = Run.objects.select_related("source").order_by("-pk")
        if source:
            runs = runs.filter(source=source_named(source))
        rows = [
            (
                run.pk,
                run.source.slug,
                run.status,
                run.trigger,
                moment(run.started_at),
                f"{lasted(run):.1f}" if run.started_at else "",
                *(f"{getattr(run, name):,}" for name in COUNTS),
                run.error,
            )
            for run in runs[:last]
        ]
        if not rows:
            self.stdout.write("There is no run yet: `python manage.py ingest` makes one.")
            return
        headers = ("run", "source", "status", "trigger", "started (UTC)", "seconds", *COUNTS, "error")
        self.stdout.write(table(headers, rows, frozenset({0, *range(5, 13)}), width_of(self.stdout)))

    def show_one(self, run: Run) -> None:
        self.stdout.write(table(("run", str(run.pk)), [(name, text(figure(run, name))) for name in FIGURES]))
        pages = run.payloads.order_by("number").defer("headers", "meta")
        if pages:
            self.stdout.write("")
            self.stdout.write(
                table(
                    (
                        "page",
                        "id",
                        "state",
                        "received (UTC)",
                        "new",
                        "changed",
                        "unchanged",
                        "rejected",
                        "url",
                        "error",
                    ),
                    [
                        (
                            page.number,
                            page.pk,
                            page.state,
                            moment(page.received_at),
                            page.inserted,
                            page.updated,
                            page.unchanged,
                            page.rejected,
                            page.url,
                            page.error,
                        )
                        for page in pages
                    ],
                    frozenset({0, 1, 4, 5, 6, 7}),
                    width_of(self.stdout),
                )
            )

    def show_both(self, a: Run, b: Run) -> None:
        compared = compare(a, b)
        self.stdout.write(
            table(
                ("", f"run {a.pk}", f"run {b.pk}", "difference"),
                [
                    (pair.name, text(pair.a)[:60], text(pair.b)[:60], difference(pair.a, pair.b, pair.difference))
                    for pair in compared.figures
                ],
                width=width_of(self.stdout),
            )
        )
        for run, only in ((a, compared.only_in_a), (b, compared.only_in_b)):
            if only is not None:
                self.stdout.write(f"\nOnly in run {run.pk}: {listings(only)}")
        if compared.only_in_a is None and a.source_id == b.source_id:
            self.stdout.write(
                "\nWhich listings each of them held is not known: not all of their pages are there, and read."
            )


def text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return moment(value)
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def difference(a: object, b: object, by: float | None) -> str:
    if a == b:
        return ""
    return f"{by:+,}" if by is not None else "differs"


def listings(only: OnlyIn) -> str:
    """How many, and some of them by name."""
    more = f" and {only.count - len(only.some):,} more" if only.count > len(only.some) else ""
    return counted(only.count, "listing") + (f": {', '.join(only.some)}{more}" if only.some else "")
