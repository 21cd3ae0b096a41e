"""Every step and workflow of the process, by the names that are stored in rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.errors import DefinitionError, UnknownStep, UnknownWorkflow
from jobs.ports import ports
from jobs.values import place

if TYPE_CHECKING:
    from jobs.definitions import Step, Workflow


@dataclass(frozen=True)
class Attachment:
    """What runs at a workflow's hook; `where` is `file:line` of the attaching."""

    workflow: str
    hook: str
    target: Any
    where: str


class Registry:
    """Every step and workflow of the process, by name, and what is attached to their hooks."""

    def __init__(self) -> None:
        self.attachments: dict[tuple[str, str], Attachment] = {}
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
        if known is not None and known.reading.where != made.reading.where:
            raise DefinitionError(
                f"{made.reading.where}: workflow {made.name!r} is already defined at"
                f" {known.reading.where}; names are stored in rows, so each must be unique"
            )
        self.workflows[made.name] = made

    def attach(self, made: Attachment) -> None:
        """Note what runs at a hook; raises `DefinitionError` for a second one, or when plans are
        fixed.
        """
        known = self.attachments.get((made.workflow, made.hook))
        if known is not None and known.where != made.where:
            raise DefinitionError(
                f"{made.where}: hook {made.hook!r} of {made.workflow!r} has an attachment already,"
                f" {known.target!r} at {known.where}; one app may attach one step: keep one of them"
            )
        workflow = self.workflows.get(made.workflow)
        if workflow is not None and "plan" in workflow.__dict__:
            raise DefinitionError(
                f"{made.where}: the structure of {made.workflow!r} is fixed by now, and processes"
                " would disagree about it; attach in your app's workflows.py, which is imported at"
                " the start"
            )
        self.attachments[made.workflow, made.hook] = made

    def detach(self, made: Attachment) -> None:
        self.attachments.pop((made.workflow, made.hook), None)

    def attached_to(self, workflow: str) -> dict[str, Attachment]:
        """Return what is attached to the workflow's hooks, by hook."""
        return {name: one for (of, name), one in self.attachments.items() if of == workflow}

    def seal(self) -> None:
        """Fix every plan: from here on no attachment changes one."""
        for workflow in self.workflows.values():
            _ = workflow.plan

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
