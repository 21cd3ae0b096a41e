"""Starting runs: one, by name, or thousands."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from jobs.definitions import Workflow
from jobs.errors import IdempotencyConflict, InvalidInput
from jobs.limits import key_text
from jobs.models import Definition, Run, StepRun
from jobs.plan import Entry, Kind, Node
from jobs.registry import registry
from jobs.services.sending import send_after_commit
from jobs.sizes import oversize
from jobs.transitions import bulk, runs
from jobs.values import to_json, words
from jobs.ways import ADMISSION, entry_text

MAX_LENGTHS = {"company": 128, "env": 32, "idempotency_key": 200}
MAX_DELAY = timedelta(days=366)
NO_WAIT = timedelta(0)


def start(
    workflow: Workflow[Any, Any],
    arguments: tuple[Any, ...],
    *,
    company: str | None,
    env: str = "live",
    idempotency_key: str | None = None,
    delay: timedelta | None = None,
) -> Run:
    """Start a run with positional arguments; see `Workflow.start`."""
    return _start(
        workflow,
        workflow.encode_input(arguments),
        company=company,
        env=env,
        idempotency_key=idempotency_key,
        delay=delay,
    )


def start_workflow(
    name: str,
    input: Any,  # noqa: A002 - the contract's word
    *,
    company: str | None,
    env: str = "live",
    idempotency_key: str | None = None,
    delay: timedelta | None = None,
    correlation_id: str | None = None,
    depth: int = 0,
) -> Run:
    """Start a run by the workflow's name with JSON data: one parameter's value, or an object by
    parameter.

    The run exists if and only if the caller's transaction commits. Raises `UnknownWorkflow`,
    `InvalidInput` or `IdempotencyConflict`.
    """
    workflow = registry.workflow(name)
    return _start(
        workflow,
        workflow.encode_named(input),
        company=company,
        env=env,
        idempotency_key=idempotency_key,
        delay=delay,
        correlation_id=correlation_id,
        depth=depth,
    )


def start_child(
    workflow: Workflow[Any, Any], encoded: dict[str, Any], *, parent: int, of: Run
) -> Run:
    """Start the child run of a step; it shares its parent's company, environment and priority.

    The step is its key: another's run, or one that waits for quiet, would not be its own.
    """
    return _start(
        workflow,
        encoded,
        company=of.company,
        env=of.env,
        idempotency_key=None,
        correlation_id=of.correlation_id or str(of.pk),
        depth=of.depth,
        parent=parent,
        priority=of.priority,
    )


def start_many(
    workflow: Workflow[Any, Any],
    arguments: Sequence[tuple[Any, ...]],
    *,
    company: str | None,
    env: str = "live",
) -> list[Run]:
    """Start a run for each tuple of positional arguments: one COPY, and messages in batches.

    All runs exist, or none: one `InvalidInput` names every input that does not fit by its index.
    Not for workflows whose starts depend on each other (singleton, debounce).
    """
    check_start(workflow.name, company=company, env=env, idempotency_key=None)
    encoded = _encode_all(workflow, arguments)
    options = workflow.options_
    if options.singleton or options.debounce or options.idempotency:
        with transaction.atomic():
            return [
                _start(workflow, item, company=company, env=env, idempotency_key=None)
                for item in encoded
            ]
    made = [_make(workflow, item, company=company, env=env) for item in encoded]
    with transaction.atomic():
        pin(workflow)
        wake_ups = bulk.copy_runs(
            made,
            _first(workflow),
            timeout=workflow.timeout,
            resend=settings.JOBS_RESEND_AFTER,
        )
        send_after_commit(wake_ups)
    return made


def _encode_all(
    workflow: Workflow[Any, Any], arguments: Sequence[tuple[Any, ...]]
) -> list[dict[str, Any]]:
    encoded, found = [], []
    for index, item in enumerate(arguments):
        try:
            encoded.append(workflow.encode_input(item))
            check_size(f"input of {workflow.name}", encoded[-1])
        except InvalidInput as error:
            found += [{**issue, "loc": (index, *issue["loc"])} for issue in error.issues]
    if found:
        raise InvalidInput(f"inputs of {workflow.name}", found)
    return encoded


def _start(
    workflow: Workflow[Any, Any],
    encoded: dict[str, Any],
    *,
    company: str | None,
    env: str,
    idempotency_key: str | None,
    delay: timedelta | None = None,
    correlation_id: str | None = None,
    depth: int = 0,
    parent: int | None = None,
    priority: int | None = None,
) -> Run:
    check_size(f"input of {workflow.name}", encoded)
    options = workflow.options_
    if idempotency_key is None and options.idempotency is not None and parent is None:
        idempotency_key = _key(workflow, "idempotency", options.idempotency, encoded)
    check_start(workflow.name, company=company, env=env, idempotency_key=idempotency_key)
    hold = _hold(workflow, delay)
    run = _make(workflow, encoded, company=company, env=env)
    run.idempotency_key = idempotency_key
    run.correlation_id = correlation_id
    run.depth = depth
    run.parent_id = parent
    run.priority = options.priority if priority is None else max(priority, options.priority)
    if options.singleton is not None:
        run.singleton_key = _key(workflow, "singleton", options.singleton, encoded)
    if options.debounce is not None and parent is None:
        key = options.debounce.key
        run.debounce_key = "" if key is None else _key(workflow, "debounce", key, encoded)
        hold = max(hold, options.debounce.wait if run.debounce_key is not None else NO_WAIT)
    return _insert(workflow, run, hold)


def _make(
    workflow: Workflow[Any, Any], encoded: dict[str, Any], *, company: str | None, env: str
) -> Run:
    return Run(
        workflow=workflow.name,
        definition_id=workflow.plan.hash,
        company=company,
        env=env,
        queue=workflow.queue,
        input=encoded,
        retention=workflow.options_.retention,
        priority=workflow.options_.priority,
    )


def _insert(workflow: Workflow[Any, Any], run: Run, hold: timedelta) -> Run:
    first = _first(workflow)
    for _ in range(10):
        if run.debounce_key is not None and (found := _debounced(workflow, run, hold)):
            return found
        made = runs.insert_run(
            run,
            entry=first,
            hold=hold,
            timeout=workflow.timeout,
            resend=settings.JOBS_RESEND_AFTER,
        )
        if isinstance(made, list):
            send_after_commit(made)
            return run
        if made == "definition":
            pin(workflow)
        elif (found := _started_before(run)) is not None:
            return found
    raise RuntimeError(f"the keys of {run.workflow} keep changing hands; start it again")


def _first(workflow: Workflow[Any, Any]) -> str:
    """Return the entry that a run begins with: its first steps, or the wait for a place."""
    entry = admission(workflow) if is_limited(workflow) else workflow.plan.start()
    assert entry is not None  # noqa: S101 - a workflow without a step is refused at import
    return entry_text(entry, phase=StepRun.Phase.FORWARD, run_queue=workflow.queue)


def is_limited(workflow: Workflow[Any, Any]) -> bool:
    """Whether runs wait for a place before their first step."""
    return workflow.options_.concurrency is not None or workflow.options_.rate is not None


def admission(workflow: Workflow[Any, Any]) -> Entry:
    return Entry((Node(ADMISSION, workflow.name, kind=Kind.ADMISSION),))


def _debounced(workflow: Workflow[Any, Any], run: Run, hold: timedelta) -> Run | None:
    found = runs.debounce(run, hold=hold, timeout=workflow.timeout)
    return None if found is None else Run.objects.get(pk=found)


def _started_before(wanted: Run) -> Run | None:
    """Return the run that holds the key, None if it has let go of it meanwhile."""
    same = Run.objects.filter(workflow=wanted.workflow, company=wanted.company)
    if wanted.idempotency_key is not None:
        found = same.filter(idempotency_key=wanted.idempotency_key).first()
        if found is not None:
            # The database's comparison: 1e23 comes back as a whole number, and true is no 1.
            if not same.filter(pk=found.pk, input=wanted.input).exists():
                raise IdempotencyConflict(str(wanted.idempotency_key), found.pk)
            return found
    if wanted.singleton_key is not None:
        return same.filter(singleton_key=wanted.singleton_key, finished_at=None).first()
    return None


def pin(workflow: Workflow[Any, Any]) -> None:
    """Store the workflow's plan; once for each distinct structure."""
    Definition.objects.bulk_create(
        [Definition(workflow.plan.hash, workflow.name, workflow.plan.to_json())],
        ignore_conflicts=True,
    )


