"""Runs a program as somebody who is not root, without an account made for it and without opening a folder to anybody.

PostgreSQL refuses root, and `initdb` refuses a user without an entry in the password file. Two ways lead there, both
leave every file where it is, in folders of mode 700:

- `namespace`: a user namespace in which root's number shows as another one. Outside nothing changes; files stay root's.
- `capability`: the number of an existing account (nobody), and of root's rights only the one to pass folders that are
  closed to it. For containers, which forbid namespaces, and for clones inside another user's home. The data folder is
  given to that number.

`python -m cryptoetl.local.nonroot METHOD [--writes FOLDER] [--in FOLDER] [--with-parent PID] -- PROGRAM ...` becomes
PROGRAM.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

from cryptoetl.local.folder import CLONE
from cryptoetl.local.trouble import Trouble

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

PLAIN, NAMESPACE, CAPABILITY = "plain", "namespace", "capability"


def method_for(program: Path, folder: Path) -> str:
    """How `program` can run here with its data below `folder`. Tried for real, as no list of kernels could tell."""
    if os.geteuid() != 0 and _has_account():
        return PLAIN
    for method in (NAMESPACE, CAPABILITY) if os.geteuid() == 0 else (NAMESPACE,):
        trial = command(method, [str(program), "--version"], writes=folder)
        if subprocess.run(trial, cwd=CLONE, capture_output=True, check=False).returncode == 0:
            return method
    if os.geteuid() != 0:
        raise Trouble(
            f"PostgreSQL needs an account, and the user number {os.geteuid()} has none here: "
            "run as a user with an account, or name a server of your own with DATABASE_URL."
        )
    raise Trouble(
        "PostgreSQL refuses to run as root, and this system allows neither a user namespace nor to give up root's "
        "rights: run as an ordinary user, or name a server of your own with DATABASE_URL."
    )


def command(
    method: str, argv: list[str], writes: Path | None = None, inside: Path | None = None, with_parent: bool = False
) -> list[str]:
    """The command line that runs `argv` by this method. It works in the clone's folder alone."""
    options = ["--writes", str(writes)] if writes else []
    options += ["--in", str(inside)] if inside else []
    options += ["--with-parent", str(os.getpid())] if with_parent else []
    return [sys.executable, "-m", "cryptoetl.local.nonroot", method, *options, "--", *argv]


def give(folder: Path, method: str) -> None:
    """The folder and all in it belong to the number that the method runs under."""
    owner = _account().pw_uid if method == CAPABILITY else os.geteuid()
    if os.geteuid() != 0 or folder.lstat().st_uid == owner:
        return
    for parent, _, files in os.walk(folder, topdown=False):
        for path in (*(os.path.join(parent, name) for name in files), parent):
            os.chown(path, owner, -1, follow_symlinks=False)


def become(method: str) -> None:
    """This process is no longer root. Raises OSError where the system forbids it."""
    if method == NAMESPACE:
        _enter_namespace()
    elif method == CAPABILITY:
        _keep_one_right()


def _account() -> pwd.struct_passwd:
    """An account that is not root's: nobody where there is one. Only its number is used."""
    accounts = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if not accounts:
        raise OSError("no account but root's")
    return next((entry for entry in accounts if entry.pw_name == "nobody"), accounts[0])


def _has_account() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def _call(function: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _enter_namespace() -> None:
    user, group, account = os.geteuid(), os.getegid(), _account()
    _call("unshare", CLONE_NEWUSER)
    process = Path("/proc/self")
    (process / "setgroups").write_text("deny")
    (process / "uid_map").write_text(f"{account.pw_uid} {user} 1")
    (process / "gid_map").write_text(f"{account.pw_gid} {group} 1")


def _keep_one_right() -> None:
    account = _account()
    _call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    right = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable; the second triple is for capabilities above 31.
    _call("capset", header, (ctypes.c_uint32 * 6)(right, right, right, 0, 0, 0))
    _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def die_with_parent(parent: int) -> None:
    """This process gets SIGINT when the one that started it dies. A change of user would undo it: call it last."""
    _call("prctl", PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main(arguments: list[str]) -> None:
    method, *rest = arguments
    split = rest.index("--")
    options, argv = rest[:split], rest[split + 1 :]
    given = dict(zip(options[::2], options[1::2], strict=True))
    try:
        become(method)
        folder = given.get("--writes")
        if folder and not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            raise OSError(f"{folder} is closed to it")
        os.chdir(given.get("--in", "."))
        if "--with-parent" in given and sys.platform == "linux":
            die_with_parent(int(given["--with-parent"]))
        os.execv(argv[0], argv)
    except OSError as error:
        sys.exit(f"cryptoetl: {argv[0]} could not be started ({method}): {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
