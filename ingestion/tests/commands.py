"""A command of manage.py as a person runs it: what it wrote, and its exit code."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.core.management import ManagementUtility


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        return self.out.strip().splitlines()[-1]


class Manage:
    """manage("ingest", "csv"): in this process, through the same door as manage.py."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> Ran:
        self.capsys.readouterr()
        code, said = 0, ""
        try:
            ManagementUtility(["manage.py", *arguments]).execute()
        except SystemExit as end:
            # The interpreter writes a text to stderr and ends with 1.
            code, said = (1, f"{end.code}\n") if isinstance(end.code, str) else (end.code or 0, "")
        shown = self.capsys.readouterr()
        return Ran(code, shown.out, shown.err + said)

    def refused(self, *arguments: str) -> str:
        """The one sentence with which it exits 1."""
        ran = self(*arguments)
        assert ran.code == 1, ran
        assert ran.out == "", ran
        lines = ran.err.strip().splitlines()
        assert len(lines) == 1, ran
        return lines[0]
