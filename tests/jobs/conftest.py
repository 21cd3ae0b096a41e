"""Fixtures for the engine's tests: messages are kept in a list instead of going to SQS."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from jobs import dispatch, execution, services
from jobs.dispatch import WakeUp
from jobs.models import Run
from jobs.registry import registry

WORKER = "worker-1:test:1"


class Post:
    """The wake-ups sent and not yet delivered; `deliver_all` works them off in turn."""

    def __init__(self) -> None:
        self.waiting: list[WakeUp] = []
        self.delivered: list[WakeUp] = []

    def send(self, wake_ups: list[WakeUp]) -> None:
        self.waiting.extend(wake_ups)

    def deliver_one(self) -> str:
        wake_up = self.waiting.pop(0)
        self.delivered.append(wake_up)
        try:
            return execution.perform(wake_up.step_run_id, worker=WORKER)
        except execution.StepFailed as failure:
            return str(failure)

    def deliver_all(self) -> list[str]:
        """Work until no message is left; steps that wait for their backoff stay."""
        results = []
        while self.waiting:
            results.append(self.deliver_one())
        return results

    def run_to_the_end(self, run: Any) -> Run:
        """Work, sweeping whatever waits as if its time had come, until the run has ended."""
        found = Run.objects.get(pk=run.pk)
        for _ in range(200):
            self.deliver_all()
            found.refresh_from_db()
            if found.is_ended:
                return found
            pass_time()
            services.sweep()
        raise AssertionError(f"run {found.pk} did not end; it is {found.status}")


def pass_time(by: timedelta = timedelta(days=1)) -> None:
    """Move every due time and lease into the past, as if that much time had gone by."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_steprun SET due_at = due_at - %(by)s::interval,"
            " wake_at = wake_at - %(by)s::interval,"
            " lease_until = lease_until - %(by)s::interval"
            " WHERE status IN ('ready', 'running', 'waiting')",
            {"by": f"{by.total_seconds()} seconds"},
        )


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch, settings: Settings, transactional_db: None) -> Post:
    """Messages by hand, one for each step: nothing goes on in place."""
    settings.JOBS_IN_PLACE = timedelta(0)
    made = Post()
    monkeypatch.setattr(dispatch, "send", made.send)
    return made


@pytest.fixture
def calls() -> list[str]:
    """What the test's steps wrote down, in order."""
    return CALLS


@pytest.fixture
def forget_definitions() -> Iterator[None]:
    """Let a test define steps and workflows that are unknown again afterwards."""
    names: list[dict[Any, Any]] = [registry.steps, registry.workflows, registry.attachments]
    before = [dict(known) for known in names]
    yield
    for known, kept in zip(names, before, strict=True):
        known.clear()
        known.update(kept)


CALLS: list[str] = []
MISBEHAVIOUR: dict[str, Callable[[Any], Any]] = {}


@pytest.fixture(autouse=True)
def _forget_calls() -> None:
    CALLS.clear()


@pytest.fixture
def behaviour() -> Iterator[dict[str, Callable[[Any], Any]]]:
    """What the test's steps are to do instead, by node; nothing to begin with."""
    MISBEHAVIOUR.clear()
    yield MISBEHAVIOUR
    MISBEHAVIOUR.clear()


@pytest.fixture(params=["by messages", "in place"])
def ways(request: pytest.FixtureRequest, settings: Settings, post: Post) -> Post:
    """Messages by hand, with and without going on in place."""
    if request.param == "in place":
        settings.JOBS_IN_PLACE = timedelta(minutes=1)
    return post
