"""The one clock that counts, whatever the clocks of web and workers say: PostgreSQL's."""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def database_clock() -> datetime:
    """PostgreSQL's clock now, not the transaction's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
