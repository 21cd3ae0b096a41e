"""Compiled filters beside a reader of filters that compiles nothing."""

import re
from fnmatch import translate
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from subscriptions.filters import contains
from subscriptions.patterns import Rows, compile_filter

NOTHING: Any = object()

# Few, so that rows often meet filters and often stay what they were.
values = st.sampled_from([None, 1, 2, "a", "ab", "aBc", "10.0.0.1", True, ["a", 1], {"b": 1}])
scalars = st.sampled_from([None, 1, 2, "a", "ab"])
texts = st.sampled_from(["a", "A", "bC"])
operators = st.one_of(
    st.builds(lambda x: {"prefix": x}, texts),
    st.builds(lambda x: {"suffix": {"equals-ignore-case": x}}, texts),
    st.builds(lambda x: {"equals-ignore-case": x}, texts),
    st.builds(lambda x: {"anything-but": x}, st.lists(scalars, min_size=1, max_size=2)),
    st.builds(lambda x: {"anything-but": {"prefix": x}}, texts),
    st.builds(lambda n, m: {"numeric": [">", n, "<=", m]}, st.integers(0, 1), st.integers(1, 2)),
    st.builds(lambda x: {"exists": x}, st.booleans()),
    st.builds(lambda x: {"wildcard": x}, st.sampled_from(["a*", "*b", "a*c", "*B*", "a*ab"])),
    st.just({"cidr": "10.0.0.0/24"}),
)
alternatives = scalars | st.lists(scalars | operators, min_size=1, max_size=2)
changes = st.one_of(
    st.builds(lambda x: {"changed": x}, st.booleans()),
    *(
        st.builds(lambda x, name=name: {name: x}, alternatives)
        for name in ("changed_from", "changed_to", "enters", "leaves")
    ),
)
wanted = st.one_of(
    values, operators, changes, st.lists(operators | scalars, min_size=1, max_size=2)
)
plain = st.dictionaries(st.sampled_from(["a", "b"]), values | operators, min_size=1, max_size=2)
filters = st.dictionaries(st.sampled_from(["a", "b"]), wanted, min_size=1, max_size=2) | st.builds(
    lambda members, key, other: {**members, key: other},
    st.dictionaries(st.sampled_from(["a", "b"]), wanted, max_size=1),
    st.sampled_from(["$enters", "$leaves"]),
    plain,
)
filters |= st.builds(lambda one, other: {"$or": [one, other]}, plain, plain)
rows = st.dictionaries(st.sampled_from(["a", "b"]), values, min_size=1, max_size=2)


def equal(one: Any, other: Any) -> bool:
    if one is NOTHING or other is NOTHING:
        return one is other
    return contains([one], [other]) and contains([other], [one])


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def meets(operator: Any, value: Any) -> bool:
    if not isinstance(operator, dict):
        return value is not NOTHING and equal(value, operator)
    ((name, given_value),) = operator.items()
    found = text(value)
    if name == "exists":
        return (value is not NOTHING) is given_value
    if name == "anything-but" and isinstance(given_value, dict):
        return value is not NOTHING and not meets(given_value, value)
    if name == "anything-but":
        return value is not NOTHING and not any(equal(value, one) for one in given_value)
    if name == "numeric":
        is_number = type(value) is int
        return is_number and bool(given_value[1] < value <= given_value[3])
    if found is None:
        return False
    if name == "prefix":
        return str(given_value) == found[: len(given_value)]
    if name == "suffix":
        return found.lower().endswith(str(given_value["equals-ignore-case"]).lower())
    if name == "equals-ignore-case":
        return str(given_value).lower() == found.lower()
    if name == "wildcard":
        return re.match(translate(given_value), found) is not None
    assert name == "cidr"
    return bool(re.fullmatch(r"[0-9.]{7,}", found)) and ip_address(found) in ip_network(given_value)


def any_meets(given_values: Any, value: Any) -> bool:
    options = given_values if isinstance(given_values, list) else [given_values]
    return any(meets(one, value) for one in options)


def is_operator(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {"b"}


def holds(wish: Any, before: Any, after: Any, document: Any) -> bool:
    """What one member of a filter says, the value before, after, and in the document given."""
    if is_operator(wish):
        ((name, given_value),) = wish.items()
        moved = not equal(before, after)
        if name == "changed":
            return moved is given_value
        if name == "changed_from":
            return moved and any_meets(given_value, before)
        if name == "changed_to":
            return moved and any_meets(given_value, after)
        if name == "enters":
            return any_meets(given_value, after) and not any_meets(given_value, before)
        if name == "leaves":
            return any_meets(given_value, before) and not any_meets(given_value, after)
    if is_operator(wish) or (isinstance(wish, list) and any(map(is_operator, wish))):
        elements = document if isinstance(document, list) else []
        return any(any_meets(wish, value) for value in [document, *elements])
    return document is not NOTHING and contains([document], [wish])


def naive(pattern: dict[str, Any], before: Any, after: Any) -> bool:
    document = before if after is NOTHING else after

    def at(row: Any, name: str) -> Any:
        return NOTHING if row is NOTHING else row.get(name, NOTHING)

    def is_in(inner: dict[str, Any], row: Any) -> bool:
        return row is not NOTHING and naive(inner, NOTHING, row)

    for name, wish in pattern.items():
        if name == "$or":
            met = any(naive(one, before, after) for one in wish)
        elif name == "$enters":
            met = is_in(wish, after) and not is_in(wish, before)
        elif name == "$leaves":
            met = is_in(wish, before) and not is_in(wish, after)
        else:
            met = holds(wish, at(before, name), at(after, name), at(document, name))
        if not met:
            return False
    return True


def asked(before: Any, after: Any) -> Rows:
    given_rows = {}
    if before is not NOTHING:
        given_rows["before"] = before
    if after is not NOTHING:
        given_rows["after"] = after
    return Rows(before if after is NOTHING else after, **given_rows)


@settings(max_examples=1000, deadline=None)
@given(filters, rows, rows, st.sampled_from(["UPDATE", "UPDATE", "INSERT", "DELETE"]))
def test_a_compiled_filter_says_what_a_plain_reader_does(
    pattern: dict[str, Any], old: dict[str, Any], new: dict[str, Any], operation: str
) -> None:
    before = NOTHING if operation == "INSERT" else old
    after = NOTHING if operation == "DELETE" else new

    compiled = compile_filter(pattern)

    assert compiled.matches(asked(before, after)) == naive(pattern, before, after)
