"""Tasks that leave a trace outside the worker."""

from pathlib import Path

from celery import shared_task


@shared_task(name="probe.touch")
def touch(path: str) -> None:
    """Make the file."""
    Path(path).touch()
