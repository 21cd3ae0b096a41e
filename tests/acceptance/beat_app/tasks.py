"""A plain Celery task that leaves a line each time it runs."""

from pathlib import Path

from celery import shared_task


@shared_task(name="beat-plain")
def leave_line(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("ran\n")
