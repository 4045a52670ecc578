"""`python -m cryptoetl.local COMMAND`: the commands behind the Makefile."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable

from cryptoetl.local.trouble import Trouble


def main() -> int:
    _open_what_is_closed()
    parser = argparse.ArgumentParser(
        prog="python -m cryptoetl.local", description="Starts, stops and watches the local system."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="start everything, ingest once, say where it is")
    commands.add_parser("down", help="stop everything that `up` started; the data stays")
    logs = commands.add_parser("logs", help="follow all logs")
    logs.add_argument("--no-follow", action="store_true", help="show the last lines and end")
    commands.add_parser("verify", help="look at the running copy from outside; exit 1 if anything fails")
    demo = commands.add_parser("demo", help="the same system with data of its own, without network or keys")
    demo.add_argument("--down", action="store_true", help="stop the demo and remove its folder")
    commands.add_parser("soak", help="run the demo at ten times its cadence and see whether anything grows")
    commands.add_parser("env", help="write generated passwords for docker compose into .env")
    arguments = parser.parse_args()
    # A name that the terminal's encoding can't show must not be the end of a start.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C, so that nothing stays half done; `nohup` has its way.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        return _action(arguments)()
    except Trouble as trouble:
        print(f"cryptoetl: {trouble}", file=sys.stderr)
        return trouble.code
    except BrokenPipeError:
        # Whoever read the output has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"cryptoetl: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncryptoetl: interrupted.", file=sys.stderr)
        return 130


def _open_what_is_closed() -> None:
    """A stream that was closed (`>&-`) leads nowhere; else the next file would take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))  # noqa: SIM115


def _action(arguments: argparse.Namespace) -> Callable[[], int]:
    # Loaded one by one: `make up` on a running system must answer at once.
    if arguments.command == "up":
        from cryptoetl.local.up import up

        return up
    if arguments.command == "down":
        from cryptoetl.local.down import down

        return down
    if arguments.command == "logs":
        from cryptoetl.local.logs import logs

        return lambda: logs(follow=not arguments.no_follow)
    if arguments.command == "verify":
        from cryptoetl.local.verify import verify

        return verify
    if arguments.command == "demo":
        from cryptoetl.local import demo

        return demo.remove if arguments.down else demo.demo
    if arguments.command == "soak":
        from cryptoetl.local.soak import soak

        return soak
    from cryptoetl.local.dotenv import write

    return write


if __name__ == "__main__":
    sys.exit(main())
