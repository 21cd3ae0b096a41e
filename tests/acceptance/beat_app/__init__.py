"""A user's app (EXTRA_APPS) with a workflow that runs every second, and a plain Celery task."""
