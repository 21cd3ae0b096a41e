"""WORKFLOW: start a run of a workflow with the event's data."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from django.db import DataError
from pydantic import AfterValidator, Field

from jobs import services as engine
from jobs.errors import JobsError, UnknownWorkflow
from jobs.registry import registry
from subscriptions.documents import plain
from subscriptions.envelope import PATH_ROOTS
from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import (
    Handler,
    HandlerConfig,
    Item,
    Outcome,
    Preview,
    handler,
)


def known_path(value: str) -> str:
    if value.partition(".")[0] not in PATH_ROOTS:
        raise ValueError(f"{value!r} must begin with one of {', '.join(sorted(PATH_ROOTS))}")
    return value


@handler("WORKFLOW")
class WorkflowHandler(Handler):
    scope = "runs:write"
    queue = "workflows"

    class Config(HandlerConfig):
        workflow: str = Field(min_length=1)
        # Parameter or field of the input to dotted path into the event: {"order_id": "new.id"}.
        input: dict[str, Annotated[str, AfterValidator(known_path)]] | None = None

    def check(self, config: Config, *, company: str | None) -> None:
        if config.workflow not in (known := sorted(registry.workflows)):
            raise InvalidSubscription(
                "config.workflow",
                f"{config.workflow!r} does not exist; there are: {', '.join(known) or 'none'}",
            )

    def preview(self, item: Item) -> Preview:
        body = json.dumps(workflow_input(item), ensure_ascii=False, indent=2, default=str)
        return Preview(f"Start a run of the workflow {item.config.workflow}", body=body)

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        for item in batch:
            try:
                run = engine.start_workflow(
                    item.config.workflow,
                    workflow_input(item),
                    company=item.event.company if item.company is None else item.company,
                    # The event's id, and the subscription's: two of them may start the same
                    # workflow.
                    idempotency_key=f"{item.event.id}/{item.subscription_id}",
                    correlation_id=item.event.correlation_id or str(item.event.id),
                    depth=item.event.depth + 1,
                )
            except Exception as error:
                # An outcome of this item alone: the batch holds other companies' too.
                yield Outcome.failed(
                    item,
                    f"{type(error).__name__}: {error}"[:2000],
                    permanent=_is_permanent(error),
                )
            else:
                yield Outcome.delivered(item, response=str(run.pk))


def _is_permanent(error: Exception) -> bool:
    """An input is as wrong the next time; a workflow may be about to be deployed, and a database
    that is away comes back.
    """
    if isinstance(error, JobsError):
        return not isinstance(error, UnknownWorkflow)
    return isinstance(error, DataError | ValueError | ArithmeticError | RecursionError)


def workflow_input(item: Item) -> Any:
    """Return the run's input: what the mapping names, else the payload, the new row or the old
    row.
    """
    mapping: dict[str, str] | None = item.config.input
    if mapping is None:
        return plain(item.event.document)
    return {name: plain(item.event.lookup(path)) for name, path in mapping.items()}
