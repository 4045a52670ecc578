"""`manage.py requeue`: rejected records and failed pages are read again, or given up."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError
from django.db.models import Count, Max, Min, QuerySet

from assets.wording import counted
from ingestion import normalizing, replaying
from ingestion.management.sentences import SentenceCommand, source_argument, source_named, whole
from ingestion.management.terminal import Progress, moment, table, width_of
from ingestion.models import RawPayload, Reject
from ingestion.requeueing import discard, pages_of, read_again

LISTED = 50


class Command(SentenceCommand):
    help = (
        "Reads rejected records and failed pages again, after a fix of what could not read them. Choose them by source,"
        " by number, or by a part of their reason; --list shows what there is, --discard gives rejected records up"
        " (they stay, with their reason, and are no longer open). Exit 1 when something still can't be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source_argument(parser, nargs="?", help="those of this source")
        parser.add_argument("--all", action="store_true", help="those of every source")
        parser.add_argument(
            "--reject", action="append", default=[], metavar="ID", help="this rejected record; repeatable"
        )
        parser.add_argument("--page", action="append", default=[], metavar="ID", help="this page; repeatable")
        parser.add_argument("--reason", metavar="TEXT", help="those whose reason holds this text: all of one error")
        parser.add_argument("--discard", action="store_true", help="give the rejected records up")
        parser.add_argument("--list", action="store_true", help="show them, by reason")

    def handle(self, *_: Any, **options: Any) -> None:
        chosen = (options["source"], options["reject"], options["page"], options["reason"], options["all"])
        if not any(chosen) and not options["list"]:
            raise CommandError(
                "Say which: a SOURCE, --reject ID, --page ID, --reason TEXT or --all; --list shows them."
            )
        rejects, failed = self.choose(options)
        if options["list"]:
            self.show(rejects, failed)
        elif options["discard"]:
            gone = discard(rejects)
            self.stdout.write(
                f"Gave up {counted(gone, 'rejected record')}; what is given up is kept with its reason."
                if gone
                else "No rejected record is open there: nothing was given up."
            )
            if failed:
                self.stdout.write(
                    f"{counted(len(failed), 'failed page')} left alone: a page is only kept or read again."
                )
        else:
            self.read(rejects, failed)

    def choose(self, options: dict[str, Any]) -> tuple[QuerySet[Reject], list[RawPayload]]:
        """The open rejects and the failed pages that are meant."""
        rejects = Reject.objects.filter(state=Reject.State.OPEN)
        pages = RawPayload.objects.filter(state=RawPayload.State.FAILED)
        if options["source"]:
            source = source_named(options["source"])
            rejects, pages = rejects.filter(source=source), pages.filter(source=source)
        if options["reason"]:
            rejects = rejects.filter(reason__icontains=options["reason"])
            pages = pages.filter(error__icontains=options["reason"])
        reject_ids = [whole(text, "The number of a rejected record") for text in options["reject"]]
        page_ids = [whole(text, "The number of a page") for text in options["page"]]
        if reject_ids or page_ids:
            known = set(Reject.objects.filter(pk__in=reject_ids).values_list("pk", flat=True))
            if missing := sorted(set(reject_ids) - known):
                raise CommandError(f"There is no rejected record {missing[0]}.")
            known = set(RawPayload.objects.filter(pk__in=page_ids).values_list("pk", flat=True))
            if missing := sorted(set(page_ids) - known):
                raise CommandError(f"There is no page {missing[0]}.")
            # A page that is named stands for itself and for the rejects that it holds.
            rejects = rejects.filter(pk__in=reject_ids) | rejects.filter(payload__in=page_ids)
            pages = pages.filter(pk__in=page_ids)
        return rejects, list(pages.select_related("source").order_by("pk"))

    def read(self, rejects: QuerySet[Reject], failed: list[RawPayload]) -> None:
        chosen = rejects.count()
        if not chosen and not failed:
            self.stdout.write("There is nothing to read again.")
            return
        still = 0
        with Progress(self.stderr) as progress:
            ids = list(rejects.values_list("pk", flat=True))
            for so_far in read_again(pages_of(Reject.objects.filter(pk__in=ids))):
                text = f"{so_far.done:,} of {counted(so_far.pages, 'page')}, {counted(so_far.readable, 'record')} in"
                progress.row("rejected records", text, so_far.done / so_far.pages)
            for number, page in enumerate(failed, 1):
                replaying.requeue(page)
                normalizing.normalize(page.pk)
                progress.row("failed pages", f"{number:,} of {len(failed):,}", number / len(failed))
        if chosen:
            left = Reject.objects.filter(pk__in=ids, state=Reject.State.OPEN).count()
            still += left
            self.stdout.write(f"{chosen - left:,} of {counted(chosen, 'rejected record')} in now.")
        for page in RawPayload.objects.filter(pk__in=[page.pk for page in failed]).order_by("pk"):
            if page.state == RawPayload.State.NORMALIZED:
                records = page.inserted + page.updated + page.unchanged
                self.stdout.write(f"Page {page.pk} is in: {counted(records, 'record')}.")
            else:
                still += 1
                self.stdout.write(f"Page {page.pk} still can't be read: {page.error}")
        if still:
            sys.exit(1)

    def show(self, rejects: QuerySet[Reject], failed: list[RawPayload]) -> None:
        groups = (
            rejects.order_by()
            .values("source__slug", "field", "reason")
            .annotate(count=Count("pk"), first=Min("first_seen_at"), example=Max("pk"))
            .order_by("-count", "reason")
        )
        rows = [
            (g["source__slug"], f"{g['count']:,}", g["example"], moment(g["first"]), g["field"], g["reason"])
            for g in groups[:LISTED]
        ]
        if rows:
            headers = ("source", "open", "one of them", "first seen (UTC)", "field", "reason")
            self.stdout.write(table(headers, rows, frozenset({1, 2}), width_of(self.stdout)))
            if (kinds := groups.count()) > LISTED:
                self.stdout.write(f"... and {counted(kinds - LISTED, 'more reason')}.")
        if failed:
            self.stdout.write(
                ("\n" if rows else "")
                + table(
                    ("source", "failed page", "run", "received (UTC)", "reason"),
                    [
                        (page.source.slug, page.pk, page.run_id, moment(page.received_at), page.error)
                        for page in failed[:LISTED]
                    ],
                    frozenset({1, 2}),
                    width_of(self.stdout),
                )
            )
        if not rows and not failed:
            given_up = Reject.objects.filter(state=Reject.State.DISCARDED).count()
            but = f", but for {given_up:,} given up" if given_up else ""
            self.stdout.write(f"Nothing waits to be read again: every record and every page is in{but}.")
