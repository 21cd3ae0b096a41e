"""Durable, typed workflows with compensation: the authors' API. Pure modules only; Django loads
this first.
"""

from jobs.composition import parallel
from jobs.context import Context
from jobs.definitions import step, workflow
from jobs.fanout import each
from jobs.functions import transform, when
from jobs.hooks import attach, hook
from jobs.injection import register_service
from jobs.limits import Debounce, Limit, Rate
from jobs.moments import sleep, sleep_until, wait_for
from jobs.outcomes import Done, PermanentFailure, Retry, Skip
from jobs.schedules import Cron, Every
from jobs.single import job

__all__ = [
    "Context",
    "Cron",
    "Debounce",
    "Done",
    "Every",
    "Limit",
    "PermanentFailure",
    "Rate",
    "Retry",
    "Skip",
    "attach",
    "each",
    "hook",
    "job",
    "parallel",
    "register_service",
    "sleep",
    "sleep_until",
    "step",
    "transform",
    "wait_for",
    "when",
    "workflow",
]
