"""`manage.py replay`: stored pages are normalized again, without network.

Allowed while a run of the source is under way: it is what a second worker would do, each page in a transaction of its
own, and an older observation never overwrites a newer one.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError

from assets import candles
from ingestion import replaying
from ingestion.management.sentences import (
    SentenceCommand,
    run_numbered,
    source_argument,
    source_named,
    time_named,
)
from ingestion.management.terminal import Progress
from ingestion.models import RawPayload


class Command(SentenceCommand):
    help = (
        "Normalizes stored pages of a source again, in the order in which they came, without network: after a fix of"
        " its module, or of the rule of identity. An older observation never overwrites a newer one; runs keep their"
        " counts."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source_argument(parser, help="whose pages")
        parser.add_argument("--run", metavar="ID", help="the pages of this run alone")
        parser.add_argument(
            "--since", metavar="TIME", help="pages received since then: 2026-11-21, 2026-11-21T08:00Z, 7d"
        )
        parser.add_argument("--dry-run", action="store_true", help="write nothing; say what would be written")

    def handle(self, *_: Any, **options: Any) -> None:
        source = source_named(options["source"])
        pages = RawPayload.objects.filter(source=source).exclude(state=RawPayload.State.STORED)
        if options["run"]:
            run = run_numbered(options["run"])
            if run.source_id != source.pk:
                raise CommandError(f"Run {run.pk} is one of {run.source.slug}, not of {source.slug}.")
            pages = pages.filter(run=run)
        if options["since"]:
            pages = pages.filter(received_at__gte=time_named(options["since"]))
        total = pages.count()
        done = replaying.Replayed()
        ordered = pages.select_related("source", "body").order_by("pk").iterator(chunk_size=20)
        with Progress(self.stderr) as progress:
            for done in replaying.replay(ordered, dry_run=options["dry_run"]):
                progress.row(source.title, f"{done.pages:,} of {total:,} pages", done.pages / max(total, 1))
        candles.catch_up()
        self.stdout.write(summary(done, options["dry_run"]))


def summary(done: replaying.Replayed, dry_run: bool) -> str:
    """What was written, or would be."""
    if not done.pages:
        return "There is no stored page to replay."
    would = "Nothing is written; " if dry_run else ""
    counts = (
        f"{done.inserted:,} new, {done.updated:,} changed, {done.unchanged:,} unchanged, {done.rejected:,} rejected"
    )
    unread = f"; {done.failed:,} pages can't be read as a whole" if done.failed else ""
    return f"{would}{done.pages:,} page{'s' if done.pages != 1 else ''}: {counts}{unread}."
