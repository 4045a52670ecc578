"""`make demo`: the same system in a folder of its own, against a local server that speaks the providers' protocols."""

from __future__ import annotations

import os
import shutil

from cryptoetl.local import ports
from cryptoetl.local.down import stop
from cryptoetl.local.environment import folder_for, given
from cryptoetl.local.folder import Folder
from cryptoetl.local.plan import Plan
from cryptoetl.local.trouble import Trouble
from cryptoetl.local.up import already_running, start

FIRST_PORT = 8100
INTERVAL_SECONDS = 30


def demo() -> int:
    """Starts the demo. It neither reads the user's `.env` nor touches the user's servers or keys."""
    folder = folder_for(given(), demo=True)
    chosen = os.environ.get("PORT", "")
    state = folder.read_state()
    if state and not state.get("demo", True):
        raise Trouble(f"{folder.path} holds a system that is no demo: name another folder with VAR.", code=2)
    plan = Plan(folder, ports.read_port(chosen) if chosen else FIRST_PORT, demo=True)
    if (code := already_running(plan)) is not None:
        return code
    return start(planned(folder, plan.port if chosen else ports.first_free(FIRST_PORT), INTERVAL_SECONDS))


def planned(folder: Folder, port: int, interval: int) -> Plan:
    """A system of its own, whose every source is the local server, asked each `interval` seconds."""
    provider = ports.server_port(folder.read_state().get("provider_port"))
    base = f"http://{ports.LOOPBACK}:{provider}"
    environment = {
        "CRYPTOETL_DEMO": "1",
        # Its own environment alone: what the user keeps in `.env` is meant for the real system.
        "ENV_FILE": os.devnull,
        "CELERY_BROKER_URL": "",
        "COINGECKO_API_KEY": "",
        "COINGECKO_PLAN": "public",
        "COINGECKO_BASE_URL": f"{base}/coingecko/api/v3",
        "COINPAPRIKA_API_KEY": "",
        "COINPAPRIKA_BASE_URL": f"{base}/coinpaprika/v1",
        "CSV_SOURCE_PATH": f"{base}/csv/exchange.csv",
        "ETL_INTERVAL_SECONDS": str(interval),
    }
    return Plan(folder, port, demo=True, provider_port=provider, extra=environment)


def remove() -> int:
    """The demo has ended and its folder is gone."""
    folder = folder_for(given(), demo=True)
    state = folder.read_state()
    if not state:
        print(f"There is no demo in {folder.path}: nothing to remove.")
        return 0
    if not state.get("demo", True):
        raise Trouble(f"{folder.path} holds a system that is no demo: it is left alone.", code=2)
    code = stop(folder)
    shutil.rmtree(folder.path)
    print(f"Removed {folder.path}.")
    return code
