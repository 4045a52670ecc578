"""Django's PostgreSQL, with a look at the line in place of a question before each request.

Django asks `SELECT 1` whether a kept connection still lives, a tenth of what a page costs. A server that went away has
closed the line, and a closed line can be read from: that is seen without asking.

And with an OperationalError for nothing but trouble of the database, which waiting may cure: what is too large for
PostgreSQL in any weather (SQLSTATE 54...: a row of an index, a statement) is a DataError.
"""

from __future__ import annotations

import select
from typing import Any

import psycopg2
from django.db import DataError
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg2.extensions import TRANSACTION_STATUS_INERROR

PROGRAM_LIMIT_EXCEEDED = "54"


class Errors(DatabaseErrorWrapper):
    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, psycopg2.Error) and (error.pgcode or "").startswith(PROGRAM_LIMIT_EXCEEDED):
            raise DataError(*error.args).with_traceback(traceback) from error
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    @cached_property
    def wrap_database_errors(self) -> Errors:
        return Errors(self)

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
