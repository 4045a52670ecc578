"""Real processes on the test's database and broker, and what a test wants to know of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from assets.models import PricePoint, Quote
from cryptoetl.demo import ProviderServer
from ingestion import lease, reconciling, tasks
from ingestion.models import RawPayload, Reject, Run

WORKER = ("celery", "-A", "cryptoetl", "worker", "-Q", "fetch,normalize,maintenance")
WORKER += ("--without-gossip", "--without-mingle")
BEAT = ("celery", "-A", "cryptoetl", "beat", "--pidfile=")


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> float:
    """The seconds that it took until the condition held."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)
    return time.monotonic() - began


def database_url() -> str:
    """Of the test's own database, which has a name of its own."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + connection.settings_dict["NAME"]).geturl()


class Crew:
    """Workers, beats and other Python processes, each in a session of its own; none outlives the test."""

    def __init__(self, market: ProviderServer) -> None:
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "COINGECKO_BASE_URL": market.url("coingecko"),
            "COINPAPRIKA_BASE_URL": market.url("coinpaprika"),
            "CSV_SOURCE_PATH": market.url("csv"),
            "ETL_RATE_LIMIT_REQUESTS": "10000",
            "ETL_BACKOFF_SECONDS": "0.01",
            "LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "cryptoetl.settings",
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self._log = tempfile.NamedTemporaryFile(prefix="cryptoetl-crew-", suffix=".log")  # noqa: SIM115

    def start(self, pool: int = 2, **environment: str) -> subprocess.Popen[bytes]:
        """A worker for every queue."""
        return self.python("-m", *WORKER, "-c", str(pool), **environment)

    def start_beat(self, **environment: str) -> subprocess.Popen[bytes]:
        return self.python("-m", *BEAT, **environment)

    def python(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=settings.BASE_DIR,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def under(self, clock: Path, *module: str, **environment: str) -> subprocess.Popen[bytes]:
        """A module under a wall clock that is wrong by the seconds that the file holds."""
        script = str(Path(__file__).with_name("other_clock.py"))
        return self.python(script, *module, CLOCK=str(clock), **environment)

    @property
    def log(self) -> str:
        """What all of them wrote."""
        return Path(self._log.name).read_text(errors="replace")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to the process and its pool, as a power cut."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
        self._log.close()


def tables() -> list[tuple]:
    """What a reader can see, without what depends on when and in how many attempts it came."""
    quotes = Quote.objects.order_by("listing__source_asset_id").values_list(
        "listing__source_asset_id",
        "asset__slug",
        "price_usd",
        "market_cap",
        "rank",
        "observed_at",
        "digest",
        "asset__price_usd",
    )
    return [*quotes, (PricePoint.objects.count(), Reject.objects.count())]


def pass_time() -> None:
    """The leases have run out, what was sent is taken for lost."""
    Run.objects.filter(lease_until__isnull=False).update(lease_until=Now() - lease.LASTS)
    lose_messages()


def lose_messages() -> None:
    """What was sent is taken for lost; whoever holds a run goes on holding it."""
    Run.objects.update(due_at=Now() - reconciling.LOST_AFTER, queued_at=Now() - reconciling.LOST_AFTER)
    RawPayload.objects.update(received_at=Now() - 2 * reconciling.LOST_AFTER)


def reconcile_until_ended(run: Run) -> None:
    """The leases of the dead run out at once; those of whoever takes over are left to them."""
    pass_time()

    def ended() -> bool:
        lose_messages()
        tasks.reconcile()
        run.refresh_from_db()
        return run.finished_at is not None

    deadline = time.monotonic() + 90
    while not ended():
        assert time.monotonic() < deadline, f"{run.status} {run.error}"
        time.sleep(0.5)


def nothing_is_left_open() -> None:
    assert not Run.objects.filter(status__in=Run.ACTIVE).exists()
    assert not RawPayload.objects.filter(state=RawPayload.State.STORED).exists()
