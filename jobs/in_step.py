"""What a running step asks of the engine through its context."""

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from django.conf import settings
from django.db import connection

from jobs.context import Kept
from jobs.crashpoints import Point, reached
from jobs.errors import LostLease
from jobs.models import Memo, Run, StepRun
from jobs.ports import event_system
from jobs.sizes import limited
from jobs.transitions import claims
from jobs.transitions.claims import Claim
from jobs.values import Codec, to_json

MAX_NAME = 200


def output(held: Claim, node: str) -> Any:
    """See `Context.output`."""
    if node in held.outputs:
        return held.outputs[node]
    row = StepRun.objects.filter(
        run_id=held.run_id,
        generation=held.generation,
        node=node,
        status__in=[StepRun.Status.SUCCEEDED, StepRun.Status.SKIPPED, StepRun.Status.FAILED],
    ).first()
    if row is None:
        raise KeyError(f"{node} has no output yet in run {held.run_id}")
    return row.output


def save_undo(held: Claim, undo: str, *, kept: Kept | None) -> None:
    """See `Context.undo_with`."""
    if kept is None:
        _kept(held, claims.save_undo(held, undo))
    else:
        kept.undo = undo
    reached(Point.UNDO_SAVED)


def heartbeat(held: Claim) -> None:
    """See `Context.heartbeat`.

    In a transaction it looks only: a row that it wrote nobody else could extend until the end.
    """
    if connection.in_atomic_block:
        _kept(held, claims.is_held(held))
    else:
        _kept(held, claims.extend_lease(held, lease=settings.JOBS_LEASE))
    reached(Point.LEASE_EXTENDED)


def progress(held: Claim, *, fraction: float, note: str, kept: Kept | None) -> None:
    """See `Context.progress`."""
    if kept is not None:
        kept.progress = (fraction, note)
        return heartbeat(held)
    lease = settings.JOBS_LEASE
    _kept(held, claims.save_progress(held, fraction=fraction, note=note, lease=lease))
    reached(Point.LEASE_EXTENDED)
    return None


def is_stopping(held: Claim) -> bool:
    """See `Context.cancelled`."""
    return Run.objects.filter(pk=held.run_id, stop__isnull=False).exists()


def memoised(
    held: Claim, name: str, fn: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]
) -> Any:
    """See `Context.run`."""
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"ctx.run({name!r:.80}): a name has 1 to {MAX_NAME} characters")
    codec = Codec(_returned(fn))
    what = f"result of {name} in {held.node}"
    kept = Memo.objects.filter(step_run_id=held.id, name=name).first()
    if kept is None:
        text = limited(codec.encode(fn(*args, **kwargs), what=what), what=what)
        reached(Point.MEMO_COMPUTED)
        _kept(held, claims.save_memo(held, name=name, value=text))
        reached(Point.MEMO_SAVED)
        kept = Memo.objects.get(step_run_id=held.id, name=name)
    return codec.decode(kept.value, what=what)


def _returned(fn: Callable[..., Any]) -> Any:
    try:
        return get_type_hints(fn).get("return", Any)
    except (TypeError, NameError):  # a callable without annotations of its own
        return Any


def publish(held: Claim, event: Any, payload: Any, *, key: str | None) -> None:
    """See `Context.publish`."""
    event_type, content = event_system().describe(event, payload)
    text = to_json(content, what=f"payload of {event_type}")
    _kept(held, claims.save_event(held, event_type=event_type, payload=text, key=key))
    reached(Point.EVENT_SAVED)


def _kept(held: Claim, kept: bool) -> None:
    if not kept:
        raise LostLease(held.node)
