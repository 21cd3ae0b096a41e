"""Every step and workflow of the process, by the names that are stored in rows."""

from typing import TYPE_CHECKING, Any

from jobs.errors import DefinitionError, UnknownStep, UnknownWorkflow
from jobs.ports import ports
from jobs.values import place

if TYPE_CHECKING:
    from jobs.definitions import Step, Workflow


class Registry:
    """Every step and workflow of the process, by name."""

    def __init__(self) -> None:
        self.steps: dict[str, Step[Any, Any]] = {}
        self.workflows: dict[str, Workflow[Any, Any]] = {}

    def add_step(self, made: "Step[Any, Any]") -> None:
        known = self.steps.get(made.name)
        if known is not None and place(known.fn) != place(made.fn):
            raise DefinitionError(
                f"{place(made.fn)}: step {made.name!r} is already defined at {place(known.fn)};"
                " names are stored in rows, so each must be unique: pass name="
            )
        self.steps[made.name] = made
        if ports.register_task:
            ports.register_task(made.name)

    def add_workflow(self, made: "Workflow[Any, Any]") -> None:
        known = self.workflows.get(made.name)
        if known is not None and place(known.fn) != place(made.fn):
            raise DefinitionError(
                f"{place(made.fn)}: workflow {made.name!r} is already defined at {place(known.fn)}"
            )
        self.workflows[made.name] = made

    def step(self, name: str) -> "Step[Any, Any]":
        """Return the step; raises `UnknownStep`."""
        if name not in self.steps:
            raise UnknownStep(name)
        return self.steps[name]

    def workflow(self, name: str) -> "Workflow[Any, Any]":
        """Return the workflow; raises `UnknownWorkflow`."""
        if name not in self.workflows:
            raise UnknownWorkflow(name, sorted(self.workflows))
        return self.workflows[name]


registry = Registry()
