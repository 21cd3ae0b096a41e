"""The project: settings, processes, and everything that is neither engine nor events."""

from counterpoint.celery import app as celery_app

__all__ = ["celery_app"]
