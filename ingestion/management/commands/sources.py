"""`manage.py sources`: the configured sources, and with --check whether each of them answers."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.db.models import Max, Q

from assets.models import Source
from assets.wording import distance, span
from ingestion.budget import budget
from ingestion.errors import SourceError
from ingestion.management.sentences import SentenceCommand, sources_named
from ingestion.management.terminal import table, width_of
from ingestion.models import Run
from ingestion.probing import probe
from ingestion.registry import Configured, configured


class Command(SentenceCommand):
    help = (
        "Shows the configured sources. --check probes each once (a call that counts): whether its address answers and"
        " its key and plan are in order, or its file can be read. Exit 1 when one fails."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="probe each once")

    def handle(self, *_: Any, **options: Any) -> None:
        sources = sources_named([])
        if options["check"]:
            self.check_all(sources)
            return
        done = dict(
            Run.objects.filter(Q(status=Run.Status.COMPLETED) | Q(status=Run.Status.PARTIAL), source__in=sources)
            .values_list("source")
            .annotate(at=Max("finished_at"))
        )
        self.stdout.write(
            table(
                ("source", "title", "enabled", "plan", "every", "calls/min", "last success", "calls", "from"),
                [
                    (
                        row.slug,
                        row.title,
                        "yes" if row.enabled else "no",
                        config.options.plan or "-",
                        span(row.interval_seconds),
                        config.limits.per_minute if config.source.network else "-",
                        distance(done[row.pk]) if row.pk in done else "never",
                        str(budget(row)) if config.source.network else "-",
                        origin(config),
                    )
                    for row in sources
                    for config in [configured(row.slug)]
                ],
                frozenset({5}),
                width_of(self.stdout),
            )
        )

    def check_all(self, sources: list[Source]) -> None:
        failed = False
        for row in sources:
            try:
                said, word = probe(row), self.style.SUCCESS("ok  ")
            except SourceError as error:
                said, word, failed = str(error), self.style.ERROR("fail"), True
            self.stdout.write(f"{word}  {row.slug}: {said}")
            self.stdout.flush()
        if failed:
            sys.exit(1)


def origin(config: Configured) -> str:
    """Where it comes from; of an address neither a password nor a signature is shown."""
    if config.source.network:
        return config.options.base_url
    scheme, separator, rest = config.options.path.partition("://")
    return scheme + separator + rest.partition("?")[0].rpartition("@")[2] if separator else config.options.path
