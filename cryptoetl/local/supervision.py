"""supervisord over the programs of one folder: started as a daemon, asked over a socket inside the folder.

Its folder is its working folder and every path in its configuration is relative to it, so that no character of the path
can break the file. The socket's path, which may have 107 bytes, leads through /proc to that working folder.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from cryptoetl.local import processes
from cryptoetl.local.folder import CLONE, Folder
from cryptoetl.local.trouble import Trouble

SOCKET = "supervisor.sock"
# Lower starts earlier and stops later. SIGINT is PostgreSQL's fast shutdown. Seconds to stop before it is killed.
PROGRAMS = {
    "postgres": (10, "INT", 60),
    "redis": (20, "TERM", 30),
    "provider": (30, "TERM", 5),
    "web": (40, "TERM", 20),
    "worker": (50, "TERM", 25),
    "beat": (60, "TERM", 10),
}
SERVERS = ("postgres", "redis", "provider")

HEAD = """\
; Written by cryptoetl/local/supervision.py at each `make up`.
[supervisord]
identifier = cryptoetl
logfile = log/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 2
pidfile = supervisord.pid
umask = 077
minprocs = 50
nocleanup = true
{user}

[unix_http_server]
file = {socket}
chmod = 0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
# startsecs is 0, as otherwise each failed start would lengthen the wait for the next one, at last beyond any patience;
# the pause between starts is kept by program.py.
PROGRAM = """
[program:{name}]
command = %(ENV_CRYPTOETL_COMMAND)s {name}
directory = %(ENV_CRYPTOETL_CLONE)s
priority = {priority}
autostart = {autostart}
autorestart = true
startsecs = 0
startretries = 1000000
stopsignal = {signal}
stopwaitsecs = {seconds}
killasgroup = true
redirect_stderr = true
stdout_logfile = log/{name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 3
"""


class Supervisor:
    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def start(self, programs: list[str]) -> None:
        """supervisord runs, and with it the servers among the programs; the others wait for `start_program`."""
        user = "user = root" if os.geteuid() == 0 else ""
        here = "/proc/self/cwd" if os.path.isdir("/proc/self/cwd") else "%(here)s"
        text = HEAD.format(socket=f"{here}/{SOCKET}", user=user)
        for name in programs:
            priority, signal, seconds = PROGRAMS[name]
            auto = str(name in SERVERS).lower()
            text += PROGRAM.format(name=name, priority=priority, autostart=auto, signal=signal, seconds=seconds)
        (self.folder.path / "supervisord.conf").write_text(text)
        self.forget_the_dead()
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "SUPERVISOR_"))
        }
        environment |= {
            processes.MARK: str(self.folder.path),
            "CRYPTOETL_CLONE": str(CLONE),
            "CRYPTOETL_COMMAND": f"{shlex.quote(sys.executable)} -m cryptoetl.local.program",
        }
        environment.pop(processes.PROGRAM_MARK, None)
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", "supervisord.conf"],
            cwd=self.folder.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()
            reason = [line for line in reason if line.startswith("Error")] or reason
            raise Trouble(f"The supervisor did not start: {reason[0] if reason else 'no reason given'}")
        self.wait(lambda: self.states() is not None, 10, "The supervisor did not answer")

    def forget_the_dead(self) -> None:
        """No socket is left of a supervisor that is gone."""
        for path in (self.folder.path / SOCKET, self.folder.path / "supervisord.pid"):
            path.unlink(missing_ok=True)

    def states(self) -> dict[str, dict[str, Any]] | None:
        """What the supervisor says of each program; None when there is no supervisor."""
        if not (self.folder.path / SOCKET).exists():
            return None
        try:
            with self._calls() as calls:
                return {info["name"]: info for info in calls.getAllProcessInfo()}
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return None

    def start_program(self, name: str) -> None:
        with self._calls() as calls:
            if calls.getProcessInfo(name)["statename"] not in ("RUNNING", "STARTING"):
                calls.startProcess(name, False)

    def stop(self) -> bool:
        """Every program has ended, each in its own way, and the supervisor with them. False when there was none."""
        states = self.states()
        if states is None:
            return False
        with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error), self._calls() as calls:
            # These three at once; then the servers, which they need until their end, one by one.
            for name in states.keys() - SERVERS:
                with contextlib.suppress(xmlrpc.client.Fault):
                    calls.stopProcess(name, False)
            calls.shutdown()
        limit = sum(seconds for _, _, seconds in PROGRAMS.values())
        self.wait(lambda: not processes.of(self.folder), limit, "The programs did not end")
        return True

    @staticmethod
    def wait(condition: Any, seconds: float, complaint: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Trouble(f"{complaint} within {seconds:.0f} seconds.")
            time.sleep(0.05)

    @contextlib.contextmanager
    def _calls(self) -> Iterator[Any]:
        # The socket's name is relative: a path to it could be too long.
        with contextlib.chdir(self.folder.path):
            transport = SupervisorTransport(None, None, f"unix://{SOCKET}")
            server = xmlrpc.client.ServerProxy("http://localhost", transport)
            try:
                yield server.supervisor
            finally:
                transport.close()
