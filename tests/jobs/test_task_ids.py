"""The run stands in the ids of its tasks."""

from uuid import UUID

import pytest

from jobs.ids import uuid7
from jobs.task_ids import new_task_id, run_of


def test_a_tasks_id_tells_its_run_and_is_its_own() -> None:
    run_id = uuid7()

    first, second = new_task_id(run_id, 17), new_task_id(run_id, 17)

    assert first != second
    assert run_of(first) == run_of(second) == run_id


@pytest.mark.parametrize("task_id", ["", "17", str(UUID(int=17)), "a.b.c", ".", "x.1"])
def test_other_tasks_have_no_run(task_id: str) -> None:
    assert run_of(task_id) is None
