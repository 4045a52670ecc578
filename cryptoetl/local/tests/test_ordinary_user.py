"""A user without any rights of root's runs the whole of it, in a home of mode 700."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptoetl.local.folder import CLONE

NOBODY, WITHOUT_ACCOUNT = 65534, 54_321
SCRIPT = """
import sys
from cryptoetl.local import processes
from cryptoetl.local.tests.conftest import Supervised
copy = Supervised(sys.argv[1])
try:
    copy.start()
    print(copy.postgres.method, len(processes.of(copy.folder)) > 3)
finally:
    copy.end()
print(len(processes.of(copy.folder)))
"""


def as_nobody(*command: str, user: int = NOBODY, **options: str) -> subprocess.CompletedProcess[str]:
    account = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--bounding-set=-all", "--"]
    packages = sysconfig.get_path("purelib")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*account, *command],
        env=environment,
        cwd=options.get("cwd", "/"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def python() -> str:
    """A Python of this version that a stranger may run, with this environment's packages."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv, to become somebody else")
    # It has to start itself too: setpriv's own start of it still has root's rights on the way.
    again = "import psutil, supervisor, pytest, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        if os.path.exists(candidate) and as_nobody(candidate, "-c", again).returncode == 0:
            return candidate
    pytest.skip("no Python here may be run by a stranger")


@pytest.fixture
def home() -> Iterator[Path]:
    """A closed home that is not below root's closed folders, with a clone in it."""
    path = Path(tempfile.mkdtemp(prefix="cryptoetl-home-"))
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CLONE / "cryptoetl", path / "a clöne" / "cryptoetl", ignore=ignore)
    for folder, _, files in os.walk(path):
        for name in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(name, NOBODY, NOBODY)
    path.chmod(0o700)
    yield path
    shutil.rmtree(path)


def test_an_ordinary_user_needs_nothing_of_the_system(python: str, home: Path) -> None:
    clone = home / "a clöne"
    done = as_nobody(python, "-c", SCRIPT, str(clone / ".var"), cwd=str(clone))
    assert done.stderr == ""
    assert done.stdout.split() == ["plain", "True", "0"]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert sorted(entry.name for entry in clone.iterdir()) == [".var", "cryptoetl"]
    assert stat.S_IMODE((clone / ".var").stat().st_mode) == 0o700


def test_a_user_without_an_account_or_a_home_can_install(python: str, home: Path) -> None:
    requirements = home / "requirements"
    requirements.mkdir()
    shutil.copy(CLONE / "requirements" / "install.py", requirements)
    for name in ("pip.txt", "local.txt"):
        (requirements / name).touch()
    for path in (home, requirements, *requirements.iterdir()):
        os.chown(path, WITHOUT_ACCOUNT, WITHOUT_ACCOUNT)
    done = as_nobody(python, str(requirements / "install.py"), "local", cwd=str(home), user=WITHOUT_ACCOUNT)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
    assert "Installed in" in done.stdout
