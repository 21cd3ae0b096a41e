"""Filters: containment and operators, compiled once and asked of each event. No Django.

    {"status": "confirmed"}                              jsonb `@>`
    {"total": {"numeric": [">", 100]}}                   an operator where a value would stand
    {"status": ["new", {"prefix": "on-"}]}               with an operator in it: one of these
    {"status": {"changed_to": ["confirmed", "paid"]}}    what it was, and is
    {"$or": [{"total": …}, {"status": …}]}               one of these filters
    {"$enters": {"status": "open", "total": …}}          the row meets it now, and did not before
    {"data": {"$literal": {"prefix": "+47"}}}            a value that looks like an operator

A row that was inserted has no values before, a deleted one none after; so an INSERT enters what it
meets, and everything in it has changed. Of a DELETE the old row is asked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from subscriptions import operators
from subscriptions.filters import Path, Scalar, check_depth, contains, is_scalar, scalar
from subscriptions.operators import ABSENT, NAMES, OF_CHANGES, OF_VALUES, FilterError, Test

OR, ENTERS, LEAVES, LITERAL = "$or", "$enters", "$leaves", "$literal"
MOST = 500  # conditions


class Asked(Protocol):
    """What a filter is asked of: the document, and the row before and after, ABSENT where there is
    none.
    """

    @property
    def document(self) -> Any: ...

    @property
    def before(self) -> Any: ...

    @property
    def after(self) -> Any: ...


@dataclass(frozen=True)
class Rows:
    """Documents to ask a filter of."""

    document: Any
    before: Any = ABSENT
    after: Any = ABSENT


@dataclass(frozen=True)
class Verdict:
    """One condition of a filter and whether an event meets it: `found` is the value that decided,
    None with `is_there` False where there is none; of a change, it is what was `before` and is
    `after`.
    """

    path: str
    wanted: Any
    is_met: bool
    found: Any = None
    is_there: bool = True
    of_change: bool = False
    before: Any = None
    after: Any = None


@dataclass(frozen=True)
class Condition:
    """One thing that is asked; `atom` is the equality that whatever meets it has, for an index."""

    path: Path
    wanted: Any
    test: Callable[[Asked], bool]
    atom: tuple[Path, Scalar] | None = None
    of_change: bool = False

    def verdict(self, rows: Asked) -> Verdict:
        """Explain what the condition says of an event."""
        made = Verdict(".".join(self.path), self.wanted, self.test(rows))
        if not self.path:
            return made
        if self.of_change:
            before, after = value_at(rows.before, self.path), value_at(rows.after, self.path)
            return replace(made, of_change=True, before=_or_none(before), after=_or_none(after))
        found = value_at(rows.document, self.path)
        return replace(made, found=_or_none(found), is_there=found is not ABSENT)


@dataclass(frozen=True)
class Pattern:
    """A compiled filter: all its conditions hold."""

    conditions: tuple[Condition, ...]
    names: frozenset[str]  # the columns, or members of the payload, that it asks for

    def matches(self, rows: Asked) -> bool:
        return all(condition.test(rows) for condition in self.conditions)

    def verdicts(self, rows: Asked) -> list[Verdict]:
        """Say of each condition whether it is met, and by what."""
        return [condition.verdict(rows) for condition in self.conditions]

    def atoms(self) -> Iterator[tuple[Path, Scalar]]:
        """Yield equalities that every document that matches has."""
        for condition in self.conditions:
            if condition.atom is not None:
                yield condition.atom

    @property
    def is_one_equality(self) -> bool:
        """Whether what has the pattern's atom matches: there is nothing else to ask."""
        if len(self.conditions) != 1:
            return False
        [only] = self.conditions
        return only.atom is not None and not only.of_change

    @property
    def asks_for_changes(self) -> bool:
        return any(condition.of_change for condition in self.conditions)


def _or_none(value: Any) -> Any:
    return None if value is ABSENT else value


