"""End a process over a wrong setting as an operator wants it: one line, exit code 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError

from counterpoint.env import SettingError

EXIT_CODE = 2
# SQLSTATE classes of a connection that was refused: connection, authorization, no such database.
REFUSED = ("08", "28", "3D", "57P03")


def database_problem(error: OperationalError) -> str | None:
    """Return one line about the database that could not be reached; None if it was reached.

    An OperationalError is also what a deadlock or a cancelled statement ends in: those carry a
    SQLSTATE of another class.
    """
    state = getattr(error.__cause__, "sqlstate", None)
    if state is not None and not state.startswith(REFUSED):
        return None
    lines = str(error).splitlines() or ["no connection"]
    return f"DATABASE_URL: {lines[0].strip()}"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a wrong setting, or a database that is not there, into one line and exit code 2."""
    try:
        yield
    except SettingError as error:
        problem = str(error)
    except OperationalError as error:
        found = database_problem(error)
        if found is None:
            raise
        problem = found
    else:
        return
    # Not sys.stderr, which Celery has made its log by the time beat asks.
    (sys.__stderr__ or sys.stderr).write(f"{problem}\n")
    sys.exit(EXIT_CODE)
