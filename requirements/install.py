"""Builds .venv from the lock `requirements/NAME.txt`, with nothing but a bare Python.

Each lock is complete and hashed, so nothing is resolved: what is installed is what was tested. The lock is copied into
.venv at the end; an installation that was cut off is begun again.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent
VENV = REQUIREMENTS.parent / ".venv"
PYTHON = VENV / "bin" / "python"
# Nothing is compiled now: what is used is compiled when it is first loaded, and half of it never is.
INSTALL = [
    "install",
    "-qq",
    "--disable-pip-version-check",
    "--no-input",
    "--no-compile",
    "--no-deps",
    "--require-hashes",
]


def main(name: str) -> None:
    began = time.monotonic()
    if os.path.expanduser("~") == "~":
        # A user without an account or HOME, for whom pip can't be loaded. It keeps nothing there.
        os.environ.update(HOME=str(VENV), PIP_NO_CACHE_DIR="1")
    handle = os.open(REQUIREMENTS, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    if _is_installed(name):
        return
    print(f"Installing requirements/{name}.txt into .venv (Python {sys.version.split()[0]}) ...", flush=True)
    if not _works():
        _create()
    _install(f"{name}.txt")
    for lock in ("local", name):
        shutil.copyfile(REQUIREMENTS / f"{lock}.txt", VENV / f"{lock}.txt")
    print(f"Installed in {time.monotonic() - began:.1f} s.", flush=True)


def _is_installed(name: str) -> bool:
    stamp = VENV / f"{name}.txt"
    return stamp.exists() and stamp.read_bytes() == (REQUIREMENTS / f"{name}.txt").read_bytes() and _works()


def _works() -> bool:
    """The environment's Python runs and has pip. It does not when the Python that it was made of is gone."""
    return PYTHON.exists() and _succeeds([str(PYTHON), "-m", "pip", "--version"])


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _create() -> None:
    """An environment with the pip of requirements/pip.txt, put there by this Python's own pip, or else by ensurepip."""
    import venv

    venv.EnvBuilder(clear=True, symlinks=True).create(VENV)
    own_pip = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    if _succeeds([*own_pip, "--version"]) and _succeeds([*own_pip, *INSTALL, "-r", str(REQUIREMENTS / "pip.txt")]):
        return
    if importlib.util.find_spec("ensurepip") is None:
        shutil.rmtree(VENV)
        sys.exit(
            "cryptoetl: this Python can't install packages: give it venv and pip (on Debian: apt install python3-venv)."
        )
    done = subprocess.run([str(PYTHON), "-m", "ensurepip"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(VENV)
        sys.exit(
            f"cryptoetl: this Python can't install pip: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}"
        )
    # The old pip does the work too, only slower.
    _succeeds([str(PYTHON), "-m", "pip", *INSTALL, "-r", str(REQUIREMENTS / "pip.txt")])


def _install(lock: str) -> None:
    if (
        subprocess.run([str(PYTHON), "-m", "pip", *INSTALL, "-r", str(REQUIREMENTS / lock)], check=False).returncode
        != 0
    ):
        sys.exit(f"cryptoetl: the packages of requirements/{lock} could not be installed; pip says above why.")


if __name__ == "__main__":
    main(sys.argv[1])
