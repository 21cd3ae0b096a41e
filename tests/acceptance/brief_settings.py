"""The project's settings with queues whose messages come back after five seconds."""

from dataclasses import replace
from datetime import timedelta

from counterpoint.settings import *  # noqa: F403 - what a settings module for tests is
from counterpoint.settings import QUEUES as DECLARED

VISIBILITY = timedelta(seconds=5)
QUEUES = tuple(replace(queue, visibility=VISIBILITY) for queue in DECLARED)
