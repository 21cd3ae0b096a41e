"""Time the sweep of scheduled events in a table that is full of them."""

import os
import time
from statistics import median

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
django.setup()

from django.core.management import call_command  # noqa: E402 - the models exist only now
from django.db import connection  # noqa: E402

from bench.errors import BenchError  # noqa: E402
from subscriptions import scheduled  # noqa: E402

SWEEPS = 50  # of a figure
# Over a year from the day after tomorrow on, as reminders are: none comes due meanwhile.
FILL = """
INSERT INTO event_system_scheduled_event (company, type, version, payload, key, due_at)
SELECT 'company-' || n %% 100, 'bench.reminder', 1, json_build_object('number', n), 'visit-' || n,
    now() + interval '2 days' + %s * n * interval '360 days'
FROM generate_series(1, %s) AS n
"""
DUE = """
INSERT INTO event_system_scheduled_event (company, type, version, payload, key, due_at)
SELECT 'company-1', 'bench.due', 1, '{"number": 1}', 'due-' || n, now()
FROM generate_series(1, %s) AS n
"""


def prepare(count: int) -> None:
    call_command("migrate", verbosity=0, interactive=False)
    with connection.cursor() as cursor:
        cursor.execute(FILL, [1 / count, count])
        cursor.execute("VACUUM (ANALYZE) event_system_scheduled_event")


def sweeps(due: int) -> float:
    """Return the median of the milliseconds that a sweep takes while so many events are due."""
    figures = []
    for _ in range(SWEEPS):
        with connection.cursor() as cursor:
            cursor.execute(DUE, [due])
        began = time.perf_counter()
        fired = scheduled.fire_due()
        figures.append((time.perf_counter() - began) * 1000)
        if fired != due:
            raise BenchError(f"{fired} of {due} scheduled events were published")
    return median(figures)


HANDLERS = {"prepare": prepare, "sweeps": sweeps}
