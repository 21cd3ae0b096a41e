"""`docs/authoring.md` is right: its code is imported, its lines are typed, its commands are run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jobs import dispatch
from jobs.errors import DefinitionError
from jobs.management.commands import start
from jobs.models import Run
from jobs.registry import registry
from jobs.testing import crash_points
from tests.docs.apps import imported, run_alone
from tests.docs.blocks import Block, blocks_of
from tests.docs.prompts import COMMAND, assert_says, manage, type_in
from tests.docs.workers import Workers
from tests.jobs.conftest import Post, forget_definitions  # noqa: F401 - a fixture

PAGE = Path(__file__).parents[2] / "docs" / "authoring.md"
BLOCKS = list(blocks_of(PAGE))
REFUSED = [
    (block, said)
    for block, said in pairwise(BLOCKS)
    if (block.language, said.language) == ("python", "text")
]
IMPORTED = [block for block in BLOCKS if block.language == "python" and block not in dict(REFUSED)]
NOT_RUN = {"EXTRA_APPS=shop PYTHONPATH=/path/to/apps make up"}
SECTIONS = list(
    dict.fromkeys(block.section for block in BLOCKS if block.language in ("pycon", "sh"))
)


@pytest.fixture
def shop(forget_definitions: None) -> Iterator[dict[str, ModuleType]]:  # noqa: F811 - the fixture
    with imported(PAGE, IMPORTED) as modules:
        yield modules


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Workers:
    post = Post()
    monkeypatch.setattr(dispatch, "send", post.send)
    made = Workers(post)
    result = Run.result

    def worked_for(run: Run, timeout: float | None = None) -> Any:
        made.catch_up()
        return result(run, timeout=0 if timeout else None)  # nobody else works: do not wait

    monkeypatch.setattr(Run, "result", worked_for)
    monkeypatch.setattr(start, "_pause", made.catch_up)  # of `start --watch`
    return made


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_typed_prints_what_the_page_says(
    section: str, shop: dict[str, ModuleType], workers: Workers
) -> None:
    names: dict[str, object] = {}
    blocks = [block for block in BLOCKS if block.section == section]
    for block, following in pairwise([*blocks, None]):
        assert block is not None
        if block.after:
            workers.wait(block.after)
        if block.language == "pycon":
            type_in(block, page=PAGE.name, names=names, workers=workers)
        elif block.language == "sh":
            workers.catch_up()
            with _without(block.without):
                _run_commands(block, following, names=names)


@contextmanager
def _without(step: str | None) -> Iterator[None]:
    """Take a step out of the deployed code, if one is named."""
    taken = registry.steps.pop(step) if step is not None else None
    yield
    if taken is not None:
        registry.steps[taken.name] = taken


def _run_commands(block: Block, following: Block | None, *, names: dict[str, object]) -> None:
    lines = [line for line in block.text.splitlines() if line not in NOT_RUN]
    said = ""
    for line in lines:
        assert line.startswith(COMMAND), f"line {block.line}: nothing here can run {line!r}"
        said += manage(line, names=names, exits=block.exits)
    if following is not None and following.language == "text":
        assert_says(said, following.text)


@pytest.mark.parametrize(("block", "said"), REFUSED, ids=lambda block: f"line {block.line}")
def test_what_is_refused_says_what_the_page_says(
    block: Block, said: Block, shop: dict[str, ModuleType]
) -> None:
    with pytest.raises(DefinitionError) as caught:
        run_alone(block)

    assert_says(f"{type(caught.value).__name__}: {caught.value}", said.text)


def test_every_block_is_of_a_language_that_is_run() -> None:
    known = {"python", "pycon", "sh", "text"}

    assert {block.language for block in BLOCKS} <= known


def test_the_tests_on_the_page_pass(shop: dict[str, ModuleType], db: None) -> None:
    found = list(_tests_of(shop["shop.test_orders"]))

    assert len(found) > len(crash_points())
    for test in found:
        test()


def _tests_of(module: ModuleType) -> Iterator[Callable[[], None]]:
    """Yield the module's tests, as often as they are parametrised."""
    for name, test in vars(module).items():
        if not name.startswith("test_"):
            continue
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        if not marks:
            yield partial(test, db=None)
        for mark in marks:
            parameter, values = mark.args
            yield from (partial(test, db=None, **{parameter: value}) for value in values)
