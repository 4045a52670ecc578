"""A setting that can't be used stops the start with one sentence that names it, in every kind of process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings

GUNICORN = ("-m", "gunicorn", "--config", "python:cryptoetl.serving", "cryptoetl.wsgi")
CELERY = ("-m", "celery", "-A", "cryptoetl", "report")
MANAGE = ("manage.py", "check")


def said(command: tuple[str, ...], **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=settings.BASE_DIR,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ETL_BATCH_SIZE", "many", "must be a whole number from 1 to 100000 (it is 'many')"),
        ("ETL_RETRY_ATTEMPTS", "-1", "must be a whole number from 0 to 100"),
        ("DEBUG", "perhaps", "must be true or false"),
        ("LOG_FORMAT", "xml", "must be one of json, console"),
        ("COINGECKO_BASE_URL", "ftp://example.org", "must be an address that begins with http:// or https://"),
        ("DATABASE_URL", "mysql://localhost/x", "must be an address that begins with postgres:// or postgresql://"),
        (
            "DATABASE_URL",
            "postgres://me:CANARY@127.0.0.1/x?max=9",
            'can\'t be used: invalid dsn: invalid connection option "max"',
        ),
        ("REDIS_URL", "redis://:CANARY@127.0.0.1:6379/zero", "with a number for its database"),
        ("REDIS_URL", "redis://:CANARY@127.0.0.1:6379/0/1", "with a number for its database"),
        ("REDIS_URL", "redis://:CANARY@127.0.0.1:6379/0?max=9", "no options but those of TLS"),
        ("CELERY_BROKER_URL", "unix:///run/redis.sock?db=CANARY", "must be an address such as redis://:password@host"),
        ("COINGECKO_BASE_URL", "http://example.org:99999/", "with a port from 1 to 65535 if it names one"),
        ("COINGECKO_BASE_URL", "http://me:CANARY@example.org/", "must be an address without a user, a password"),
        ("CSV_SOURCE_PATH", "https://", "must be an address that begins with http:// or https://"),
        ("CSV_SOURCE_PATH", "https://me:CANARY@/x.csv", "it names no host"),
        ("CSV_SOURCE_PATH", "ftp://example.org/x.csv", "must be an address that begins with http:// or https:// or s3"),
        (
            "ALLOWED_HOSTS",
            "http://example.org",
            "must be host names with commas between them, without http:// and port",
        ),
        ("CSRF_TRUSTED_ORIGINS", "example.org", "must be addresses such as https://crypto.example.org"),
        ("COINGECKO_PLAN", "demo", "COINGECKO_API_KEY is not set, and COINGECKO_PLAN=demo needs one"),
    ],
)
def test_a_value_that_can_not_be_used_is_named_in_one_sentence(name, value, words):
    code, text = said(MANAGE, **{name: value})
    assert code == 1
    assert name in text
    assert words in text
    assert len(text.strip().splitlines()) == 1, text
    assert "CANARY" not in text


def test_what_the_address_of_the_database_asks_for_holds_beside_our_own_time_limits():
    asked = "SELECT current_setting('search_path'), current_setting('statement_timeout')"
    line = f"from django.db import connection; c = connection.cursor(); c.execute({asked!r}); print(*c.fetchone())"
    show = ("manage.py", "shell", "--no-imports", "--command", line)
    url = os.environ["DATABASE_URL"] + "&options=-c%20search_path%3Dours%20-c%20statement_timeout%3D1"
    assert said(show, DATABASE_URL=url) == (0, "ours 5min\n")


def test_this_machine_always_reaches_its_own_copy():
    show = ("-c", "import cryptoetl.settings as its; print(its.ALLOWED_HOSTS)")
    code, text = said(show, ALLOWED_HOSTS="crypto.example.org,.example.com")
    assert code == 0, text
    assert text.strip() == "['localhost', '127.0.0.1', '[::1]', 'crypto.example.org', '.example.com']"


@pytest.mark.parametrize("command", [GUNICORN, CELERY], ids=["gunicorn", "celery"])
def test_web_and_worker_say_it_too_once_and_end(command):
    code, text = said(command, API_PAGE_SIZE="0")
    assert code != 0
    assert text == "cryptoetl: API_PAGE_SIZE must be a whole number from 1 to 100 (it is '0').\n"


def test_a_secret_that_is_wrong_is_named_and_never_shown():
    code, text = said(MANAGE, COINGECKO_API_KEY="CANARY with spaces")
    assert code == 1
    assert "COINGECKO_API_KEY must be printable and without spaces" in text
    assert "CANARY" not in text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"PORT=8000\nCOINGECKO_API_KEY = CG-CANARY\n",
            "line 2: write NAME=value, with no blank before the equals sign.",
        ),
        (b"LOG_LEVEL=caf\xe9\n", "which must be text in UTF-8."),
        (b"LOG_LEVEL=\0\n", "which must be text."),
        (None, "which can't be read: No such file or directory."),
    ],
)
def test_a_file_of_settings_that_can_not_be_read_is_told_by_its_line_and_shows_nothing(tmp_path, content, sentence):
    file = tmp_path / "own.env"
    if content is not None:
        file.write_bytes(content)
    code, text = said(MANAGE, ENV_FILE=str(file))
    assert code == 1
    assert str(file) in text and sentence in text
    assert len(text.strip().splitlines()) == 1 and "CANARY" not in text


def test_a_file_of_settings_may_begin_with_a_mark_and_hold_comments_and_blanks(tmp_path):
    file = tmp_path / "own.env"
    file.write_text("\ufeffLOG_FORMAT=xml\n\n  # a comment\n  export API_PAGE_SIZE=10\n", encoding="utf-8")
    code, text = said(MANAGE, ENV_FILE=str(file), LOG_FORMAT="")
    assert code == 1 and "LOG_FORMAT must be one of json, console (it is 'xml')" in text
