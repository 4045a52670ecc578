"""`manage.py ingest`: sources are run now, from their checkpoints, and the table says how it went."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from time import monotonic, sleep
from typing import Any

from django.core.management import CommandError

from assets import candles
from assets.models import Source
from ingestion import broker, workers
from ingestion.management.following import refreshed, result, show
from ingestion.management.inline import Inline
from ingestion.management.sentences import SentenceCommand, number, sentence, source_argument, sources_named
from ingestion.management.terminal import Progress, width_of
from ingestion.models import Gate, Run
from ingestion.runs import AlreadyActive, lasted, start_run
from ingestion.sources import BY_SLUG
from ingestion.tasks import fetch, send

LOOKED_AT_EVERY = 0.25
#: A run that nobody takes for so long makes the command ask whether there is a worker at all.
TAKEN_WITHIN = 15.0


class Command(SentenceCommand):
    help = (
        "Runs sources now (every enabled one, or those named), each from its checkpoint, through the workers, and"
        " waits. A run that is under way is waited for. Exit 1 when a run failed, or did not end within --wait."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source_argument(parser, nargs="*", help="coingecko, coinpaprika, csv (none: every enabled one)")
        parser.add_argument("--all", action="store_true", help="every enabled source")
        parser.add_argument("--full", action="store_true", help="ignore the checkpoint: begin at the beginning")
        parser.add_argument("--inline", action="store_true", help="in this process, without broker and workers")
        parser.add_argument(
            "--wait",
            type=number(0, 10**9, "a number of seconds from 0"),
            metavar="SECONDS",
            help="wait no longer than this",
        )
        parser.add_argument("--no-wait", action="store_true", help="queue the runs and return")
        parser.add_argument("--first", action="store_true", help="as `make up` asks: exit 0 once the CSV is in")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["all"] and options["sources"]:
            raise CommandError("Name sources or say --all, not both.")
        if options["no_wait"] and (options["inline"] or options["wait"] is not None):
            raise CommandError("--no-wait goes with neither --inline nor --wait.")
        chosen = self.choose(options["sources"])
        self.deadline = None if options["wait"] is None else monotonic() + options["wait"]
        with Progress(self.stderr) as progress:
            self.progress = progress
            self.trouble = "" if options["inline"] else broker.trouble()
            run_ids = [self.begin(source, options["full"], options["inline"]) for source in chosen]
            if options["inline"]:
                self.carry(run_ids)
            else:
                self.wait(run_ids, stop=options["no_wait"])
        runs = refreshed(run_ids)
        self.stdout.write(result(runs, width_of(self.stdout)))
        sys.stdout.flush()
        if options["first"]:
            self.close_first(runs)
        elif any(ended_badly(run, patient=options["no_wait"]) for run in runs):
            sys.exit(1)

    def choose(self, slugs: list[str]) -> list[Source]:
        """The sources to run. A disabled one is refused when it was named, and left out otherwise."""
        rows = sources_named(slugs)
        for row in rows:
            if slugs and not row.enabled:
                raise CommandError(f"The source {row.slug} is disabled; enable it in the admin first.")
        rows = [row for row in rows if row.enabled]
        if not rows:
            raise CommandError("Every source is disabled; enable one in the admin first.")
        return rows

    def begin(self, source: Source, full: bool, inline: bool) -> int:
        """The source has a run: a new one, or the one that is under way."""
        try:
            run = start_run(source, Run.Trigger.COMMAND, full=full)
        except AlreadyActive as active:
            unfull = " (it is not a full one)" if full and not active.run.full else ""
            self.progress.note(f"{active} It is waited for{unfull}.")
            run = active.run
        if not inline and not self.trouble:
            send(fetch, run.pk)
        return run.pk

    # ------------------------------------------------------------------------------------------ through the workers

    def wait(self, run_ids: list[int], stop: bool) -> None:
        """Follows the runs until all have ended, or the time is up."""
        if self.trouble:
            raise CommandError(
                f"{self.trouble} The runs stay queued in the database and start when it is back;"
                " --inline carries them in this process."
            )
        asked = False
        taken_by = monotonic() + TAKEN_WITHIN
        try:
            while not stop and not self.time_is_up():
                runs = refreshed(run_ids)
                for run in runs:
                    show(self.progress, run)
                if not any(run.status in Run.ACTIVE for run in runs):
                    return
                if not asked and monotonic() > taken_by and any(nobody_took(run) for run in runs):
                    asked = True
                    self.check_workers()
                sleep(LOOKED_AT_EVERY)
        except KeyboardInterrupt:
            self.progress.note("Interrupted: the runs go on in the workers; `python manage.py runs` shows them.")

    def check_workers(self) -> None:
        if not any("fetch" in queues for queues in workers.alive().values()):
            raise CommandError(
                "No worker answers: the runs stay queued in the database until one is started;"
                " --inline carries them in this process."
            )

    # --------------------------------------------------------------------------------------------- in this process

    def carry(self, run_ids: list[int]) -> None:
        """The runs are carried here, until all have ended, or the time is up."""
        inline = Inline(run_ids, lambda run: show(self.progress, run))
        try:
            while inline.open and not self.time_is_up():
                inline.go_on()
            candles.catch_up()
        except KeyboardInterrupt:
            for run in inline.interrupted():
                self.progress.note(
                    f"Interrupted: run {run.pk} of {run.source.title} is cancelled; the next goes on where it stopped."
                )
        except Exception as error:
            raise CommandError(
                f"{sentence(error) or error} What was stored stays; the next run goes on from there."
            ) from error

    def time_is_up(self) -> bool:
        return self.deadline is not None and monotonic() >= self.deadline

    def close_first(self, runs: list[Run]) -> None:
        """The end of `make up`: whether there is something to see, and where else there would be."""
        network = [run for run in runs if BY_SLUG[run.source.slug].network]
        if network and not any(reached(run) for run in network):
            self.stdout.write(
                "No provider could be reached from here; to see the system with data of its own: make demo"
            )
        local = [run for run in runs if not BY_SLUG[run.source.slug].network]
        if any(run.status not in (Run.Status.COMPLETED, Run.Status.PARTIAL) for run in local):
            sys.exit(1)


def ended_badly(run: Run, patient: bool) -> bool:
    if run.status in Run.ACTIVE:
        return not patient
    return run.status in (Run.Status.FAILED, Run.Status.CANCELLED)


def nobody_took(run: Run) -> bool:
    return run.status == Run.Status.QUEUED and lasted(run) > TAKEN_WITHIN


def reached(run: Run) -> bool:
    """Whether the provider answered at all, be it with a refusal."""
    gate = Gate.objects.get(source=run.source)
    return bool(run.pages or (gate.recent_calls and not gate.failures))
