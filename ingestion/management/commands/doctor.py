"""`manage.py doctor`: looks at everything that a start depends on."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from ingestion.checkup import examine
from ingestion.management.sentences import SentenceCommand


class Command(SentenceCommand):
    help = (
        "Looks at servers and their versions, migrations, clock, disk, workers, beat, each source's address, key and"
        " plan (a call that counts), and the month's calls. A line each; exit 1 if something needs a hand."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--offline", action="store_true", help="call no source")

    def handle(self, *_: Any, **options: Any) -> None:
        style = {"ok": self.style.SUCCESS, "warn": self.style.WARNING, "fail": self.style.ERROR}
        failed = 0
        for finding in examine(knock=not options["offline"]):
            failed += finding.level == "fail"
            self.stdout.write(f"{style[finding.level](f'{finding.level:4}')}  {finding.what}: {finding.says}")
            self.stdout.flush()
        if failed:
            self.stdout.write(f"{failed} of these {'needs' if failed == 1 else 'need'} a hand.")
            sys.exit(1)
