"""`python -m cryptoetl.demo serve`: the demo's providers as a process of their own, until it is told to stop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from datetime import timedelta

from cryptoetl.demo.market import SOURCES
from cryptoetl.demo.server import ProviderServer


def main(arguments: list[str] | None = None) -> int:
    """0 after SIGTERM or SIGINT; 2 if the port is taken or an argument can't be used."""
    options = _parser().parse_args(arguments)
    provider = ProviderServer(
        generated=options.generated,
        seed=options.seed,
        interval=options.interval,
        live=not options.still,
        stale_by=timedelta(hours=options.stale_hours),
        delist_after=timedelta(seconds=options.delist_after) if options.delist_after >= 0 else None,
        coinpaprika_plan=options.coinpaprika_plan,
        host=options.host,
        port=options.port,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        provider.start()
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        print(f"The demo's providers can't listen on {options.host}:{options.port}: {reason}.", file=sys.stderr)
        return 2
    for source in SOURCES:
        print(f"{source:12} {provider.url(source)}", flush=True)
    stop.wait()
    provider.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cryptoetl.demo", description=__doc__)
    serve = parser.add_subparsers(dest="command", required=True).add_parser("serve", help="serve until stopped")
    serve.add_argument("--port", type=int, default=0, help="0 takes a free one; the addresses are printed")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--interval", type=_seconds, default=10.0, metavar="SECONDS", help="how often prices move (10)")
    serve.add_argument("--seed", type=int, default=1, help="the same seed gives the same prices at the same time (1)")
    serve.add_argument("--still", action="store_true", help="prices move when POST /_market says so, not by themselves")
    serve.add_argument("--delist-after", type=float, default=180.0, metavar="SECONDS", help="(180; below 0: never)")
    serve.add_argument("--stale-hours", type=float, default=5.0, metavar="HOURS", help="how old the stale coin is (5)")
    serve.add_argument("--generated", type=int, default=0, metavar="N", help="N made-up coins in place of the bundled")
    serve.add_argument("--coinpaprika-plan", default="free", choices=("free", "pro"), help="pro gives every coin")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds >= 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
