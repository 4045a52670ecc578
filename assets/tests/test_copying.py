"""What COPY is given is what the tables hold, whatever characters and figures it is made of."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import OperationalError, connection, connections

from assets.copying import array_of, array_of_numbers, copy_rows, stage
from conftest import end_backend

pytestmark = pytest.mark.django_db

TEXTS = [
    "",
    "null",
    "\\N",
    "\\.",
    'a "quoted" name',
    "back\\slash",
    "back\\\\slashes and \\n that is none",
    "a,b",
    "tab\tand\nline\rends",
    "\x01\x1f\x7f",
    "]",
    "]\n[",
    '"]\n["',
    "Zoë 🚀 ﷽ \u2028",
    "'; DROP TABLE assets_asset; --",
]


def copied(types: str, rows: list) -> list:
    with connection.cursor() as cursor:
        stage(cursor, "copied", types, rows)
        cursor.execute("SELECT * FROM copied")
        found = cursor.fetchall()
        cursor.execute("DROP TABLE copied")
        return found


def test_every_text_comes_through():
    assert copied("number int, text text", list(enumerate(TEXTS))) == list(enumerate(TEXTS))


def test_arrays_of_texts_come_through():
    assert copied("texts text[]", [(array_of(TEXTS),), (array_of([]),)]) == [(TEXTS,), ([],)]
    assert copied("numbers bigint[]", [(array_of_numbers([1, -(2**63)]),)]) == [([1, -(2**63)],)]


def test_figures_come_through_to_the_digit():
    figures = [Decimal(text) for text in ("0", "-1.50", "1E+300", "1.234E-17", "123456789012345678901234567890.10")]
    rows = [(figure, None, datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), True) for figure in figures]
    assert [(format(a, "f"), *rest) for a, *rest in copied("a numeric, b numeric, c timestamptz, d boolean", rows)] == [
        (format(a, "f"), *rest) for a, *rest in rows
    ]


def test_a_server_that_is_gone_in_mid_copy_is_trouble_of_the_database_and_no_fault_of_ours():
    lone = connections.create_connection("default")
    try:
        with pytest.raises(OperationalError), lone.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE copied (number int)")
            end_backend(lone.connection.get_backend_pid(), connection)
            copy_rows(cursor, "copied", [(1,)])
    finally:
        lone.close()


def test_no_row_is_no_statement(django_assert_num_queries):
    with django_assert_num_queries(0), connection.cursor() as cursor:
        copy_rows(cursor, "no_such_table", [])
