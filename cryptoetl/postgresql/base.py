"""Django's PostgreSQL, with a look at the line in place of a question before each request.

Django asks `SELECT 1` whether a kept connection still lives, a tenth of what a page costs. A server that went away has
closed the line, and a closed line can be read from: that is seen without asking.
"""

from __future__ import annotations

import select

import psycopg2
from django.db.backends.postgresql import base
from psycopg2.extensions import TRANSACTION_STATUS_INERROR


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        line = select.poll()
        try:
            if self.connection.get_transaction_status() == TRANSACTION_STATUS_INERROR:
                return False
            # Nobody was asked anything, so whatever lies there is the end, or the word of a server that is going away.
            line.register(self.connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
        except (psycopg2.Error, ValueError, AttributeError):
            return False
        return not line.poll(0)
