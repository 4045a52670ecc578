"""Inside the tortured processes: at every place where a kill may hurt they stop, say where they are, and wait.

A place is what is being done (a task's name, or `beat`, `command`) and a point of it: before a statement, before and
after a commit, before and after an answer of a provider, before and after a message is sent, at a task's beginning and
end. They are found at the libraries' edges, so that the product may be written anew without this file.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import threading
from typing import Any

import psycopg2.extensions
from celery import current_task
from celery.signals import after_task_publish, before_task_publish, task_postrun, task_prerun
from django.conf import settings

_STORES = re.compile(r'INSERT INTO "?ingestion_rawpayload"?\b')
_ENDS = re.compile(r'UPDATE "?ingestion_run"?\b.*\bfinished_at"? =', re.DOTALL)
_MOVES = re.compile(r'UPDATE "?ingestion_checkpoint"?\b')

_here = threading.local()
_role = _address = ""


def watch(role: str, address: str) -> None:
    """From now on this process asks the referee at `address`; its own name is for what it does outside of tasks."""
    global _role, _address
    _role, _address = role, address
    settings.DATABASES["default"]["OPTIONS"] |= {"connection_factory": Connection, "cursor_factory": Cursor}
    before_task_publish.connect(_before_publish)
    after_task_publish.connect(_after_publish)
    task_prerun.connect(_begun)
    task_postrun.connect(_ended)
    getresponse = http.client.HTTPConnection.getresponse

    def asked_and_answered(self: http.client.HTTPConnection) -> Any:
        reached("asked")
        answer = getresponse(self)
        reached("answered")
        return answer

    http.client.HTTPConnection.getresponse = asked_and_answered


def reached(point: str, doing: str = "") -> None:
    """Waits for the referee's word, which may never come: a process that is to die here is killed while it waits."""
    doing = doing or (current_task.name.rpartition(".")[2] if current_task else _role)
    if getattr(_here, "pid", None) != os.getpid():
        _here.pid = os.getpid()
        _here.line = socket.socket(socket.AF_UNIX)
        _here.line.connect(_address)
    _here.line.sendall(f"{doing} {point} {os.getpid()} {os.getppid()}\n".encode())
    if not _here.line.recv(1):
        # The torture is over.
        os._exit(1)


class Cursor(psycopg2.extensions.cursor):
    """Every statement is a point; three of them have names."""

    def execute(self, sql: Any, *args: Any) -> Any:
        text = sql if isinstance(sql, str) else bytes(sql).decode(errors="replace") if isinstance(sql, bytes) else ""
        reached("sql")
        if _ENDS.search(text):
            reached("ending")
        done = super().execute(sql, *args)
        if _STORES.search(text):
            reached("stored")
        if _MOVES.search(text):
            reached("moved")
        return done

    def copy_expert(self, *args: Any, **options: Any) -> Any:
        reached("sql")
        return super().copy_expert(*args, **options)


class Connection(psycopg2.extensions.connection):
    """So is every commit, twice: the server may have died with it done or not."""

    def commit(self) -> None:
        reached("commit")
        super().commit()
        reached("committed")


def _before_publish(**_: object) -> None:
    reached("send")


def _after_publish(**_: object) -> None:
    reached("sent")


def _begun(task: Any, **_: object) -> None:
    reached("begun", task.name.rpartition(".")[2])


def _ended(task: Any, **_: object) -> None:
    reached("ended", task.name.rpartition(".")[2])
