"""The commands behind the Makefile, as a person meets them: one clear sentence for what is wrong, and nothing begun."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from cryptoetl.local import dotenv, environment, own_servers, ports, processes
from cryptoetl.local.folder import CLONE, Folder
from cryptoetl.local.logs import Follower
from cryptoetl.local.throwaway import Throwaway
from cryptoetl.local.trouble import Trouble


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "PORT")}
    return subprocess.run(
        [sys.executable, "-m", "cryptoetl.local", *arguments],
        cwd=CLONE,
        env=kept | {"ENV_FILE": os.devnull} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "8000 ", "８０００", "9" * 400])
def test_a_port_that_is_none_is_named(tmp_path: Path, port: str) -> None:
    done = run("up", PORT=port, VAR=str(tmp_path / "var"))
    assert done.returncode == 2
    assert done.stderr.startswith("cryptoetl: PORT must be a whole number from 1 to 65535")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_port_in_use_is_one_sentence_and_nothing_has_started(tmp_path: Path, host: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as other:
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        done = run("up", PORT=str(port), VAR=str(tmp_path / "var"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"cryptoetl: Port {port} is in use by another program: choose another one")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "var").exists()


def test_there_is_nothing_to_stop_where_nothing_was_started(tmp_path: Path) -> None:
    for command in (["down"], ["demo", "--down"]):
        done = run(*command, VAR=str(tmp_path / "var"))
        assert (done.returncode, done.stderr) == (0, "")
        assert "nothing to" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_logs_of_nothing_name_the_folder(tmp_path: Path) -> None:
    done = run("logs", VAR=str(tmp_path / "var"))
    assert done.returncode == 1
    assert str(tmp_path / "var") in done.stderr


def test_a_demo_is_never_started_in_the_folder_of_a_real_system_nor_removes_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "var-demo")
    folder.prepare()
    folder.write_state({"demo": False, "environment": {}})
    for command in (["demo"], ["demo", "--down"]):
        done = run(*command, VAR=str(tmp_path / "var"))
        assert done.returncode == 2
        assert "no demo" in done.stderr
    assert folder.read_state() == {"demo": False, "environment": {}}


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "var")
    folder.prepare()
    folder.state_file.write_text('{"postgres": {')
    done = run("up", VAR=str(folder.path))
    assert done.returncode == 1
    assert str(folder.state_file) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://me:geheim@127.0.0.1/db", "must name a PostgreSQL database"),
        ("postgres://me:geheim@127.0.0.1:1/db", "names 127.0.0.1:1, which can't be used"),
        ("postgres://me:geheim@127.0.0.1:port/db", "must"),
        ("nonsense", "must"),
        ("postgres://me:geheim@127.0.0.1:1/db?max=9", 'names 127.0.0.1:1, which can.t be used: .*option "max"'),
        ("postgres:///db?host=127.0.0.1&port=1&password=geheim", "names 127.0.0.1:1, which can't be used"),
    ],
)
def test_a_database_that_can_not_be_used_is_named_without_its_password(url: str, complaint: str) -> None:
    with pytest.raises(Trouble, match=complaint) as trouble:
        own_servers.check_database(url)
    assert str(trouble.value).startswith("DATABASE_URL ")
    assert "geheim" not in str(trouble.value)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://127.0.0.1", "must be an address such as redis://"),
        ("redis://:geheim@127.0.0.1:1/0", "names 127.0.0.1:1, which can't be used"),
        ("redis://:geheim@127.0.0.1:port/0", "must be an address such as redis://"),
        ("redis://:geheim@127.0.0.1:1/db", "must be an address such as redis://"),
        ("redis://:geheim@127.0.0.1:1/0?db=geheim", "must be an address such as redis://"),
        ("redis://:geheim@127.0.0.1:1/0?max=9", "must be an address such as redis://"),
        ("rediss://:geheim@127.0.0.1:1/0?ssl_nothing=9", "names 127.0.0.1:1, which can't be used"),
    ],
)
def test_a_redis_that_can_not_be_used_is_named_without_its_password(url: str, complaint: str) -> None:
    with pytest.raises(Trouble, match=complaint) as trouble:
        own_servers.check_redis(url)
    assert str(trouble.value).startswith("REDIS_URL ")
    assert "geheim" not in str(trouble.value)


def test_servers_of_the_users_own_are_taken_when_they_answer_and_are_new_enough(
    servers: Throwaway, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_servers.check_database(servers.postgres.url)
    own_servers.check_redis(servers.redis.url)
    parts = urlsplit(servers.postgres.url)
    own_servers.check_database(
        f"postgres://{parts.path}?host={parts.hostname}&port={parts.port}&user={parts.username}&password={parts.password}"
    )
    with pytest.raises(Trouble, match="password authentication failed"):
        own_servers.check_database(servers.postgres.url.replace(servers.postgres.password, "wrong"))
    with pytest.raises(Trouble, match="which can't be used"):
        own_servers.check_redis(servers.redis.url.replace(servers.redis.password, "wrong"))
    with pytest.raises(Trouble, match="which may only be read"):
        own_servers.check_database(servers.postgres.url + "&options=-c%20default_transaction_read_only%3Don")
    monkeypatch.setattr(own_servers, "OLDEST_POSTGRES", 19)
    monkeypatch.setattr(own_servers, "OLDEST_REDIS", (99, 0))
    with pytest.raises(Trouble, match=r"names PostgreSQL 18 at .*: 19 or newer is needed"):
        own_servers.check_database(servers.postgres.url)
    with pytest.raises(Trouble, match="is needed"):
        own_servers.check_redis(servers.redis.url)


def test_a_database_that_belongs_to_another_is_one_sentence(servers: Throwaway) -> None:
    url = urlsplit(servers.postgres.url)
    with contextlib.closing(psycopg2.connect(servers.postgres.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE ROLE guest LOGIN PASSWORD 'geheim'")
        cursor.execute("CREATE DATABASE closed")
    guest = url._replace(netloc=f"guest:geheim@{url.hostname}:{url.port}", path="/closed").geturl()
    variables = {"DATABASE_URL": guest, "REDIS_URL": servers.redis.url, "SECRET_KEY": "x", "ENV_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=CLONE,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"The database at {url.hostname}:{url.port}/closed refuses: permission denied for schema public."
        " The user of DATABASE_URL must own it.\n"
    )


def test_whoever_reads_no_further_or_not_at_all_is_told_nothing(tmp_path: Path) -> None:
    verify = [sys.executable, "-m", "cryptoetl.local", "verify"]
    variables = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "VAR": str(tmp_path / "var"), "PORT": "1"}
    for command in ("sh -c '\"$@\" | true' sh", "sh -c '\"$@\" >&-' sh"):
        done = subprocess.run(
            [*shlex.split(command), *verify], cwd=CLONE, env=variables, capture_output=True, text=True, timeout=60
        )
        assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_start_that_is_ended_leaves_no_half_of_a_system(tmp_path: Path, number: signal.Signals) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    variables = {"ENV_FILE": os.devnull, "VAR": str(tmp_path / "var"), "PORT": str(ports.server_port())}
    with subprocess.Popen(
        [sys.executable, "-m", "cryptoetl.local", "up"],
        cwd=CLONE,
        env=kept | variables,
        stdout=subprocess.PIPE,
        text=True,
        # Whoever runs the tests under `nohup` has it ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as start:
        assert start.stdout is not None
        said = ""
        while "migrating" not in said and (character := start.stdout.read(1)):
            said += character
        start.send_signal(number)
        start.stdout.read()
    left = processes.of(Folder(tmp_path / "var"))
    run("down", VAR=str(tmp_path / "var"))
    assert start.returncode == 128 + number
    assert left == []


def test_the_environment_wins_over_the_file_and_what_is_empty_is_unset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("# words\nPORT=8123\nLOG_LEVEL='DEBUG'\nREDIS_URL=redis://file\nSECRET_KEY=\n")
    for name in ("DATABASE_URL", "SECRET_KEY", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    monkeypatch.setenv("PORT", "")
    values = environment.given(file)
    assert (values["PORT"], values["LOG_LEVEL"], values["REDIS_URL"]) == ("8123", "DEBUG", "redis://environment")
    assert "SECRET_KEY" not in values
    assert "PORT" in os.environ and os.environ["PORT"] == ""


def test_a_hand_at_manage_py_gets_what_the_running_copy_has(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "var")
    assert environment.embedded_environment(folder.path) == {}
    folder.prepare()
    assert environment.embedded_environment(folder.path) == {}
    folder.write_state({"environment": {"DATABASE_URL": "postgres://x", "PORT": 8000}})
    assert environment.embedded_environment(folder.path) == {"DATABASE_URL": "postgres://x", "PORT": "8000"}
    assert stat.S_IMODE(folder.state_file.stat().st_mode) == 0o600


def test_env_writes_passwords_once_and_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dotenv, "CLONE", tmp_path)
    assert dotenv.write() == 0
    file = tmp_path / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = file.read_text()
    values = dict(line.split("=", 1) for line in written.splitlines() if not line.startswith("#"))
    assert set(values) == set(dotenv.SECRETS)
    assert all(len(value) >= 32 for value in values.values())
    assert len(set(values.values())) == len(values)
    assert dotenv.write() == 0
    assert file.read_text() == written


def test_env_adds_what_a_file_of_ones_own_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the quick start leaves one, or a copy of .env.example."""
    monkeypatch.setattr(dotenv, "CLONE", tmp_path)
    file = tmp_path / ".env"
    file.write_text("#REDIS_PASSWORD=\nPOSTGRES_PASSWORD=mine\nCSV_SOURCE_PATH=/csv/*.csv")
    file.chmod(0o644)
    assert dotenv.write() == 0
    values = environment.in_file(file)
    assert values.keys() == {*dotenv.SECRETS, "CSV_SOURCE_PATH"}
    assert (values["POSTGRES_PASSWORD"], values["CSV_SOURCE_PATH"]) == ("mine", "/csv/*.csv")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_log_is_followed_across_its_rotation(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("".join(f"old {number}\n" for number in range(30)))
    follower = Follower(log)
    assert follower.lines() == [f"old {number}" for number in range(20, 30)]
    with log.open("a") as file:
        file.write("half a ")
    assert follower.lines() == []
    with log.open("a") as file:
        file.write("line\nlast\n")
    log.rename(tmp_path / "web.log.1")
    log.write_text("first\n")
    assert follower.lines() == ["half a line", "last", "first"]
    assert follower.lines() == []
    follower.close()


def test_free_ports_are_not_those_of_outgoing_connections() -> None:
    port = ports.server_port()
    assert 20_000 <= port < 32_000
    assert ports.server_port(keep=port) == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert ports.server_port(keep=port) != port
