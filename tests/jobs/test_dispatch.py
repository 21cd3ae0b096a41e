"""Wake-ups onto a broker that is not there."""

import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from jobs.dispatch import WakeUp, send
from jobs.ids import uuid7
from jobs.models import Run, StepRun
from tests.jobs import flows


@pytest.mark.parametrize("error", [OperationalError("away"), KeyError("queue"), OSError()])
def test_a_broker_that_is_away_never_breaks_a_committed_start(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(current_app, "send_task", fail)

    run = flows.chain.start(1, company="acme")

    assert Run.objects.get(pk=run.pk).status == "queued"
    assert StepRun.objects.get(run_id=run.pk).status == "ready"


def test_one_wake_up_that_cannot_be_sent_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []

    def post(task: str, **_: object) -> None:
        if task == "bad":
            raise OSError
        sent.append(task)

    monkeypatch.setattr(current_app, "send_task", post)
    run_id = uuid7()
    wake_ups = [
        WakeUp(1, run_id, "bad", "orders", is_compensation=False),
        WakeUp(2, run_id, "good", "orders", is_compensation=False),
        WakeUp(3, run_id, "good", "orders", is_compensation=True),
    ]

    assert send(wake_ups) == 2
    assert sent == ["good", "good.compensate"]
