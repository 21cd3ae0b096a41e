#!/usr/bin/env python
"""Run Counterpoint's management commands; a wrong setting ends in one line and exit code 2."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
    from django.core.management import execute_from_command_line

    from counterpoint.exits import one_line_errors

    with one_line_errors():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
