"""System checks of what the registered workflows need.

jobs.E001  a workflow, step or node names a queue that is not declared
jobs.E002  a canvas written by hand has a task that is not registered
jobs.E003  something is attached to a hook that no code makes
"""

from collections.abc import Iterator
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from jobs.hooks import unreachable
from jobs.plan import Kind
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


@register()
def check_tasks(**_: Any) -> list[CheckMessage]:
    """Refuse tasks that no worker would know: `app.tasks` is complete only after discovery."""
    return [
        Error(
            f"workflow {workflow.name!r} has the task {node.step!r}, which is not registered",
            hint="define it in a module that Celery imports, such as an app's tasks.py, or correct"
            " its name",
            id="jobs.E002",
        )
        for workflow in registry.workflows.values()
        for node in workflow.plan.nodes
        if node.kind == Kind.TASK and node.step not in current_app.tasks
    ]


@register()
def check_hooks(**_: Any) -> list[CheckMessage]:
    """Refuse attachments that can never run."""
    hint = "correct the names, or take the attachment away"
    return [Error(problem, hint=hint, id="jobs.E003") for problem in unreachable()]


def _used() -> Iterator[tuple[str, str]]:
    for workflow in registry.workflows.values():
        yield f"workflow {workflow.name!r}", workflow.queue
        for node in workflow.plan.nodes:
            if node.queue:
                yield f"node {node.name!r} of workflow {workflow.name!r}", node.queue
    for step in registry.steps.values():
        if step.options_.queue:
            yield f"step {step.name!r}", step.options_.queue
