"""Runs on a terminal, or as plain lines where the output goes elsewhere."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from jobs.management import story
from jobs.management.outline import NOT_REACHED, Line, outline
from jobs.models import Run

PLAIN_WIDTH = 1000  # so that nothing is wrapped in a file
Seen = dict[str, str]


def console(stream: Any) -> Console:
    """Return a console that writes to the stream, with colours only if it is a terminal."""
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        width=None if is_terminal else PLAIN_WIDTH,
        force_terminal=is_terminal,
        highlight=False,
        soft_wrap=not is_terminal,
    )


def show(run_id: UUID, *, on: Console) -> None:
    """Print the run as a tree."""
    on.print(tree(outline(story.read(run_id))))


def follow(run_id: UUID, *, on: Console, pause: Callable[[], object]) -> Run:
    """Show the run until it has ended, looking again after each pause, and return it."""
    return _follow_live(run_id, on, pause) if on.is_terminal else _follow_plainly(run_id, on, pause)


def _follow_live(run_id: UUID, on: Console, pause: Callable[[], object]) -> Run:
    with Live(console=on, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            found = story.read(run_id)
            live.update(tree(outline(found)), refresh=True)
            if found.run.is_ended:
                return found.run
            pause()


def _follow_plainly(run_id: UUID, on: Console, pause: Callable[[], object]) -> Run:
    seen: Seen = {}
    while True:
        found = story.read(run_id)
        top = outline(found)
        below, top.below = top.below, []
        for line in (top, *below):
            for news in _news(line, seen):
                on.print(news, markup=False)
        if found.run.is_ended:
            return found.run
        pause()


def tree(line: Line) -> Tree:
    """Return the line and what is below it as rich's tree."""
    made = Tree(text(line), guide_style="dim")
    for inner in line.below:
        made.children.append(tree(inner))
    return made


def text(line: Line) -> Text:
    """Return the line in its colours; control characters in it do nothing."""
    made = Text(_printable(line.subject))
    if line.status:
        made.append("  ").append(_printable(line.status), style=line.style)
    for detail in line.details:
        made.append("  ").append(_printable(detail), style="dim")
    return made


def _news(line: Line, seen: Seen, path: str = "") -> Iterator[str]:
    """Yield what is new, or has another status, since the last look."""
    here = f"{path}{line.subject}"
    if line.status and line.status != NOT_REACHED and seen.get(here) != line.status:
        seen[here] = line.status
        yield text(Line(here, line.status, line.details)).plain
    for inner in line.below:
        yield from _news(inner, seen, f"{here}: " if line.status else path)


def _printable(value: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in value)
