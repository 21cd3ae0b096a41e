"""A worker that is told to leave ends the step at hand and leaves the rest to others."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from jobs.models import Attempt, StepRun
from tests.acceptance.conftest import Platform
from tests.acceptance.slow_app.workflows import three
from tests.faults.mischief import Mischief
from tests.faults.proxy import Proxy
from tests.waiting import wait_until


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before SQS that harms nothing and remembers what was sent."""
    calm = Mischief(seed=0)
    calm.active = False
    with Proxy(settings.SQS_ENDPOINT_URL, calm) as made:
        yield made


def test_a_worker_told_to_leave_ends_its_step_and_sends_on_what_follows(
    platform: Platform, tmp_path: Path, proxy: Proxy
) -> None:
    platform.start("worker", SQS_ENDPOINT_URL=proxy.url)
    platform.start("relay")
    run = three.start(str(tmp_path), company="acme")
    wait_until((tmp_path / "attempt-1").exists, what="the step has begun")
    platform.kill("relay")  # it would send again what the worker may have forgotten

    platform.services.processes.send_signal("worker", signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in platform.log("worker"), what="the worker has heard")
    (tmp_path / "go").touch()

    assert platform.services.processes.wait("worker", seconds=20) == 0
    following = StepRun.objects.get(run_id=run.pk, node="slow-after")
    assert following.status == "ready"
    assert f'"id": "{run.pk}.{following.pk}.' in sent_by(proxy)

    platform.start("worker", "relay")
    assert run.result(timeout=60) == 1
    assert set(Attempt.objects.values_list("number", "outcome")) == {(1, "succeeded")}


def sent_by(proxy: Proxy) -> str:
    return "".join(str(request.parameters["MessageBody"]) for request in proxy.sent)
