"""Filters: every operator, what is refused, and the compiled matcher beside PostgreSQL's."""

import json
from typing import Any

import pytest

from subscriptions.documents import parse
from subscriptions.operators import FilterError
from subscriptions.patterns import Rows, compile_filter

ROW = """{
    "status": "confirmed", "total": 120.50, "note": null, "ip": "10.1.2.3", "tags": ["new", "vip"],
    "address": {"city": "Ålesund", "zip": "6001"},
    "lines": [{"sku": "A-1", "n": 2}, {"sku": "B-2", "n": 5}]
}"""


def inserted(text: str = ROW) -> Rows:
    row = parse(text)
    return Rows(row, after=row)


def updated(old: dict[str, Any], new: dict[str, Any]) -> Rows:
    before, after = parse(json.dumps(old)), parse(json.dumps(new))
    return Rows(after, before, after)


def deleted(row: dict[str, Any]) -> Rows:
    before = parse(json.dumps(row))
    return Rows(before, before=before)


MET = [
    {},
    {"status": "confirmed"},
    {"total": 120.5},
    {"note": None},
    {"tags": ["vip"]},
    {"tags": []},
    {"address": {"city": "Ålesund"}},
    {"address": {}},
    {"lines": [{"sku": "B-2"}]},
    {"status": {"prefix": "conf"}},
    {"status": {"prefix": {"equals-ignore-case": "CONF"}}},
    {"status": {"suffix": "med"}},
    {"address": {"city": {"equals-ignore-case": "ålESUND"}}},
    {"status": {"anything-but": "open"}},
    {"status": {"anything-but": ["open", 1, None]}},
    {"status": {"anything-but": {"prefix": ["o", "x"]}}},
    {"note": {"anything-but": "open"}},
    {"total": {"numeric": [">", 120, "<=", 120.5]}},
    {"total": {"numeric": ["=", 120.50]}},
    {"note": {"exists": True}},
    {"missing": {"exists": False}},
    {"address": {"street": {"exists": False}}},
    {"status": {"wildcard": "c*f*med"}},
    {"status": {"wildcard": "confirmed"}},
    {"ip": {"cidr": "10.0.0.0/8"}},
    {"status": ["open", {"prefix": "conf"}]},
    {"status": [{"prefix": "x"}, "confirmed"]},
    {"tags": [{"prefix": "vi"}]},
    {"tags": {"prefix": "vi"}},
    {"lines": [{"sku": {"prefix": "B"}, "n": {"numeric": [">", 4]}}]},
    {"$or": [{"status": "open"}, {"total": {"numeric": [">", 100]}}]},
    {"status": "confirmed", "$or": [{"note": 1}, {"$or": [{"note": None}]}]},
    {"address": {"$or": [{"zip": "0"}, {"zip": {"suffix": "01"}}]}},
    {"address": {"$literal": {"zip": "6001"}}},
    {"status": {"changed": True}},
    {"status": {"changed_to": "confirmed"}},
    {"status": {"enters": ["confirmed", {"prefix": "x"}]}},
    {"$enters": {"status": "confirmed", "total": {"numeric": [">", 100]}}},
]

NOT_MET = [
    {"status": "Confirmed"},
    {"total": "120.5"},
    {"missing": None},
    {"tags": "vip"},
    {"tags": ["vip", "old"]},
    {"address": {"city": "Ålesund", "street": "x"}},
    {"address": []},
    {"lines": [{"sku": "A-1", "n": 5}]},
    {"status": {}},
    {"total": {"prefix": "1"}},
    {"status": {"anything-but": ["confirmed"]}},
    {"status": {"anything-but": {"wildcard": "*rm*"}}},
    {"missing": {"anything-but": "x"}},
    {"total": {"numeric": ["<", 120.5]}},
    {"status": {"numeric": [">", 0]}},
    {"note": {"exists": False}},
    {"status": {"wildcard": "c*x*"}},
    {"status": {"wildcard": "confirmed*d"}},
    {"status": {"wildcard": "con*med*med"}},
    {"status": {"wildcard": r"\*"}},
    {"ip": {"cidr": "10.2.0.0/16"}},
    {"status": {"cidr": "10.0.0.0/8"}},
    {"lines": [{"sku": {"prefix": "A"}, "n": {"numeric": [">", 4]}}]},
    {"$or": [{"status": "open"}, {"total": 1}]},
    {"address": {"$literal": {"zip": "6002"}}},
    {"status": {"changed": False}},
    {"status": {"changed_from": "open"}},
    {"status": {"leaves": "confirmed"}},
    {"$leaves": {"status": "confirmed"}},
]


@pytest.mark.parametrize("pattern", MET, ids=json.dumps)
def test_an_inserted_row_meets(pattern: dict[str, Any]) -> None:
    assert compile_filter(pattern).matches(inserted())


@pytest.mark.parametrize("pattern", NOT_MET, ids=json.dumps)
def test_an_inserted_row_does_not_meet(pattern: dict[str, Any]) -> None:
    assert not compile_filter(pattern).matches(inserted())


