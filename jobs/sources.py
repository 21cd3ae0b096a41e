"""The source of functions as syntax trees: to read what cannot be noticed otherwise, and to tell
lambdas apart.
"""

import ast
import inspect
import linecache
from collections.abc import Callable, Iterator
from copy import copy
from functools import lru_cache
from types import CodeType
from typing import Any

Function = ast.FunctionDef | ast.Lambda


def function_node(fn: Callable[..., Any]) -> Function | None:
    """Return the function's definition; None where the source is not at hand."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    if not isinstance(code, CodeType):
        return None
    tree = _module(code.co_filename, "".join(linecache.getlines(code.co_filename)))
    found = [node for node in _functions(tree) if _first_line(node) == code.co_firstlineno]
    if code.co_name != "<lambda>":
        named = [node for node in found if isinstance(node, ast.FunctionDef)]
        return next((node for node in named if node.name == code.co_name), None)
    lambdas = [node for node in found if isinstance(node, ast.Lambda)]
    if len(lambdas) > 1 and all(column is None for *_, column in code.co_positions()):
        return None  # python -X no_debug_ranges: nothing tells them apart
    return min((node for node in lambdas if _covers(node, code)), key=_extent, default=None)


def text_of(fn: Callable[..., Any]) -> str | None:
    """Return the function's source in a form that layout and comments do not change."""
    node = function_node(fn)
    if node is None:
        return None
    if isinstance(node, ast.Lambda):
        return ast.unparse(node)
    bare = copy(node)
    bare.decorator_list = []
    return ast.unparse(bare)


@lru_cache(maxsize=64)
def _module(filename: str, text: str) -> ast.Module:
    try:
        return ast.parse(text, filename)
    except SyntaxError:  # not the text that was compiled
        return ast.Module([], [])


def _functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda))


def _first_line(node: Function) -> int:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _covers(node: ast.Lambda, code: CodeType) -> bool:
    """Whether all of the code's instructions stand inside the lambda's body: several may begin on
    one line.
    """
    begin, end = _place(node.body)
    for line, end_line, column, end_column in code.co_positions():
        if line is None or end_line is None or column is None or end_column is None:
            continue
        if (line, column) == (code.co_firstlineno, 0) == (end_line, end_column):
            continue  # the instruction that only marks the beginning
        if not begin <= (line, column) or not (end_line, end_column) <= end:
            return False
    return True


def _place(node: ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
    end = (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
    return (node.lineno, node.col_offset), end


def _extent(node: ast.Lambda) -> tuple[int, int]:
    begin, end = _place(node.body)
    return (end[0] - begin[0], end[1] - begin[1])


def gives_undo_data(fn: Callable[..., Any]) -> bool:
    """Whether the function may give its compensation other data than its output; True in doubt."""
    node = function_node(fn)
    if node is None:
        return True
    context = node.args.args[0].arg if node.args.args else "ctx"
    return any(map(_gives_undo, ast.walk(node))) or any(
        isinstance(argument, ast.Name) and argument.id == context
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]
    )  # a function that is given the context may do it


def _gives_undo(part: ast.AST) -> bool:
    name = getattr(part, "attr", None) or getattr(part, "id", None)
    return name in ("undo_with", "Done") or (isinstance(part, ast.keyword) and part.arg == "undo")
