"""A disk that is really full: the kernel's own word to PostgreSQL, then room again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, connection

from assets.models import Quote, Source
from ingestion import normalizing, runs, tasks
from ingestion.models import RawPayload, Run
from ingestion.tests.crew import nothing_is_left_open, tables

pytestmark = pytest.mark.faults

TABLES = ("ingestion_rawpayload", "ingestion_rawbody")
#: Room for the two tables as they are, and for no page more.
SIZE = "8m"


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def small_disk(market, servers) -> Iterator[Path]:
    """What is received is kept on a disk of its own, of a few megabytes."""
    disk = servers.folder.path / "small"
    disk.mkdir(mode=0o700)
    owner = servers.postgres.data.stat()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700,uid={owner.st_uid},gid={owner.st_gid}", "none", disk]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        disk.rmdir()
        pytest.skip("a disk of a few megabytes can't be mounted here: that takes root and CAP_SYS_ADMIN")
    try:
        execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        execute(*(f"ALTER TABLE {table} SET TABLESPACE small" for table in TABLES))
        yield disk
    finally:
        (disk / "ballast").unlink(missing_ok=True)
        execute(*(f"ALTER TABLE {table} SET TABLESPACE pg_default" for table in TABLES), "DROP TABLESPACE small")
        subprocess.run(["umount", "-l", disk], check=True)
        disk.rmdir()


def fill(disk: Path) -> None:
    """Not a byte is left."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65_536):
                pass
        except OSError:
            return


def test_a_disk_that_is_full_stops_the_run_in_a_sentence_and_room_lets_it_go_on(market, undisturbed, small_disk):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    stored: list[int] = []

    def full_after_the_first(page_id: int) -> None:
        normalizing.normalize(page_id)
        stored.append(page_id)
        fill(small_disk)

    with pytest.raises(OperationalError, match="No space left on device"):
        tasks.carry(run.pk, full_after_the_first)
    run.refresh_from_db()
    assert run.status == "running"
    assert run.error == "PostgreSQL has no room left on its disk; the run goes on once there is."
    kept = RawPayload.objects.count()
    assert 1 <= kept < 4
    assert Quote.objects.count() == 250 * kept
    with pytest.raises(OperationalError):
        tasks.carry(run.pk, normalizing.normalize)
    assert RawPayload.objects.count() == kept

    (small_disk / "ballast").unlink()
    tasks.carry(run.pk, normalizing.normalize)
    run.refresh_from_db()
    assert (run.status, run.error, run.processed) == ("completed", "", 1000)
    assert tables() == undisturbed
    nothing_is_left_open()
