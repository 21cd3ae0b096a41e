"""The fenced blocks of a Markdown page, and what is to happen before each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

FENCE = "```"
TIME_PASSES = re.compile(r"<!-- time passes: (\d+) (minutes|hours|days) -->")
WITHOUT = re.compile(r"<!-- without the step: (\S+) -->")
EXITS = re.compile(r"<!-- exits (\d+) -->")
NAMES_A_FILE = re.compile(r"# (\S+\.py)\n")


@dataclass(frozen=True)
class Block:
    """One fenced block: `line` is the page's line of its first line of text, `section` the heading
    above it, `after` how much time passes before it, `exits` with which code its commands end,
    `without` a step that the code does not have meanwhile.
    """

    language: str
    text: str
    line: int
    section: str
    after: timedelta
    exits: int
    without: str | None

    @property
    def file(self) -> str | None:
        """The file that its first line names, `# shop/services.py`."""
        found = NAMES_A_FILE.match(self.text)
        return found.group(1) if found else None


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the page's blocks in order; comments before a block say what is to happen first."""
    section, after, exits, without = "", timedelta(0), 0, None
    lines = enumerate(page.read_text().splitlines(keepends=True), start=1)
    for number, line in lines:
        if line.startswith("#"):
            section = line.strip("# \n")
        elif found := TIME_PASSES.match(line):
            after = timedelta(**{found.group(2): int(found.group(1))})
        elif found := EXITS.match(line):
            exits = int(found.group(1))
        elif found := WITHOUT.match(line):
            without = found.group(1)
        elif line.startswith(FENCE):
            text = "".join(_until_the_fence(lines))
            yield Block(line.strip("`\n"), text, number + 1, section, after, exits, without)
            after, exits, without = timedelta(0), 0, None


def _until_the_fence(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        if line.startswith(FENCE):
            return
        yield line
    raise AssertionError("the page ends inside a block")
