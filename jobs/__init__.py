"""Durable, typed workflows with compensation: the authors' API. Pure modules only; Django loads
this first.
"""

from jobs.composition import parallel
from jobs.context import Context
from jobs.definitions import step, workflow
from jobs.injection import register_service
from jobs.outcomes import Done, PermanentFailure, Retry, Skip

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
