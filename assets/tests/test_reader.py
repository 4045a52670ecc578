"""A request reads as a role that may do nothing else, for a limited time; the admin beside it goes on writing."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from assets import reader
from assets.models import Asset, Source
from assets.reading import Reading
from assets.tests.factories import coins

pytestmark = pytest.mark.django_db(transaction=True)


def asked(sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE assets_asset SET name = 'x'",
        "DELETE FROM assets_quote",
        "INSERT INTO assets_candidate (a_id, b_id, score) VALUES (1, 2, 1)",
        "CREATE TABLE x ()",
        "SELECT password FROM auth_user",
        "SELECT session_data FROM django_session",
        "SET default_transaction_read_only = off; UPDATE assets_asset SET name = 'x'",
    ],
)
def test_a_reader_can_only_read_and_not_everything(sql):
    with reader.reading(), pytest.raises(DatabaseError, match=r"permission denied|read-only"):
        asked(sql)
    assert asked("SELECT current_user = session_user")


def test_it_is_a_role_of_its_own_with_a_time_limit(settings):
    with reader.reading():
        assert asked("SELECT current_user") == reader.ROLE
        assert asked("SHOW statement_timeout") == "15s"
        assert asked("SHOW transaction_read_only") == "on"
        with reader.reading(False):
            assert asked("SELECT current_user = session_user")
    assert asked("SHOW statement_timeout") == "5min"
    settings.API_TIMEOUT_SECONDS = 1
    with reader.reading(), pytest.raises(OperationalError, match="statement timeout"):
        asked("SELECT pg_sleep(5)")


def test_every_request_is_read_as_that_role(client, monkeypatch):
    coins("coingecko", 1)
    seen = []
    answer = Reading.answer
    monkeypatch.setattr(
        Reading, "answer", lambda *given, **more: seen.append(asked("SELECT current_user")) or answer(*given, **more)
    )
    for path in ("/data", "/assets", "/stats", "/stats/runs"):
        assert client.get(path).status_code == 200
    assert seen == [reader.ROLE] * 4
    assert Asset.objects.update(name="after") == 1


def test_a_slow_question_is_503_and_says_so(client, settings, monkeypatch):
    settings.API_TIMEOUT_SECONDS = 1
    monkeypatch.setattr("assets.views.selectors.summary", lambda: asked("SELECT pg_sleep(5)"))
    answer = client.get("/data/summary")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "timeout"


def test_a_transaction_that_is_rolled_back_leaves_nobody_in_the_wrong_role():
    """The change of role is rolled back with it."""
    with reader.reading():
        asked("SELECT 1")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Source.objects.update(title="x")
        raise ZeroDivisionError
    assert Source.objects.update(title="y") > 0
    with reader.reading():
        assert asked("SELECT current_user") == reader.ROLE


def test_where_the_role_can_not_be_made_reading_is_read_only_all_the_same(monkeypatch):
    monkeypatch.setattr(reader, "ROLE", "cryptoetl_nobody")
    assert not reader.usable()
    with reader.reading():
        assert asked("SELECT current_user = session_user")
        with pytest.raises(DatabaseError, match="read-only"):
            asked("DELETE FROM assets_quote")


def test_a_user_who_may_make_no_roles_migrates_and_the_doctor_says_so(monkeypatch):
    from ingestion import checkup

    assert checkup.role().level == "ok"
    monkeypatch.setattr(reader, "ROLE", "cryptoetl_nobody")
    with connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS cryptoetl_plain; CREATE ROLE cryptoetl_plain")
        try:
            cursor.execute("SET ROLE cryptoetl_plain")
            # `session_user` is still the superuser, whom nobody refuses: as the plain one it can't even be made.
            reader.install_role()
            cursor.execute("RESET ROLE")
            assert not reader.usable()
            found = checkup.role()
        finally:
            cursor.execute("RESET ROLE; DROP ROLE cryptoetl_plain")
    assert found.level == "warn"
    assert "CREATE ROLE cryptoetl_nobody; GRANT cryptoetl_nobody TO cryptoetl" in found.says
