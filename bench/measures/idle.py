"""How often a worker with nothing to do asks SQS."""

import time

from bench.errors import BenchError
from bench.proxy import CountingProxy
from bench.rows import Row, at_most, measured
from bench.samples import exact
from bench.setup import Setup
from bench.shape import ENGINE_QUEUES
from counterpoint.embedded.ports import HOST

SETTLE_SECONDS = 10.0
SECONDS = 60.0
QUEUES = ENGINE_QUEUES[:2]


def measure(setup: Setup) -> list[Row]:
    """Count what a worker's processes send to SQS in a minute, once: it is a count, not a speed."""
    with CountingProxy(HOST, setup.stage.services.ports.sqs) as proxy:
        env = {"SQS_ENDPOINT_URL": f"http://{HOST}:{proxy.port}"}
        with setup.stage.worker(QUEUES, processes=2, env=env) as worker:
            time.sleep(SETTLE_SECONDS)  # its start looks every queue up
            before = proxy.turns
            time.sleep(SECONDS)
            found = (proxy.turns - before) / len(QUEUES) / (SECONDS / 60)
            setup.stage.services.processes.require(worker.name)
    # Nothing at all would mean that the worker does not listen, and is no figure.
    if not found:
        raise BenchError("the idle worker asked SQS for nothing")
    name = "requests of an idle worker to SQS, per queue"
    return [measured(name, exact(found), unit="a minute", goal=at_most(4))]
