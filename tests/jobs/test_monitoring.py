"""What monitors hear of steps that run in place."""

from typing import Any

import pytest

from jobs.ids import uuid7
from jobs.monitoring import InPlaceStep
from jobs.ports import ports


def step() -> InPlaceStep:
    return InPlaceStep(task="pack", run_id=uuid7(), step_run_id=1, hostname="w@h", parent_id="p")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(
        ports, "monitor", lambda kind, **event: events.append({"kind": kind, **event})
    )
    return events


def test_a_monitor_hears_of_one_task_from_receipt_to_end(heard: list[dict[str, Any]]) -> None:
    made = step()
    made.started()
    made.succeeded("succeeded")

    assert [event["kind"] for event in heard] == ["received", "started", "succeeded"]
    assert {event["task_id"] for event in heard} == {made.task_id}
    assert {event["hostname"] for event in heard} == {"w@h"}
    assert heard[0]["fields"]["name"] == "pack"
    assert heard[2]["fields"]["runtime"] >= 0


def test_errors_come_with_their_tracebacks(heard: list[dict[str, Any]]) -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        step().failed(error)

    assert heard[-1]["fields"]["exception"] == "ValueError('no')"
    assert "test_monitoring.py" in heard[-1]["fields"]["traceback"]


def test_without_a_monitor_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "monitor", None)

    made = step()
    made.started()
    made.retried(ValueError())
