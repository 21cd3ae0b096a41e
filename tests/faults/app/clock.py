"""Set this process's clock apart from the database's: `time.time` and `datetime.now` lie."""

import os
from datetime import UTC, datetime, timedelta

import time_machine

from tests.faults.app.environment import CLOCK_HOURS


def set_apart() -> None:
    """Shift this process's clock, and its children's, by the hours that the driver gave it."""
    hours = float(os.environ.get(CLOCK_HOURS, 0))
    if hours:
        time_machine.travel(datetime.now(UTC) + timedelta(hours=hours), tick=True).start()
