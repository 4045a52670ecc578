#!/usr/bin/env python
"""Django's command line, for manual runs, replays and looking after the system."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryptoetl.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"cryptoetl: {error}")


if __name__ == "__main__":
    main()
