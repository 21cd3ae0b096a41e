"""The levers that people pull on runs, in one table: for the admin, the API and `manage.py run`."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from jobs import services
from jobs.errors import RunRefused, UnknownRun
from jobs.models import Run


@dataclass(frozen=True)
class Lever:
    """One lever: `takes` names the step that it needs besides the run, None if it needs none."""

    name: str
    title: str
    done: str
    explanation: str
    takes: str | None = None

    def pull(self, run_id: UUID, *, reason: str, by: str, node: str | None = None) -> Run:
        """Pull it and return the run, or of a fork the new one.

        Raises `UnknownRun`, or `RunRefused` with what is allowed.
        """
        more = {} if self.takes is None else {self.takes: node}
        return _CALLS[self.name](run_id, reason=reason, by=by, **more)


def _cancel(run_id: UUID, *, reason: str, by: str) -> Run:
    accepted = services.cancel(run_id, reason=reason, by=by)
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise UnknownRun(run_id)
    if not accepted:
        raise RunRefused(
            run_id,
            f"there is nothing to cancel, it is {run.status}; queued, running, waiting and"
            " succeeded runs can be cancelled",
        )
    return run


_CALLS: dict[str, Callable[..., Run]] = {
    "cancel": _cancel,
    "retry": services.retry,
    "fork": services.fork,
    "resume": services.resume_rollback,
    "resolve": services.resolve,
}

LEVERS = {
    lever.name: lever
    for lever in (
        Lever(
            "cancel",
            "Cancel",
            "cancelled",
            "No further step starts, and what was completed is undone by its compensations.",
        ),
        Lever(
            "retry",
            "Retry",
            "retried",
            "Outputs that were not undone are kept; everything else runs again.",
        ),
        Lever(
            "fork",
            "Fork from a step",
            "forked",
            "A new run starts at the step, with the outputs from before it. They stay this run's,"
            " which alone undoes them.",
            takes="from_step",
        ),
        Lever(
            "resume",
            "Resume the rollback",
            "resumed",
            "The compensations that failed are tried again.",
        ),
        Lever(
            "resolve",
            "Resolve a step",
            "resolved",
            "A compensation that failed is marked as done by hand; nothing is run.",
            takes="step",
        ),
    )
}
