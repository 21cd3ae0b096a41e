"""A run's output: what its plan's expression makes of the steps' outputs."""

from collections.abc import Mapping
from typing import Any

from jobs.plan import evaluate
from jobs.registry import registry
from jobs.sizes import limited
from jobs.ways import pinned_plan


def result_text(
    definition_id: str, workflow: str, input_: Mapping[str, Any], outputs: Mapping[str, Any]
) -> str:
    """Return the run's output as JSON text.

    Raises KeyError if an output is missing, `InvalidInput` or `InvalidOutput` if the result does
    not fit what the workflow declares, or is larger than a value may be.
    """
    plan = pinned_plan(definition_id)
    value = evaluate(plan.output, output=outputs.__getitem__, inputs=input_)
    what = f"result of {workflow}"
    known = registry.workflows.get(workflow)
    if known is not None:
        known.output.decode(value, what=what)
    return limited(value, what=what)
