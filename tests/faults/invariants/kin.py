"""What holds between a run and its child runs."""

from collections.abc import Iterator, Sequence

from tests.faults.behaviours import COMPENSATE
from tests.faults.numbers import child_number
from tests.faults.records import RunRecord
from tests.faults.report import Violation
from tests.faults.rows import StepRow
from tests.faults.shapes import CHILD
from tests.faults.values import given

UNDONE = ("complete", "not_needed")


def agree(found: Sequence[RunRecord]) -> Iterator[Violation]:
    """Each child step has one child run, ends as that does, and is undone with it."""
    children: dict[int, list[RunRecord]] = {}
    for record in found:
        if record.row.parent_id is not None:
            children.setdefault(record.row.parent_id, []).append(record)
    for record in found:
        for node, step in record.forward().items():
            if step.kind == CHILD and not step.inherited:
                for message in _agree(record, node, step, children.get(step.id, [])):
                    yield Violation("child", message, record)


def _agree(
    record: RunRecord, node: str, step: StepRow, children: Sequence[RunRecord]
) -> Iterator[str]:
    if not children:
        if step.status not in ("stopped", "failed"):
            yield f"{node} is {step.status} and has no child run"
        return
    if len(children) > 1:
        yield f"{node} has {len(children)} child runs"
    child = children[0].row
    call, number = record.plan.shape.call(node), record.row.number
    if child.number != child_number(number, node):
        yield f"the child run of {node} has the number {child.number}"
    ((_, _, values),) = child.input.values()
    if node not in record.kept and values != given(call, node, number, record.values()):
        yield f"the child run of {node} was given {values}"
    yield from _ends_agree(record, node, step, children[0])


def _ends_agree(record: RunRecord, node: str, step: StepRow, child: RunRecord) -> Iterator[str]:
    row, undoing = child.row, record.steps.get(node + COMPENSATE)
    if not row.is_ended:
        yield f"{node} is {step.status}, its child run {row.status}"
    if record.row.status == "succeeded" and row.status != "succeeded":
        yield f"it succeeded, and the child run of {node} is {row.status}"
    if row.status == "succeeded" and (step.status != "succeeded" or step.output != row.output):
        yield f"{node} is {step.status} with {step.output}; its child run gave {row.output}"
    if step.status == "succeeded" and undoing is None and row.status != "succeeded":
        yield f"{node} succeeded, and its child run is {row.status}"
    if undoing is not None and undoing.status == "succeeded" and row.rollback not in UNDONE:
        yield f"{node} was compensated; the rollback of its child run is {row.rollback}"
    if undoing is not None and undoing.status == "succeeded" and row.status == "succeeded":
        yield f"{node} was compensated, and its child run stands"
    if undoing is not None and undoing.status == "failed" and row.rollback in UNDONE:
        yield f"{node} is not compensated; the rollback of its child run is {row.rollback}"