def value_at(document: Any, path: Path) -> Any:
    """Return the value at a path of object keys, ABSENT if there is none."""
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return ABSENT
        document = document[name]
    return document


def compile_filter(pattern: Any) -> Pattern:
    """Return the filter compiled; raises FilterError for what cannot be."""
    if not isinstance(pattern, dict):
        raise FilterError("must be an object; {} matches all")
    try:
        check_depth(pattern)
    except ValueError as error:
        raise FilterError(str(error)) from error
    names: set[str] = set()
    conditions = tuple(_members(pattern, (), names))
    if len(conditions) > MOST:
        raise FilterError(f"has {len(conditions)} conditions; {MOST} are allowed")
    return Pattern(conditions, frozenset(names))


def with_leaving(pattern: dict[str, Any]) -> dict[str, Any]:
    """Return the filter widened by the rows that stop meeting it; itself where that says nothing:
    it matches all, asks how rows change, or is too deep already.
    """
    widened = {OR: [pattern, {LEAVES: pattern}]}
    try:
        compile_filter(widened)
    except FilterError:
        return pattern
    return widened


def _members(pattern: dict[str, Any], path: Path, names: set[str]) -> Iterator[Condition]:
    for name, wanted in pattern.items():
        if name == OR:
            yield _or(wanted, path, names)
        elif name in (ENTERS, LEAVES):
            yield _whole_row(name, wanted, path, names)
        elif name.startswith("$"):
            allowed = ", ".join((OR, ENTERS, LEAVES))
            raise FilterError(f"{_shown((*path, name))} is none of {allowed}")
        else:
            if not path:
                names.add(name)
            yield from _value(wanted, (*path, name), names)


def _or(wanted: Any, path: Path, names: set[str]) -> Condition:
    where = _shown((*path, OR))
    if not isinstance(wanted, list) or not wanted:
        raise FilterError(f"{where} takes a list of one or more filters, not {wanted!r:.60}")
    branches = []
    for member in wanted:
        if not isinstance(member, dict) or not member:
            raise FilterError(f"{where} takes filters that ask something, not {member!r:.60}")
        branches.append(tuple(_members(member, path, names)))

    def test(rows: Asked) -> bool:
        return any(all(one.test(rows) for one in branch) for branch in branches)

    of_change = any(one.of_change for branch in branches for one in branch)
    return Condition((), {OR: wanted}, test, of_change=of_change)


def _whole_row(name: str, wanted: Any, path: Path, names: set[str]) -> Condition:
    if path:
        raise FilterError(f"{_shown((*path, name))}: {name} stands at the top only")
    inner = compile_filter(wanted)
    if not inner.conditions:
        raise FilterError(f"{name} takes a filter that asks something")
    if inner.asks_for_changes:
        raise FilterError(f"{name} asks what a row is, not how it changed")
    names |= inner.names

    def holds(row: Any) -> bool:
        return row is not ABSENT and inner.matches(Rows(row))

    def test(rows: Asked) -> bool:
        before, after = holds(rows.before), holds(rows.after)
        return (after and not before) if name == ENTERS else (before and not after)

    return Condition((), {name: wanted}, test, of_change=True)


def _value(wanted: Any, path: Path, names: set[str]) -> Iterator[Condition]:
    if _is_operator(wanted):
        ((name, argument),) = wanted.items()
        yield _operator(name, argument, path, wanted)
    elif isinstance(wanted, dict) and set(wanted) == {LITERAL}:
        yield _contained(wanted[LITERAL], path)
    elif isinstance(wanted, dict) and wanted:
        if len(wanted) > 1 and wanted.keys() <= NAMES:
            raise FilterError(
                f"{_shown(path)} takes one operator, not {', '.join(wanted)};"
                f" an object with such members is asked for by {LITERAL}"
            )
        yield from _members(wanted, path, names)
    elif isinstance(wanted, list) and any(map(_is_operator, wanted)):
        yield _of_values(alternatives(wanted, path), path, wanted)
    elif isinstance(wanted, list):
        for member in wanted or [wanted]:
            yield _element(member, path) if wanted else _contained(wanted, path)
    else:
        yield _contained(wanted, path)


