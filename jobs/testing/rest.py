"""What a run waits for that time alone will not bring: events, code, places that others hold."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings

from jobs import dispatch
from jobs.models import Hold, Run, StepRun, Wait
from jobs.testing.hourglass import Timer
from jobs.transitions import waits

Payload = Any | Callable[[Run], Any]
Event = tuple[str, Payload]


class StillWaiting(AssertionError):
    """The run can go on with nothing that `run_inline` has; the text says what it waits for.

    `run` is where it stands: give it what it misses, and go on with `recover(run)`.
    """

    def __init__(self, run: Run, why: str) -> None:
        super().__init__(f"run {run.pk} of {run.workflow} {why}")
        self.run = run


class Events:
    """The events of a test that no wait has taken yet, in their order."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._left = list(events)

    def offer(self, runs: Sequence[UUID]) -> bool:
        """Give the first event that a wait of these runs takes to it; False if there is none."""
        for event in self._left:
            for wait in _waits(runs).filter(event_type=event[0]):
                if _give(event, wait):
                    self._left.remove(event)
                    return True
        return False

    def __str__(self) -> str:
        return ", ".join(event_type for event_type, _ in self._left) or "none"


def _waits(runs: Sequence[UUID]) -> Any:
    return Wait.objects.filter(run_id__in=runs).select_related("run").order_by("step_run_id")


def _give(event: Event, wait: Wait) -> bool:
    event_type, payload = event
    content = payload(wait.run) if callable(payload) else payload
    found = waits.offer(
        json.dumps([{"type": event_type, "company": wait.company, "payload": content}]),
        resend=settings.JOBS_RESEND_AFTER,
        step_run_id=wait.step_run_id,
    )
    dispatch.send(found)
    return bool(found)


def obstacle(
    timer: Timer, runs: Sequence[UUID], events: Events, *, let_waits_time_out: bool
) -> str | None:
    """Say why the timer should not be waited for; None if time is all that is missing."""
    step = timer.step
    if step is None or step.status != StepRun.Status.WAITING:
        return None
    if step.waiting_for == Run.WaitingFor.CODE:
        return (
            f"waits at {step.node!r} for code: {step.step!r} is not among the steps, workflows and"
            " functions of this process, or takes other types than it did when the run was started"
        )
    if step.waiting_for == Run.WaitingFor.LIMIT:
        return _others_hold(step, runs)
    wait = Wait.objects.filter(step_run=step).first()
    return None if wait is None or let_waits_time_out else _missing(wait, step, events)


def _missing(wait: Wait, step: StepRun, events: Events) -> str:
    return (
        f"waits at {step.node!r} for the event {wait.event_type!r} with {json.dumps(wait.match)} in"
        f' its payload: give it with events=[("{wait.event_type}", {{…}})], or with'
        ' run.send("…", {…}) and recover(run); or have its time pass with let_waits_time_out=True.'
        f" Events that no wait has taken: {events}"
    )


def _others_hold(step: StepRun, runs: Sequence[UUID]) -> str | None:
    holds = Hold.objects.filter(
        name=step.limit_name, key=step.limit_key, run__finished_at=None
    ).select_related("run")
    if not holds or any(hold.run_id in runs for hold in holds):
        return None
    holders = ", ".join(f"{hold.run.workflow} {hold.run_id}" for hold in holds)
    return (
        f"waits at {step.node!r} for a place under the limit of {step.limit_name}"
        f" (key {step.limit_key!r}), which other runs hold: {holders}; end those first"
    )
