"""The Celery application whose workers run steps and deliveries, consuming SQS."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_after_setup, celeryd_init, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")


def exit_on_wrong_setting(**_: Any) -> None:
    """End the process in one line where Celery would end it in a traceback."""
    from django.conf import settings

    from counterpoint.exits import one_line_errors

    with one_line_errors():
        settings.DATABASES  # noqa: B018 - reading it is what loads and checks the settings


def refuse_to_start(**_: Any) -> None:
    """End a worker or beat in one line if its database or its queues are not there."""
    from counterpoint.exits import one_line_errors
    from counterpoint.probes import require_database, require_queues

    with one_line_errors():
        require_database()
        require_queues()


def refuse_other_pools(instance: Any, **_: Any) -> None:
    """End a worker in one line if its pool could not interrupt a step."""
    from counterpoint.exits import one_line_errors
    from counterpoint.pools import require_interruptible

    with one_line_errors():
        require_interruptible(instance.pool_cls)


def drop_dead_connections(**_: Any) -> None:
    """Replace a database connection that its server has closed since the last task."""
    from jobs.connections import drop_dead

    drop_dead()


def announce_steps(**options: Any) -> None:
    """Have the worker's pool processes send events of the steps they run in place."""
    from counterpoint import step_events

    step_events.announce_steps(**options)


def watch_beside_beat(**_: Any) -> None:
    """Count, and see to the alerts, in a thread of beat's process."""
    import threading

    from counterpoint.monitoring import watch

    watch.begin(threading.Event())


app = Celery("counterpoint")
app.on_configure.connect(exit_on_wrong_setting)
app.config_from_object("counterpoint.celeryconfig")
app.autodiscover_tasks()
# Named, not imported: only a worker needs the module, and what it imports of Celery's.
app.steps["consumer"].add("counterpoint.control:ControlPlane")
app.steps["consumer"].add("counterpoint.visibility:Visibility")

celeryd_init.connect(refuse_to_start)
celeryd_after_setup.connect(refuse_other_pools)
celeryd_after_setup.connect(announce_steps)
beat_init.connect(watch_beside_beat)
task_prerun.connect(drop_dead_connections)
