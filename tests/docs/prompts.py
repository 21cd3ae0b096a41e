"""What a page's reader types: Python after `>>>`, and `manage.py` commands."""

import contextlib
import doctest
import io
import re
import shlex
from string import Template
from typing import Any

import pytest
from django.core.management import ManagementUtility

from tests.docs.blocks import Block
from tests.docs.workers import Workers

OPTIONS = doctest.ELLIPSIS
COMMAND = "python manage.py "


class _Runner(doctest.DocTestRunner):
    """Lets the workers catch up before each line."""

    def __init__(self, workers: Workers) -> None:
        super().__init__(verbose=False, optionflags=OPTIONS)
        self._workers = workers

    def report_start(self, *_: Any) -> None:
        self._workers.catch_up()


def type_in(block: Block, *, page: str, names: dict[str, Any], workers: Workers) -> None:
    """Type the block's lines and compare what is printed; names made by it stay in `names`."""
    examples = doctest.DocTestParser().get_examples(block.text, page)
    assert examples, f"{page}:{block.line}: no line begins with >>>"
    test = doctest.DocTest(examples, names, page, page, block.line - 1, None)
    test.globs = names  # DocTest makes a copy
    said: list[str] = []
    if _Runner(workers).run(test, out=said.append, clear_globs=False).failed:
        pytest.fail("".join(said), pytrace=False)


def manage(line: str, *, names: dict[str, Any], exits: int = 0) -> str:
    """Run `python manage.py …` in this process and return what it prints; `$RUN` is the id of the
    run that the page speaks of.
    """
    filled = Template(line).safe_substitute(RUN=getattr(names.get("run"), "pk", "$RUN"))
    argv = shlex.split(filled.removeprefix("python "))
    said = io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            ManagementUtility(argv).execute()
        except SystemExit as exit_:
            code = exit_.code or 0
    assert code == exits, f"{filled}: exit code {code}, not {exits}:\n{said.getvalue()}"
    return said.getvalue()


def assert_says(got: str, wanted: str) -> None:
    """Compare texts up to line breaks; `...` in the wanted one stands for anything."""
    pattern = ".*".join(re.escape(_on_one_line(part)) for part in wanted.split("..."))
    assert re.fullmatch(pattern, _on_one_line(got)), f"{got}\nis not\n{wanted}"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
