"""`manage.py replay`: stored pages are normalized again, without network.

Allowed while a run of the source is under way: it is what a second worker would do, each page in a transaction of its
own, and an older observation never overwrites a newer one.
"""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management import CommandError

from assets import candles
from assets.models import Source
from assets.wording import counted
from ingestion import backfilling, replaying
from ingestion.management.sentences import (
    SentenceCommand,
    run_numbered,
    source_argument,
    source_named,
    time_named,
)
from ingestion.management.terminal import Progress
from ingestion.models import RawPayload
from ingestion.sources import BY_SLUG


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
        since = time_named(options["since"]) if options["since"] else None
        pages = RawPayload.objects.filter(source=source).exclude(state=RawPayload.State.STORED)
        if options["run"]:
            run = run_numbered(options["run"])
            if run.source_id != source.pk:
                raise CommandError(f"Run {run.pk} is one of {run.source.slug}, not of {source.slug}.")
            pages = pages.filter(run=run)
        if since:
            pages = pages.filter(received_at__gte=since)
        total = pages.count()
        done = replaying.Replayed()
        ordered = pages.select_related("source", "body").order_by("pk").iterator(chunk_size=20)
        with Progress(self.stderr) as progress:
            for done in replaying.replay(ordered, dry_run=options["dry_run"]):
                progress.row(source.title, f"{done.pages:,} of {counted(total, 'page')}", done.pages / max(total, 1))
            pieces = 0 if options["run"] or options["dry_run"] else reread(source, since, progress)
        candles.catch_up()
        self.stdout.write(summary(done, options["dry_run"], pieces))


def reread(source: Source, since: datetime | None, progress: Progress) -> int:
    """Answers of a backfill, too, are read again; how many."""
    past, done = BY_SLUG[source.slug].past, 0
    if past is None:
        return 0
    for done, piece in enumerate(backfilling.kept(source, since), 1):
        backfilling.read(piece, past)
        progress.row("Backfill", counted(done, "piece"))
    return done


def summary(done: replaying.Replayed, dry_run: bool, pieces: int) -> str:
    """What was written, or would be."""
    if not done.pages and not pieces:
        return "There is no stored page to replay."
    would = "Nothing is written; " if dry_run else ""
    counts = (
        f"{done.inserted:,} new, {done.updated:,} changed, {done.unchanged:,} unchanged, {done.rejected:,} rejected"
    )
    again = f"; {counted(pieces, 'piece')} of a backfill read again" if pieces else ""
    unread = f"; {counted(done.failed, 'page')} can't be read as a whole" if done.failed else ""
    return f"{would}{counted(done.pages, 'page')}: {counts}{unread}{again}."
