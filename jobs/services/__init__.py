"""The engine's use cases; the only place of the app that opens transactions."""

from jobs.services.advancing import complete, fail, postpone, wait_for_code
from jobs.services.events import awaited_events, offer_events, send_event
from jobs.services.levers import cancel, fork, resolve, resume_rollback, retry
from jobs.services.pruning import prune, prune_firings
from jobs.services.starting import start, start_many, start_workflow
from jobs.services.sweeping import give_up_unstarted, sweep

__all__ = [
    "awaited_events",
    "cancel",
    "complete",
    "fail",
    "fork",
    "give_up_unstarted",
    "offer_events",
    "postpone",
    "prune",
    "prune_firings",
    "resolve",
    "resume_rollback",
    "retry",
    "send_event",
    "start",
    "start_many",
    "start_workflow",
    "sweep",
    "wait_for_code",
]