@pytest.mark.parametrize(
    ("pattern", "old", "new", "met"),
    [
        ({"a": {"changed": True}}, {"a": 1}, {"a": 2}, True),
        ({"a": {"changed": True}}, {"a": 1}, {"a": 1.0}, False),
        ({"a": {"changed": True}}, {"a": 1}, {"a": True}, True),
        ({"a": {"changed": True}}, {"a": {"b": [1]}}, {"a": {"b": [1]}}, False),
        ({"a": {"changed": False}}, {"a": 1, "b": 1}, {"a": 1, "b": 2}, True),
        ({"a": {"changed_from": 1}}, {"a": 1}, {"a": 2}, True),
        ({"a": {"changed_from": 1}}, {"a": 1}, {"a": 1}, False),
        ({"a": {"changed_from": [3, {"numeric": ["<", 2]}]}}, {"a": 1}, {"a": 2}, True),
        ({"a": {"changed_to": None}}, {"a": 1}, {"a": None}, True),
        ({"a": {"changed_to": 2}}, {"a": 2}, {"a": 2}, False),
        ({"a": {"enters": [2, 3]}}, {"a": 1}, {"a": 2}, True),
        ({"a": {"enters": [2, 3]}}, {"a": 3}, {"a": 2}, False),
        ({"a": {"leaves": [2, 3]}}, {"a": 3}, {"a": 1}, True),
        ({"a": {"leaves": [2, 3]}}, {"a": 3}, {"a": 2}, False),
        ({"a": {"b": {"changed_to": 2}}}, {"a": {"b": 1}}, {"a": {"b": 2}}, True),
        ({"$enters": {"a": 1, "b": 1}}, {"a": 1, "b": 2}, {"a": 1, "b": 1}, True),
        ({"$enters": {"a": 1}}, {"a": 1, "b": 2}, {"a": 1, "b": 1}, False),
        ({"$leaves": {"a": 1, "b": 2}}, {"a": 1, "b": 2}, {"a": 1, "b": 1}, True),
        ({"$or": [{"a": {"changed": True}}, {"b": 9}]}, {"a": 1}, {"a": 2}, True),
    ],
)
def test_an_update_is_asked_how_it_changed(
    pattern: dict[str, Any], old: dict[str, Any], new: dict[str, Any], met: bool
) -> None:
    assert compile_filter(pattern).matches(updated(old, new)) is met


def test_a_deleted_row_leaves_what_it_met() -> None:
    row = deleted({"status": "open"})

    assert compile_filter({"status": {"leaves": "open"}}).matches(row)
    assert compile_filter({"$leaves": {"status": "open"}}).matches(row)
    assert compile_filter({"status": "open"}).matches(row)
    assert not compile_filter({"status": {"enters": "open"}}).matches(row)
    assert not compile_filter({"status": {"changed_to": "open"}}).matches(row)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ([], "must be an object"),
        ({"a": {"prefix": 1}}, "a.prefix takes a string"),
        ({"a": {"numeric": [">"]}}, "a.numeric takes pairs"),
        ({"a": {"numeric": ["!", 1]}}, "with =, <, <=, >, >="),
        ({"a": {"numeric": [">", True]}}, "takes pairs"),
        ({"a": {"exists": 1}}, "true or false"),
        ({"a": {"wildcard": "a**b"}}, r"\*\* is not allowed"),
        ({"a": {"wildcard": "a\\b"}}, "stands before"),
        ({"a": {"cidr": "10.0.0.1/8"}}, "takes a network"),
        ({"a": {"anything-but": []}}, "a scalar or a list"),
        ({"a": {"anything-but": {"numeric": ["=", 1]}}}, "takes one of prefix"),
        ({"a": {"prefix": "x", "suffix": "y"}}, "takes one operator"),
        ({"a": {"changed": "yes"}}, "true or false"),
        ({"a": {"changed_to": {"changed": True}}}, "takes values, or operators on them"),
        ({"a": {"enters": []}}, "met by nothing"),
        ({"$or": {}}, "takes a list of one or more filters"),
        ({"$or": [{}]}, "ask something"),
        ({"$and": []}, "is none of"),
        ({"a": {"$enters": {"b": 1}}}, "at the top only"),
        ({"$enters": {}}, "asks something"),
        ({"$enters": {"a": {"changed": True}}}, "not how it changed"),
        ({"a": [{"b": {"changed": True}}]}, "no value before"),
        ({"a": {f"k{number}": number for number in range(501)}}, "500 are allowed"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(pattern: Any, says: str) -> None:
    with pytest.raises(FilterError, match=says):
        compile_filter(pattern)


@pytest.mark.parametrize("wrap", [lambda x: {"a": x}, lambda x: {"a": [x]}, lambda x: {"$or": [x]}])
def test_a_filter_of_a_thousand_levels_is_refused(wrap: Any) -> None:
    pattern: Any = {"a": {"prefix": "x"}}
    for _ in range(1000):
        pattern = wrap(pattern)

    with pytest.raises(FilterError, match="deeper than 100"):
        compile_filter(pattern)


def test_each_condition_says_whether_it_is_met_and_by_what() -> None:
    pattern = compile_filter({"status": "open", "total": {"numeric": [">", 100]}, "missing": 1})

    verdicts = pattern.verdicts(inserted())

    assert [(one.path, one.is_met, one.is_there) for one in verdicts] == [
        ("status", False, True),
        ("total", True, True),
        ("missing", False, False),
    ]
    assert verdicts[0].found == "confirmed"
