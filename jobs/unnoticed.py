"""What a symbolic value cannot notice is found by reading the source of the workflow function.

`is`, `match`, `isinstance` and the like look at the symbol itself and say nothing; a `try` or
`with` around steps ends before any of them runs. Refused is what is certain: a value is symbolic if
it is a parameter, what a step returns, or a part of such. Functions given to `transform` and `when`
see real values and are left alone.
"""

import ast
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, NoReturn

from jobs.errors import DefinitionError
from jobs.scopes import MANY, SYMBOL, Scope
from jobs.sources import Function, function_node
from jobs.symbols import Symbol

BLIND = (isinstance, issubclass, type, hasattr, callable, repr, ascii, id, vars, dir)
PREDICATE = "`with when(value, predicate):` decides on the real value"
OUTCOME = "a step's failure is handled by its compensation or its on_failure option"


def check_source(fn: Callable[..., Any]) -> None:
    """Raise `DefinitionError` for what the function does unnoticed; no source, no check."""
    if isinstance(fn, FunctionType):
        given = dict.fromkeys(fn.__code__.co_varnames[: fn.__code__.co_argcount], SYMBOL)
        _check(fn, given, frozenset())


def _check(fn: FunctionType, given: Mapping[str, str], seen: frozenset[Any]) -> None:
    node = function_node(fn)
    if node is None:
        return
    cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)
    captured = {name: value for name, cell in cells if (value := _content(cell)) is not None}
    symbols = {name: SYMBOL for name, value in captured.items() if isinstance(value, Symbol)}
    scope = Scope({**fn.__globals__, **captured}, {**symbols, **given})
    reader = _Reader(fn.__code__.co_filename, scope, node, seen | {fn.__code__})
    for part in node.body if isinstance(node, ast.FunctionDef) else [node.body]:
        reader.visit(part)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # assigned later
        return None


class _Reader(ast.NodeVisitor):
    """Goes through a function in order, with the kinds of its names so far."""

    def __init__(
        self, filename: str, scope: Scope, function: Function, seen: frozenset[Any]
    ) -> None:
        self.filename = filename
        self.scope = scope
        self.seen = seen
        self.last = _last_returns(function)

    def refuse(self, node: ast.AST, what: str, remedy: str) -> NoReturn:
        line = getattr(node, "lineno", 0)
        raise DefinitionError(
            f"{self.filename}:{line}: {what}, and nothing would notice: the workflow is read once,"
            f" before any step ran; {remedy}"
        )

    def is_symbol(self, node: ast.expr) -> bool:
        return self.scope.kind(node) == SYMBOL

    def visit_Compare(self, node: ast.Compare) -> None:
        identity = any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops)
        if identity and any(map(self.is_symbol, [node.left, *node.comparators])):
            self.refuse(node, "`is` compares a symbolic value", PREDICATE)
        self.generic_visit(node)

    def visit_Match(self, node: ast.Match) -> None:
        if self.scope.kind(node.subject):
            self.refuse(node, "`match` looks at a symbolic value", PREDICATE)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        shown = [
            part.value
            for part in node.values
            if isinstance(part, ast.FormattedValue) and chr(max(0, part.conversion)) in "ra"
        ]
        if any(map(self.scope.kind, shown)):
            self.refuse(node, "a symbolic value is made a text", "make the text with transform()")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        is_text = isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
        if is_text and isinstance(node.op, ast.Mod) and self.scope.kind(node.right):
            self.refuse(node, "a symbolic value is made a text", "make the text with transform()")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self.scope.resolve(node.func)
        if any(called is blind for blind in BLIND) and any(map(self.is_symbol, node.args)):
            self.refuse(node, f"{called.__name__}() looks at a symbolic value", PREDICATE)
        if self._formats(node):
            self.refuse(node, "a symbolic value is made a text", "make the text with transform()")
        if isinstance(called, FunctionType) and called.__code__ not in self.seen:
            self._visit_helper(called, node)
        self.generic_visit(node)

    def _formats(self, node: ast.Call) -> bool:
        is_format = isinstance(node.func, ast.Attribute) and node.func.attr == "format"
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        return is_format and any(map(self.scope.kind, given))

    def _visit_helper(self, called: FunctionType, node: ast.Call) -> None:
        """Read a function of the author's that is given symbolic values."""
        if self.scope.is_ours(called) or self.scope.is_installed(called):
            return
        code = called.__code__
        names = code.co_varnames[: code.co_argcount]
        pairs = [
            *zip(names, node.args, strict=False),
            *((word.arg, word.value) for word in node.keywords if word.arg),
        ]
        given = {name: kind for name, value in pairs if (kind := self.scope.kind(value))}
        if SYMBOL in given.values():
            _check(called, given, self.seen)

    def visit_Try(self, node: ast.Try) -> None:
        if any(map(self.scope.calls_steps, node.body)):
            self.refuse(node, "the `try` ends before its steps run", OUTCOME)
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        if not any(self.scope.is_when(item.context_expr) for item in node.items):
            if any(map(self.scope.calls_steps, node.body)):
                self.refuse(node, "the `with` ends before its steps run", "enter it inside a step")
        else:
            self._check_leaving(node)
        self.generic_visit(node)

    def _check_leaving(self, node: ast.With) -> None:
        for part in ast.walk(node):
            if isinstance(part, ast.Return | ast.Break | ast.Continue) and part not in self.last:
                self.refuse(
                    part,
                    "leaving the block of when() ends the reading whether it runs or not",
                    "let the block end, and guard what follows with another when()",
                )

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.scope.assign(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.scope.assign(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.scope.assign(node.target, node.value)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.scope.mark(node.target, SYMBOL if self.scope.kind(node.iter) == MANY else None)
        for part in [*node.body, *node.orelse]:
            self.visit(part)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        with self.scope.inner(node.args):
            for part in node.body:
                self.visit(part)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        with self.scope.inner(node.args):
            self.visit(node.body)


def _last_returns(function: Function) -> set[ast.AST]:
    """Return the `return` behind which the function has nothing, though a `with` is around it."""
    last: Any = function
    while isinstance(last, ast.FunctionDef | ast.With):
        last = last.body[-1]
    return {last} if isinstance(last, ast.Return) else set()
