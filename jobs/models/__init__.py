"""The engine's rows: what is true about every run. Messages are only wake-ups."""

from jobs.models.limits import Hold, RateWindow
from jobs.models.records import Action, ApiKey, Firing
from jobs.models.runs import Definition, Run
from jobs.models.staff import Membership
from jobs.models.steps import Attempt, Join, Memo, StepRun
from jobs.models.waits import PendingEvent, Signal, Wait

__all__ = [
    "Action",
    "ApiKey",
    "Attempt",
    "Definition",
    "Firing",
    "Hold",
    "Join",
    "Membership",
    "Memo",
    "PendingEvent",
    "RateWindow",
    "Run",
    "Signal",
    "StepRun",
    "Wait",
]
