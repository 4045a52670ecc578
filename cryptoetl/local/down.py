"""`make down`: everything that `make up` started in this folder has ended, and nothing else. The data stays."""

from __future__ import annotations

import contextlib
import time

from cryptoetl.local import processes
from cryptoetl.local.environment import folder_for, given
from cryptoetl.local.folder import Folder
from cryptoetl.local.supervision import Supervisor
from cryptoetl.local.trouble import Trouble


def down() -> int:
    folder = folder_for(given())
    if not processes.of(folder) and not folder.read_state():
        print(f"There is no system in {folder.path}: nothing to stop.")
        return 0
    return stop(folder)


def stop(folder: Folder) -> int:
    """No process of the folder is left, whether its supervisor lives or not. The data is."""
    began = time.monotonic()
    # What runs may outlive its folder.
    with folder.lock() if folder.path.is_dir() else contextlib.nullcontext():
        supervisor = Supervisor(folder)
        family = processes.of(folder)
        try:
            supervised = supervisor.stop()
        except Trouble as trouble:
            print(f"{trouble} They are ended now.", flush=True)
            supervised = True
        left = processes.stop(lambda: processes.of(folder), patience=20)
        supervisor.forget_the_dead()
        processes.wait_for_burial(family, seconds=3)
    if supervised or left:
        print(f"Stopped everything in {folder.path} ({time.monotonic() - began:.1f} s).", flush=True)
    else:
        print(f"Nothing was running in {folder.path}.", flush=True)
    return 0