def _key(
    workflow: Workflow[Any, Any], option: str, key: Any, encoded: dict[str, Any]
) -> str | None:
    """Return the key of that option for the input; None, where its function gives None, is none."""
    try:
        found = key(*workflow.decode_input(encoded).values())
    except (Exception, SystemExit) as error:  # the author's function, of this input
        message = f"the key function of {option} failed: {type(error).__name__}: {words(error)}"
        issue = {"loc": (), "msg": message, "type": option}
        raise InvalidInput(f"input of {workflow.name}", [issue]) from error
    return None if found is None else key_text(found)


def _hold(workflow: Workflow[Any, Any], delay: timedelta | None) -> timedelta:
    if delay is None:
        return NO_WAIT
    if not isinstance(delay, timedelta) or not NO_WAIT <= delay <= MAX_DELAY:
        message = f"must be a timedelta of 0 to {MAX_DELAY.days} days, not {delay!r}"
        issue = {"loc": ("delay",), "msg": message, "type": "delay"}
        raise InvalidInput(f"start of {workflow.name}", [issue])
    return delay


def check_start(workflow: str, **options: str | None) -> None:
    """Refuse what the run's columns cannot hold; None is refused for `env` only."""
    found = []
    for name, value in options.items():
        maximum = MAX_LENGTHS[name]
        if value is None and name != "env":
            continue
        if not isinstance(value, str) or not 0 < len(value) <= maximum or not _is_storable(value):
            message = f"must be a text of 1 to {maximum} characters without NUL, not {value!r:.80}"
            found.append({"loc": (name,), "msg": message, "type": name})
    if found:
        raise InvalidInput(f"start of {workflow}", found)


def check_size(what: str, value: Any) -> None:
    """Refuse JSON data that is larger than a value may be; raises `InvalidInput`."""
    if (issue := oversize(to_json(value, what=what))) is not None:
        raise InvalidInput(what, [issue])


def _is_storable(text: str) -> bool:
    return "\0" not in text and text.encode("utf-8", "replace").decode() == text
