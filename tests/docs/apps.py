"""The apps that a page's Python blocks are, as modules of this process."""

import linecache
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from celery import current_app

from tests.docs.blocks import Block

DEFAULT_FILE = "shop/workflows.py"


@contextmanager
def imported(page: Path, blocks: Sequence[Block]) -> Iterator[dict[str, ModuleType]]:
    """Run the blocks in order, each in the module of its file; yield the modules by name.

    Lines and sources are those of the page, for tracebacks and for whoever reads a function's
    source.
    """
    filename = str(page)
    linecache.cache[filename] = _source(filename, blocks)
    before = set(sys.modules)
    try:
        yield {made.__name__: made for made in [_run(block, filename) for block in blocks]}
    finally:
        made = set(sys.modules) - before
        for name, task in list(current_app.tasks.items()):
            if task.__module__ in made:  # its ordinary tasks; those of steps are the engine's
                current_app.tasks.unregister(name)
        for name in made:
            del sys.modules[name]
        del linecache.cache[filename]


def run_alone(block: Block) -> None:
    """Run a block as the whole of the file that it names."""
    assert block.file is not None, f"line {block.line}: name the file in the first line"
    lines = block.text.splitlines(keepends=True)
    linecache.cache[block.file] = (len(block.text), None, lines, block.file)
    try:
        exec(compile(block.text, block.file, "exec"), {"__name__": _module_name(block.file)})  # noqa: S102 - the page's own code
    finally:
        del linecache.cache[block.file]


def files_of(blocks: Sequence[Block]) -> dict[str, str]:
    """Return the text of each file."""
    files: dict[str, str] = {}
    for block in blocks:
        name = block.file or DEFAULT_FILE
        files[name] = files.get(name, "") + block.text
    return files


def _run(block: Block, filename: str) -> ModuleType:
    module = _module(_module_name(block.file or DEFAULT_FILE))
    code = compile("\n" * (block.line - 1) + block.text, filename, "exec")
    exec(code, module.__dict__)  # noqa: S102 - the page's own code
    return module


def _module(name: str) -> ModuleType:
    package = name.partition(".")[0]
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = []
    return sys.modules.setdefault(name, ModuleType(name))


def _module_name(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


def _source(filename: str, blocks: Sequence[Block]) -> tuple[int, float | None, list[str], str]:
    lines: list[str] = []
    for block in blocks:
        lines += ["\n"] * (block.line - 1 - len(lines))
        lines += block.text.splitlines(keepends=True)
    return (len("".join(lines)), None, lines, filename)
