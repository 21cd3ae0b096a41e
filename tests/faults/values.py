"""What steps give and are given: digests of all they depend on, so that a wrong value shows."""

import zlib
from collections.abc import Mapping
from typing import Any

from tests.faults.shapes import EACH, LISTER, TASK, Call


def output_of(number: int, node: str, values: list[Any]) -> int:
    """Return what a step gives."""
    return zlib.crc32(repr((number, node, values)).encode())


def task_output(node: str, given: Any) -> int:
    """Return what a plain Celery task of a canvas by hand gives."""
    return zlib.crc32(repr((node, given)).encode())


def items_of(number: int, node: str) -> list[int]:
    """Return the list that a lister gives: known only at run time, of 0, 1, 3 or 6 items."""
    count = (0, 1, 3, 6)[zlib.crc32(repr((number, node, "count")).encode()) % 4]
    return [zlib.crc32(repr((number, node, index)).encode()) for index in range(count)]


def undo_of(number: int, node: str, attempt: int) -> int:
    """Return the undo data that an attempt of a step leaves."""
    return zlib.crc32(repr((number, node, attempt, "undo")).encode())


def holds(value: Any) -> bool:
    """The predicate of every guard; of a value that is missing, too."""
    return zlib.crc32(repr(value).encode()) % 3 != 0


def given(call: Call, node: str, number: int, values: Mapping[str, Any]) -> list[Any]:
    """Return the values that a node is given, an item of an `each` first its item."""
    others = [values[name] for name in call.uses]
    if call.kind != EACH:
        return others
    index = int(node.partition("[")[2].partition("]")[0])
    return [items_of(number, call.items_from)[index], *others]


def result_of(call: Call, number: int, values: Mapping[str, Any], *, missing: set[str]) -> Any:
    """Return the output of a node, None for those (and the items) in `missing`."""
    if call.node in missing or not all(holds(values[guard]) for guard in call.guards):
        return None
    if call.kind == LISTER:
        return items_of(number, call.node)
    if call.kind == TASK:
        results = [values[name] for name in call.uses] or [number]
        return task_output(call.node, results if len(results) > 1 else results[0])
    if call.kind != EACH:
        return output_of(number, call.node, given(call, call.node, number, values))
    # Without a list there is nothing to do for each of.
    nodes = [f"{call.node}[{i}]" for i, _ in enumerate(values[call.items_from] or [])]
    return [
        None if node in missing else output_of(number, node, given(call, node, number, values))
        for node in nodes
    ]
