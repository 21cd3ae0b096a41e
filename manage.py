#!/usr/bin/env python
"""Run Counterpoint's management commands; a wrong setting ends in one line and exit code 2."""

import os
import sys

from counterpoint.env import SettingError


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except SettingError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
