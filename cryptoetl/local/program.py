"""`python -m cryptoetl.local.program NAME`: what the supervisor starts. Makes the way free, then becomes the program.

Before each start, of which the supervisor makes as many as it takes, what a killed predecessor left behind is ended:
pool children without a parent, a web worker on the port, PostgreSQL's processes that still write.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from cryptoetl.local import nonroot, ports, processes, servers
from cryptoetl.local.environment import program_environment
from cryptoetl.local.folder import CLONE, Folder
from cryptoetl.local.postgres_server import server_environment
from cryptoetl.local.trouble import Trouble

QUEUES = "fetch,normalize,maintenance"
CELERY = ["celery", "-A", "cryptoetl", "--quiet"]
# A program that ends at once is started again every so many seconds: soon enough, and no busy loop.
PAUSE_SECONDS = 2


def main(name: str) -> None:
    folder = Folder(os.environ[processes.MARK])
    os.environ[processes.PROGRAM_MARK] = name
    _pause_after_a_short_life(folder, name)
    processes.end(folder, name)
    state = folder.read_state()
    if name == "postgres":
        _become_postgres(folder, state)
    elif name == "redis":
        _become_redis(folder, state)
    else:
        os.chdir(CLONE)
        argv = [sys.executable, "-m", *argv_of(name, state)]
        os.execve(argv[0], argv, program_environment(folder, state, name))


def argv_of(name: str, state: dict[str, Any]) -> list[str]:
    """Module and arguments of a program. Modules, because the first line of a script can't hold a path with a space."""
    port = state["environment"]["PORT"]
    if name == "web":
        serve = ["--config", "python:cryptoetl.serving", "--bind", f"{ports.LOOPBACK}:{port}"]
        # The supervisor kills it after 20 seconds.
        return ["gunicorn", *serve, "--graceful-timeout", "10", "cryptoetl.wsgi"]
    if name == "worker":
        # Ended by SIGTERM, it finishes the pages it is at. REMAP_SIGTERM=SIGQUIT, the way of containers, would wait its
        # whole soft shutdown time at each `make down`; what is killed is taken over from its checkpoint anyway.
        alone = ["--concurrency", "2", "--without-gossip", "--without-mingle"]
        return [*CELERY, "worker", "-Q", QUEUES, *alone]
    if name == "beat":
        return [*CELERY, "beat", "--pidfile="]
    if name == "provider":
        return ["cryptoetl.demo", "serve", "--port", str(state["provider_port"])]
    raise Trouble(f"There is no program {name!r} here.")


def _become_postgres(folder: Folder, state: dict[str, Any]) -> None:
    server = servers.postgres(folder, state)
    server.configure()
    server.forget_the_dead()
    argv = server.argv()
    os.chdir(CLONE)
    nonroot.become(server.method)
    os.execve(argv[0], argv, server_environment())


def _become_redis(folder: Folder, state: dict[str, Any]) -> None:
    server = servers.redis(folder, state)
    server.configure()
    if mended := server.mend():
        print(mended, flush=True)
    argv = server.argv()
    os.chdir(server.data)
    os.execve(argv[0], argv, server_environment())


def _pause_after_a_short_life(folder: Folder, name: str) -> None:
    started = folder.run / f"{name}.started"
    if started.exists() and abs(time.time() - started.stat().st_mtime) < PAUSE_SECONDS:
        time.sleep(PAUSE_SECONDS)
    started.touch()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (Trouble, OSError) as error:
        sys.exit(f"cryptoetl: {sys.argv[1]} could not be started: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
