"""The engine's errors.

JobsError
├── DefinitionError         a step or workflow is written wrongly; raised at import
├── UnknownWorkflow         no workflow of that name is registered
├── UnknownRun              no run has that id
├── RunRefused              the run's state does not allow it; says what does
├── UnknownStep             a pinned step is not in the deployed code
├── UnknownFunction         a pinned transform function or predicate is not in the deployed code
├── InvalidInput            the input does not fit the annotations; `issues` is pydantic's list
├── InvalidOutput           the output does not fit the annotations
├── IdempotencyConflict     the key was used before, with another input
├── TransactionLeftOpen     a step's code began a transaction and did not end it
├── LostLease               another worker owns the step now; the outcome was not recorded
├── ResultTimeout           the run has not ended yet
├── RunFailed               the run ended `failed`
├── RunCancelled            the run ended `cancelled`
└── InvalidKey              an API key that is unknown, revoked or has expired
"""

from collections.abc import Mapping, Sequence
from typing import Any


class JobsError(Exception):
    """Base of all the engine's errors."""


class DefinitionError(JobsError):
    """A step or workflow cannot mean what it says; the text names file, line and remedy."""


class UnknownWorkflow(JobsError):
    """No workflow of that name is registered."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no workflow {name!r}; registered are: {', '.join(known) or 'none'}")
        self.name = name


class UnknownRun(JobsError):
    """No run has that id."""

    def __init__(self, run_id: object) -> None:
        super().__init__(f"no run {run_id}")
        self.run_id = run_id


class RunRefused(JobsError):
    """What was asked of the run its state does not allow; the text says why, and what is."""

    def __init__(self, run_id: object, why: str) -> None:
        super().__init__(f"run {run_id}: {why}")
        self.run_id = run_id
        self.why = why


class UnknownStep(JobsError):
    """A pinned run names a step that the deployed code does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"step {name!r} is not in the deployed code; deploy it again or cancel the run"
        )
        self.name = name


class UnknownFunction(JobsError):
    """A pinned run names a function that the deployed code does not have, or not like that."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"function {address!r} is not in the deployed code; deploy it again or cancel the run"
        )
        self.address = address


class _Invalid(JobsError):
    def __init__(self, what: str, issues: Sequence[Mapping[str, Any]]) -> None:
        first = issues[0] if issues else {"loc": (), "msg": "invalid"}
        place = ".".join(str(part) for part in first["loc"])
        more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
        super().__init__(f"{what}: {place + ': ' if place else ''}{first['msg']}{more}")
        self.issues = list(issues)


class InvalidInput(_Invalid):
    """The input does not fit; `issues` is a list of `{"loc", "msg", "type"}` as pydantic does."""


class InvalidOutput(_Invalid):
    """What a step returned does not fit its annotation; `issues` as in `InvalidInput`."""


class IdempotencyConflict(JobsError):
    """The idempotency key belongs to a run that was started with another input."""

    def __init__(self, key: str, run_id: object) -> None:
        super().__init__(
            f"idempotency key {key!r} already started run {run_id} with another input;"
            " use another key, or the same input to get that run"
        )
        self.key = key
        self.run_id = run_id


class TransactionLeftOpen(JobsError):
    """A step's code began a transaction and did not end it; it was rolled back."""

    def __init__(self, alias: str) -> None:
        super().__init__(
            f"the step left a transaction open on the database connection {alias!r}; it was rolled"
            " back. End it in the step: `with transaction.atomic():`, or make the step atomic=True"
        )


class LostLease(JobsError):
    """Another worker holds the step by now (its fencing token moved on); nothing was written."""


class ResultTimeout(JobsError):
    """The run has not ended within the time given; it goes on."""


class _Ended(JobsError):
    def __init__(self, run_id: object, error: Mapping[str, Any] | None) -> None:
        detail = error or {}
        super().__init__(
            f"run {run_id}: {detail.get('type', 'ended')}: {detail.get('message', '')}"
        )
        self.run_id = run_id
        self.error = dict(detail)


class RunFailed(_Ended):
    """The run ended `failed`; `error` is `{"type", "message", "node", "traceback"}`."""


class RunCancelled(_Ended):
    """The run ended `cancelled`."""


class InvalidKey(JobsError):
    """The API key is unknown, revoked or has expired; the text says which."""
