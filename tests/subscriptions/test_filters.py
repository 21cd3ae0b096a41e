"""The containment matcher beside PostgreSQL's own `@>`."""

import json

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subscriptions.documents import parse
from subscriptions.filters import check_depth, contains, value_at
from subscriptions.patterns import Rows, compile_filter

# Few values, so that pairs often contain each other; numbers as text, as JSON has them.
scalars = st.sampled_from(
    [
        "null",
        "true",
        "false",
        "0",
        "1",
        "1.0",
        "-0",
        "1e0",
        "10e-1",
        '"1"',
        '"a"',
        '"A"',
        '""',
        '"\\u00e9"',
        '"e\\u0301"',
        "1e400",
        "12345678901234567890123",
        "0.1",
        "0.10",
    ]
)
names = st.sampled_from(["a", "b", ""])
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | st.dictionaries(names, inner, max_size=2).map(
            lambda parts: "{" + ", ".join(f"{json.dumps(k)}: {v}" for k, v in parts.items()) + "}"
        )
    ),
    max_leaves=6,
)


def in_postgres(pairs: list[tuple[str, str]]) -> list[bool]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d::jsonb @> p::jsonb FROM unnest(%s::text[], %s::text[])"
            " WITH ORDINALITY AS t (d, p, n) ORDER BY n",
            [[document for document, _ in pairs], [pattern for _, pattern in pairs]],
        )
        return [held for (held,) in cursor.fetchall()]


@pytest.mark.django_db
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(documents, documents), min_size=20, max_size=60))
def test_containment_is_what_postgres_says(pairs: list[tuple[str, str]]) -> None:
    # A document against parts of itself, too: unrelated pairs rarely match.
    pairs = pairs + [(document, document) for document, _ in pairs]
    pairs += [
        (f'{{"a": {document}, "b": 1}}', f'{{"a": {pattern}}}') for document, pattern in pairs
    ]

    ours = [contains(parse(document), parse(pattern)) for document, pattern in pairs]

    assert ours == in_postgres(pairs)


@given(documents, documents)
def test_what_matches_has_every_indexed_equality(document: str, pattern: str) -> None:
    found, wanted = parse(document), parse(pattern)

    if isinstance(wanted, dict) and contains(found, wanted):
        atoms = compile_filter(wanted).atoms()
        assert all(value_at(found, path) == value for path, value in atoms)


@given(documents, documents)
def test_a_filter_without_operators_is_containment(document: str, pattern: str) -> None:
    found, wanted = {"a": parse(document)}, {"a": parse(pattern)}

    assert compile_filter(wanted).matches(Rows(found)) == contains(found, wanted)


def test_a_pattern_of_a_thousand_levels_is_refused() -> None:
    pattern: object = 1
    for _ in range(1000):
        pattern = {"a": pattern}

    with pytest.raises(ValueError, match="deeper than 100"):
        check_depth(pattern)


@pytest.mark.parametrize("number", ["0.1", "1.0", "19.99", "1e3", "-2.50", "1e-7"])
def test_a_filter_read_by_django_meets_the_same_number_in_a_row(number: str) -> None:
    document = parse(f'{{"price": {number}}}')
    pattern = json.loads(f'{{"price": {number}}}')

    assert contains(document, pattern)
    assert list(compile_filter(pattern).atoms()) == [(("price",), value_at(document, ("price",)))]
