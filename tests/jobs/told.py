"""A workflow with everything that there is to tell about a run."""

from datetime import timedelta
from typing import Any

from jobs import each, transform, wait_for, workflow
from tests.jobs import flows


def count(numbers: list[int]) -> int:
    return len(numbers)


@workflow(name="told/child")
def child(number: int) -> int:
    return flows.plain(number)


@workflow(name="told/all")
def everything(numbers: list[int]) -> dict[str, Any] | None:
    made = each(numbers, flows.a)
    child(transform(count, made))
    return wait_for("payment.settled", match={"order": 7}, timeout=timedelta(hours=1))
