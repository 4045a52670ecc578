#!/usr/bin/env python
"""Django's command line, for manual runs, replays and looking after the system."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryptoetl.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"cryptoetl: {error}")
    except DatabaseError as error:
        # From Django's own commands, such as `migrate`: this project's say it by themselves.
        from ingestion.management.sentences import sentence

        if "--traceback" in sys.argv or (said := sentence(error)) is None:
            raise
        sys.exit(said)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted.")
