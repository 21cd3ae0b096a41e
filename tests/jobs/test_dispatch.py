"""Wake-ups on their way out: a thread that nobody waits for, and a broker that may be away."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from jobs import dispatch
from jobs.dispatch import WakeUp, flush, send
from jobs.ids import uuid7
from jobs.models import Run, StepRun
from tests.jobs import flows


def wake_up(task: str, number: int = 1) -> WakeUp:
    return WakeUp(number, uuid7(), task, "orders")


@pytest.fixture
def outgoing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue of this test's own, with room for three."""
    monkeypatch.setattr(dispatch, "_outgoing", dispatch._begin())
    monkeypatch.setattr(dispatch, "CAPACITY", 3)


@pytest.mark.usefixtures("transactional_db", "outgoing")
@pytest.mark.parametrize("error", [OperationalError("away"), KeyError("queue"), OSError()])
def test_a_broker_that_is_away_never_breaks_a_committed_start(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(current_app, "send_task", fail)

    run = flows.chain.start(1, company="acme")

    assert flush(10)
    assert Run.objects.get(pk=run.pk).status == "queued"
    assert StepRun.objects.get(run_id=run.pk).status == "ready"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks that were sent; `bad` cannot be."""
    names: list[str] = []

    def post(task: str, **_: object) -> None:
        if task == "bad":
            raise OSError
        names.append(task)

    monkeypatch.setattr(current_app, "send_task", post)
    return names


@pytest.mark.usefixtures("outgoing")
def test_one_wake_up_that_cannot_be_sent_does_not_hold_up_the_others(sent: list[str]) -> None:
    send([wake_up("bad"), wake_up("good"), wake_up("good.compensate")])

    assert flush(10)
    assert sent == ["good", "good.compensate"]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A broker that takes nothing until the gate is opened."""
    opened = threading.Event()
    real = dispatch._Sender.send

    def wait(self: dispatch._Sender, wake_ups: Any) -> None:
        opened.wait()
        real(self, wake_ups)

    monkeypatch.setattr(dispatch._Sender, "send", wait)
    yield opened
    opened.set()


@pytest.mark.usefixtures("outgoing")
def test_nobody_waits_for_the_broker(sent: list[str], gate: threading.Event) -> None:
    send([wake_up("good")])

    assert not flush(0)
    assert sent == []
    gate.set()
    assert flush(10)
    assert sent == ["good"]


@pytest.mark.usefixtures("outgoing")
def test_what_there_is_no_room_for_is_left_to_the_sweep(
    sent: list[str], gate: threading.Event
) -> None:
    send([wake_up(str(number)) for number in range(5)])

    gate.set()
    assert flush(10)
    assert sent == ["0", "1", "2"]


@pytest.mark.usefixtures("outgoing")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_sends_its_own_and_not_its_parents(
    sent: list[str], gate: threading.Event
) -> None:
    send([wake_up("parents")])
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        signal.alarm(20)  # a child that hangs must not hang the test
        gate.set()
        send([wake_up("childs")])
        flush(10)
        os.write(write, ",".join(sent).encode())
        os._exit(0)

    os.waitpid(pid, 0)

    assert os.read(read, 100) == b"childs"
