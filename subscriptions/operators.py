"""The operators of filters: what a value, or its change, is asked. No Django.

An operator stands where a value would: `{"total": {"numeric": [">", 100]}}`. Those of values are
named and behave as in Amazon EventBridge's event patterns
(https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html); those
of changes compare the row before and after.
"""

import operator
from collections.abc import Callable, Iterable
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from subscriptions.filters import is_scalar, scalar

ABSENT: Any = object()  # a value that is not there; JSON's null is one that is

Test = Callable[[Any], bool]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class FilterError(ValueError):
    """A filter that cannot be; the text says where, what is wrong and what is allowed."""


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal as jsonb's are: 1 and 1.0 are, 1 and "1" and true not."""
    if one is ABSENT or other is ABSENT:
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return is_scalar(one) and is_scalar(other) and scalar(one) == scalar(other)


# Of values ----------------------------------------------------------------------------------------


def equals(wanted: Any) -> Test:
    return lambda value: value is not ABSENT and same(value, wanted)


def _text(wanted: Any, *, where: str) -> str:
    if not isinstance(wanted, str):
        raise FilterError(f"{where} takes a string, not {wanted!r:.60}")
    return wanted


def _folded(wanted: Any, *, where: str, test: Callable[[str, str], bool]) -> Test:
    """A test of strings with a string, or with `{"equals-ignore-case": string}`."""
    if isinstance(wanted, dict) and set(wanted) == {"equals-ignore-case"}:
        folded = _text(wanted["equals-ignore-case"], where=where).casefold()
        return lambda value: isinstance(value, str) and test(value.casefold(), folded)
    text = _text(wanted, where=where)
    return lambda value: isinstance(value, str) and test(value, text)


def prefix(wanted: Any, *, where: str) -> Test:
    return _folded(wanted, where=where, test=str.startswith)


def suffix(wanted: Any, *, where: str) -> Test:
    return _folded(wanted, where=where, test=str.endswith)


def equals_ignore_case(wanted: Any, *, where: str) -> Test:
    text = _text(wanted, where=where).casefold()
    return lambda value: isinstance(value, str) and value.casefold() == text


def numeric(wanted: Any, *, where: str) -> Test:
    """Of `[">", 0, "<=", 5]`: every comparison holds. Exact, however many digits."""
    pairs = wanted if isinstance(wanted, list) else []
    found = list(zip(pairs[::2], pairs[1::2], strict=False))
    if not pairs or len(pairs) % 2 or not all(_is_comparison(*pair) for pair in found):
        allowed = ", ".join(COMPARISONS)
        raise FilterError(
            f'{where} takes pairs such as [">", 0, "<=", 5] with {allowed}, not {wanted!r:.60}'
        )
    tests = [(COMPARISONS[name], _number(bound)) for name, bound in found]
    return lambda value: _is_number(value) and all(test(value, bound) for test, bound in tests)


def _is_comparison(name: Any, bound: Any) -> bool:
    return isinstance(name, str) and name in COMPARISONS and _is_number(bound)


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _number(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value


def exists(wanted: Any, *, where: str) -> Test:
    if not isinstance(wanted, bool):
        raise FilterError(f"{where} takes true or false, not {wanted!r:.60}")
    return lambda value: (value is not ABSENT) is wanted


def wildcard(wanted: Any, *, where: str) -> Test:
    r"""`*` stands for any characters, `\*` and `\\` for themselves; linear in the value."""
    parts = _parts(_text(wanted, where=where), where=where)
    return lambda value: isinstance(value, str) and _fits(value, parts)


def _parts(pattern: str, *, where: str) -> list[str]:
    parts, escaped, starred = [""], False, False
    for character in pattern:
        if escaped and character not in "*\\":
            raise FilterError(rf"{where}: a \ stands before * or \ only, in {pattern!r:.60}")
        if not escaped and character == "*":
            if starred:
                raise FilterError(f"{where}: ** is not allowed, one * does; in {pattern!r:.60}")
            parts.append("")
            starred = True
            continue
        starred = False
        if not escaped and character == "\\":
            escaped = True
            continue
        parts[-1] += character
        escaped = False
    if escaped:
        raise FilterError(rf"{where}: a \ stands before * or \ only, in {pattern!r:.60}")
    return parts


def _fits(value: str, parts: list[str]) -> bool:
    first, *others = parts
    if not others:
        return value == first
    *middle, last = others
    if len(value) < len(first) + len(last):
        return False
    if not (value.startswith(first) and value.endswith(last)):
        return False
    at, end = len(first), len(value) - len(last)
    for part in middle:
        at = value.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def cidr(wanted: Any, *, where: str) -> Test:
    try:
        network = ip_network(_text(wanted, where=where))
    except ValueError as error:
        raise FilterError(f"{where} takes a network such as 10.0.0.0/24: {error}") from error
    return lambda value: isinstance(value, str) and _is_in(value, network)


def _is_in(value: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(value) in network
    except ValueError:
        return False


def anything_but(wanted: Any, *, where: str) -> Test:
    """A value that is there and is none of these: scalars, or one operator on strings."""
    if isinstance(wanted, dict):
        refused = _refused(wanted, where=where)
    else:
        values = wanted if isinstance(wanted, list) else [wanted]
        if not values or not all(map(is_scalar, values)):
            raise FilterError(f"{where} takes a scalar or a list of them, not {wanted!r:.60}")
        refused = any_of(map(equals, values))
    return lambda value: value is not ABSENT and not refused(value)


REFUSABLE = {
    "prefix": prefix,
    "suffix": suffix,
    "equals-ignore-case": equals_ignore_case,
    "wildcard": wildcard,
}


def _refused(wanted: dict[str, Any], *, where: str) -> Test:
    name = next(iter(wanted), None)
    if len(wanted) != 1 or name not in REFUSABLE:
        raise FilterError(
            f"{where} takes one of {', '.join(REFUSABLE)}, not {', '.join(wanted) or 'nothing'}"
        )
    values = wanted[name] if isinstance(wanted[name], list) else [wanted[name]]
    if not values:
        raise FilterError(f"{where}.{name} takes a string or a list of them, not []")
    return any_of([REFUSABLE[name](value, where=f"{where}.{name}") for value in values])


def any_of(tests: Iterable[Test]) -> Test:
    found = list(tests)
    return lambda value: any(test(value) for test in found)


OF_VALUES: dict[str, Callable[..., Test]] = {
    "prefix": prefix,
    "suffix": suffix,
    "anything-but": anything_but,
    "numeric": numeric,
    "exists": exists,
    "equals-ignore-case": equals_ignore_case,
    "wildcard": wildcard,
    "cidr": cidr,
}

# Of changes ---------------------------------------------------------------------------------------

Change = Callable[[Any, Any], bool]  # of the value before and after; ABSENT where there is no row


def changed(wanted: bool) -> Change:
    return lambda old, new: (not same(old, new)) is wanted


def changed_from(test: Test) -> Change:
    return lambda old, new: not same(old, new) and test(old)


def changed_to(test: Test) -> Change:
    return lambda old, new: not same(old, new) and test(new)


def enters(test: Test) -> Change:
    return lambda old, new: test(new) and not test(old)


def leaves(test: Test) -> Change:
    return lambda old, new: test(old) and not test(new)


OF_CHANGES: dict[str, Callable[[Test], Change]] = {
    "changed_from": changed_from,
    "changed_to": changed_to,
    "enters": enters,
    "leaves": leaves,
}
NAMES = frozenset({*OF_VALUES, *OF_CHANGES, "changed"})
