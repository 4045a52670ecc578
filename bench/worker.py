"""A worker of the bench: `python -m bench.worker SOURCE ...` runs each when its standard input has ended."""

from __future__ import annotations

import sys

import django


def main(slugs: list[str]) -> None:
    django.setup()
    from bench.running import run_once

    print("ready", flush=True)
    sys.stdin.read()
    for slug in slugs:
        run_once(slug)


if __name__ == "__main__":
    main(sys.argv[1:])