def _is_operator(wanted: Any) -> bool:
    return isinstance(wanted, dict) and len(wanted) == 1 and next(iter(wanted)) in NAMES


def _element(wanted: Any, path: Path) -> Condition:
    """Some element of the array meets it: contains it, or is an object that meets the filter."""
    if not isinstance(wanted, dict) or not _asks(wanted):
        return _contained([wanted], path)
    inner = tuple(_members(wanted, (), set()))
    if any(condition.of_change for condition in inner):
        raise FilterError(f"{_shown(path)}: an element of an array has no value before")

    def test(rows: Asked) -> bool:
        value = value_at(rows.document, path)
        return isinstance(value, list) and any(
            all(condition.test(Rows(element)) for condition in inner) for element in value
        )

    return Condition(path, [wanted], test)


def _asks(wanted: Any) -> bool:
    """Whether there is an operator anywhere in it."""
    if isinstance(wanted, dict):
        return not NAMES.isdisjoint(wanted) or OR in wanted or any(map(_asks, wanted.values()))
    return isinstance(wanted, list) and any(map(_asks, wanted))


def _contained(wanted: Any, path: Path) -> Condition:
    """Containment, as jsonb's `@>` has it below the top level."""
    atom = (path, scalar(wanted)) if is_scalar(wanted) else None

    def test(rows: Asked) -> bool:
        value = value_at(rows.document, path)
        return value is not ABSENT and contains([value], [wanted])

    return Condition(path, wanted, test, atom)


def _operator(name: str, argument: Any, path: Path, wanted: Any) -> Condition:
    where = _shown((*path, name))
    if name in OF_VALUES:
        return _of_values(OF_VALUES[name](argument, where=where), path, wanted)
    if name == "changed":
        if not isinstance(argument, bool):
            raise FilterError(f"{where} takes true or false, not {argument!r:.60}")
        return _of_changes(operators.changed(argument), path, wanted)
    change = OF_CHANGES[name](alternatives(argument, (*path, name)))
    # What becomes a value has it now.
    becomes = name in ("changed_to", "enters") and is_scalar(argument)
    return _of_changes(change, path, wanted, (path, scalar(argument)) if becomes else None)


def alternatives(wanted: Any, path: Path) -> Test:
    """Return the test of a scalar, an operator on values, or a list of these: one of them."""
    if isinstance(wanted, list):
        if not wanted:
            raise FilterError(f"{_shown(path)}: an empty list is met by nothing")
        return operators.any_of([alternatives(one, path) for one in wanted])
    if isinstance(wanted, dict):
        name = next(iter(wanted), "")
        if len(wanted) != 1 or name not in OF_VALUES:
            allowed = ", ".join(OF_VALUES)
            raise FilterError(
                f"{_shown(path)} takes values, or operators on them ({allowed}), not {wanted!r:.60}"
            )
        return OF_VALUES[name](wanted[name], where=_shown((*path, name)))
    return operators.equals(wanted)


def _of_values(test: Test, path: Path, wanted: Any) -> Condition:
    """Of an array, one of its elements may meet it, as in EventBridge."""

    def meets(rows: Asked) -> bool:
        value = value_at(rows.document, path)
        return test(value) or (isinstance(value, list) and any(map(test, value)))

    return Condition(path, wanted, meets)


def _of_changes(
    change: operators.Change, path: Path, wanted: Any, atom: tuple[Path, Scalar] | None = None
) -> Condition:
    def test(rows: Asked) -> bool:
        return change(value_at(rows.before, path), value_at(rows.after, path))

    return Condition(path, wanted, test, atom, of_change=True)


def _shown(path: Path) -> str:
    return ".".join(path)
