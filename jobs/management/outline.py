"""A run's story as a tree of lines, for a terminal."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jobs.counting import counted
from jobs.management.story import Story
from jobs.models import Attempt, Run, StepRun
from jobs.plan import Chain, Group, Kind, Node

STYLES = {
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "running": "cyan",
    "compensating": "magenta",
    "waiting": "yellow",
    "resolved": "green",
    "lost": "red",
    "timeout": "red",
}
NOT_REACHED = "not reached"


@dataclass
class Line:
    """A line: its subject, its status (which gives the colour) and what else there is to say."""

    subject: str
    status: str = ""
    details: list[str] = field(default_factory=list)
    below: list["Line"] = field(default_factory=list)

    @property
    def style(self) -> str:
        return STYLES.get(self.status.partition(" ")[0].rstrip(","), "dim")


def outline(story: Story) -> Line:
    """Return the whole run: its steps in the plan's order, then what people did to it."""
    top = Line(f"{story.run.workflow} {story.run.pk}", _run_status(story.run), _about(story.run))
    top.below.extend(_chain(story, story.plan.body))
    top.below.extend(_step(story, row.node, row) for row in story.others)
    if story.run.error:
        top.below.append(Line("error", "failed", [_error(story.run.error)]))
    top.below.extend(_forked(story))
    top.below.extend(
        Line(
            action.name,
            "",
            [
                f"by {action.by or 'unknown'} at {_time(action.created_at)}",
                *([action.node] if action.node else []),
                action.reason,
            ],
        )
        for action in story.actions
    )
    return top


def _run_status(run: Run) -> str:
    rolled_back = "" if run.rollback == Run.Rollback.NOT_NEEDED else f", rollback {run.rollback}"
    waits = f" for {run.waiting_for}" if run.waiting_for else ""
    return f"{run.status}{waits}{rolled_back}"


def _about(run: Run) -> list[str]:
    company = "the platform's" if run.company is None else f"company {run.company}"
    generation = [f"generation {run.generation}"] if run.generation > 1 else []
    return [company, run.env, f"started {_time(run.created_at)}", *generation]


def _chain(story: Story, chain: Chain) -> Iterator[Line]:
    for item in chain.items:
        if isinstance(item, Node):
            yield _node(story, item)
        else:
            yield _group(story, item)


def _group(story: Story, group: Group) -> Line:
    made = Line("side by side")
    for number, branch in enumerate(group.branches, 1):
        lines = list(_chain(story, branch))
        made.below.extend(lines if len(lines) == 1 else [Line(f"branch {number}", below=lines)])
    return made


def _node(story: Story, node: Node) -> Line:
    row = story.steps.get(node.name)
    if row is None:
        return Line(node.name, NOT_REACHED, _kind(node.kind))
    made = _step(story, node.name, row)
    undone = story.compensation(node.name)
    if undone is not None:
        made.below.append(_step(story, "compensation", undone))
    return made


def _step(story: Story, subject: str, row: StepRun) -> Line:
    made = Line(subject, row.status, [*_kind(row.kind), *_standing(row)])
    if row.waiting_for:
        made.status = f"waiting for {row.waiting_for}"
    if (wait := story.waits.get(row.pk)) is not None:
        made.details.append(f"event {wait.event_type} with {wait.match}")
    made.below.extend(_attempt(attempt) for attempt in _telling(story, row))
    if row.error and not made.below:
        made.below.append(Line("error", "failed", [_error(row.error)]))
    made.below.extend(
        Line(f"{child.workflow} {child.pk}", _run_status(child))
        for child in story.children.get(row.pk, ())
    )
    made.below.extend(_items(story, row))
    return made


def _items(story: Story, row: StepRun) -> Iterator[Line]:
    found = story.items.get(row.node)
    if found is None:
        return
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(found.counts.items()))
    yield Line(counted(found.counts.total(), "item"), "", [counts])
    yield from (_step(story, item.node, item) for item in found.notable)


def _telling(story: Story, row: StepRun) -> list[Attempt]:
    """Return the attempts that say more than the step's own line."""
    tries = story.attempts.get(row.pk, [])
    return tries if len(tries) > 1 or any(one.error for one in tries) else []


def _attempt(attempt: Attempt) -> Line:
    took = _duration(attempt.finished_at - attempt.started_at)
    worker = f"on {attempt.worker}" if attempt.worker else ""
    details = [part for part in (took, worker) if part]
    if attempt.error:
        details.append(_error(attempt.error))
    return Line(f"attempt {attempt.number}", attempt.outcome, details)


def _standing(row: StepRun) -> Iterator[str]:
    if row.attempts and row.kind in (Kind.STEP, Kind.TASK):
        yield counted(row.attempts, "attempt")
    if row.duration is not None:
        yield _duration(row.duration)
    if row.progress is not None and row.status == StepRun.Status.RUNNING:
        yield f"{row.progress:.0%} {row.progress_note or ''}".rstrip()
    if row.inherited:
        yield "from the run that it was forked from"
    if row.status == StepRun.Status.READY and row.attempts:
        yield f"again at {_time(row.due_at)}"
    if row.status == StepRun.Status.WAITING and row.wake_at is not None:
        yield f"until {_time(row.wake_at)} at the latest"


def _forked(story: Story) -> Iterator[Line]:
    if story.run.forked_from_id is not None:
        yield Line(f"forked from {story.run.forked_from_id}")
    for pk in story.forks:
        yield Line(f"forked to {pk}")


def _kind(kind: str) -> list[str]:
    return [] if kind == Kind.STEP else [str(kind)]


def _error(error: dict[str, str]) -> str:
    return f"{error.get('type')}: {error.get('message')}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _duration(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"
