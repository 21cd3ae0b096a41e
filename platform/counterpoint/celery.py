"""The Celery application whose workers run steps and deliveries, consuming SQS."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")

app = Celery("counterpoint")
app.config_from_object("counterpoint.celeryconfig")
app.autodiscover_tasks()
