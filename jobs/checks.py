"""System checks of what the registered workflows need.

jobs.E001  a workflow, step or node names a queue that is not declared
"""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from jobs.registry import registry


@register()
def check_queues(**_: Any) -> list[CheckMessage]:
    """Refuse queues that no worker would ever consume."""
    declared = {queue.name for queue in settings.QUEUES if queue.consumed_by_worker}
    return [
        Error(
            f"{what} uses the queue {queue!r}, which is not declared",
            hint=f"declared are {', '.join(sorted(declared))}; add it to EXTRA_QUEUES",
            id="jobs.E001",
        )
        for what, queue in _used()
        if queue not in declared
    ]


def _used() -> Iterator[tuple[str, str]]:
    for workflow in registry.workflows.values():
        yield f"workflow {workflow.name!r}", workflow.queue
        for node in workflow.plan.nodes:
            if node.queue:
                yield f"node {node.name!r} of workflow {workflow.name!r}", node.queue
    for step in registry.steps.values():
        if step.options_.queue:
            yield f"step {step.name!r}", step.options_.queue
