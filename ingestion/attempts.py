"""Attempts at pages that the database itself cut short are given back, so that no outage ever sets a page aside.

An attempt is counted before it can do harm, and stays counted when it takes its process along. One that ends because
the database went away is owed back: the process remembers it, and a thread gives it back as soon as the database
answers, however long that takes. Who finds that a page has used up its attempts waits for GRACE seconds and looks
again: what a living process owes is given back by then.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from time import sleep

from django.db import InterfaceError, OperationalError, connection

#: Seconds. More than it takes to notice that the database answers again: a call for a connection is given five.
GRACE = 8.0
#: Seconds between two tries to give back.
EVERY = 0.25

_owed: Counter[int] = Counter()
_lock = threading.Lock()
_thread: threading.Thread | None = None

GIVE_BACK = """
UPDATE ingestion_rawpayload page SET attempts = greatest(page.attempts - owed.attempts, 0)
FROM unnest(%s::bigint[], %s::int[]) AS owed (id, attempts)
WHERE page.id = owed.id AND page.state = 'stored'
"""


def give_back(page_ids: Iterable[int]) -> None:
    """An attempt at each of these pages does not count, from now or from when the database answers again."""
    global _thread
    with _lock:
        _owed.update(page_ids)
    connection.close_if_unusable_or_obsolete()
    try:
        settle()
    except (OperationalError, InterfaceError):
        with _lock:
            if _thread is None:
                _thread = threading.Thread(target=_settle_in_time, name="attempts", daemon=True)
                _thread.start()


def settle() -> None:
    """Nothing is owed any more. Raises what the database does, and then everything still is."""
    with _lock:
        owed = Counter(_owed)
        _owed.clear()
    try:
        with connection.cursor() as cursor:
            cursor.execute(GIVE_BACK, [list(owed), list(owed.values())])
    except BaseException:
        with _lock:
            _owed.update(owed)
        raise


def _settle_in_time() -> None:
    global _thread
    try:
        while True:
            sleep(EVERY)
            try:
                settle()
            except (OperationalError, InterfaceError):
                connection.close()
                continue
            with _lock:
                if not _owed:
                    _thread = None
                    return
    finally:
        connection.close()
