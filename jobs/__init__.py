"""Durable, typed workflows with compensation: the authors' API. Pure modules only; Django loads
this first.
"""

from jobs.context import Context
from jobs.definitions import step, workflow
from jobs.injection import register_service
from jobs.outcomes import Done, PermanentFailure, Retry, Skip
from jobs.tracing import parallel

__all__ = [
    "Context",
    "Done",
    "PermanentFailure",
    "Retry",
    "Skip",
    "parallel",
    "register_service",
    "step",
    "workflow",
]
