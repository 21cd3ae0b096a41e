"""What people type: JSON from the command line, a file or standard input, and who they are."""

import getpass
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from pydantic_core import from_json

from jobs.errors import InvalidInput

BAD_USE = 2


def json_input(given: str) -> Any:
    """Return the JSON given: as text, `@file`, or `-` for standard input."""
    try:
        return from_json(_text(given), allow_inf_nan=False)
    except OSError as error:
        raise CommandError(f"--input {given}: {error.strerror}", returncode=BAD_USE) from error
    except ValueError as error:
        raise CommandError(
            f"--input is no JSON: {error}; give JSON, @file.json or - for standard input",
            returncode=BAD_USE,
        ) from error


def _text(given: str) -> str | bytes:
    if given == "-":
        return sys.stdin.read()
    return Path(given[1:]).read_bytes() if given.startswith("@") else given


def issue_lines(error: InvalidInput) -> str:
    """Return the error with each of pydantic's issues on a line of its own."""
    lines = [str(error).partition(": ")[0] + " does not fit:"]
    for issue in error.issues:
        place = ".".join(map(str, issue["loc"]))
        lines.append(f"  {place}: {issue['msg']}" if place else f"  {issue['msg']}")
    return "\n".join(lines)


def os_user() -> str:
    """Return the name of who runs the command; a container may not know one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
