"""JSON as RFC 8259 has it, and no more of it than an event may hold. No Django here."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from subscriptions.errors import RefusedMessage
from subscriptions.ingest.reasons import Reason

MOST_BYTES = 1024 * 1024  # as SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/
MOST_LEVELS = 100
MOST_NAMES = 10_000  # in an object
LONGEST_NUMBER = 254  # characters
# Digits. PostgreSQL writes 1e-16000 out: a message of those would take a gigabyte of its memory.
LONGEST_EXPONENT = 3

# A name without escapes, as nearly all are, and the colon after it.
_plain_name = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')
# What stands after a value in an object.
_mark = re.compile(r"[ \t\n\r]*([,}])[ \t\n\r]*")
_exponent = re.compile(r"[eE][+-]?0*([0-9]*)$")
_surrogate = re.compile(r"\\u[dD][89a-fA-F]")
_blank = re.compile(r"[ \t\n\r]*")
# A string, whole or to the end of the text, or a bracket. It never goes back: linear in any text.
_bracket = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class Member(NamedTuple):
    """A member of the outermost object: its value, and the text of that as it was sent."""

    value: Any
    text: str


def members(text: str) -> dict[str, Member]:
    """Return the members of the JSON object that the text is, or raise RefusedMessage.

    Whole numbers are int, others float; the texts keep every digit. NaN, an infinity, a name given
    twice, half of a surrogate pair, and what is too large are refused.
    """
    _check_size(text)
    try:
        found = _members(text)
    except json.JSONDecodeError as error:
        raise RefusedMessage(Reason.NOT_JSON, f"{error.msg} at character {error.pos}") from None
    except RecursionError:  # called from deep down
        raise RefusedMessage(Reason.TOO_DEEP, "nested deeper than can be read here") from None
    if _surrogate.search(text):
        _check_pairs([list(found), [member.value for member in found.values()]])
    return found


def elements(text: str) -> list[str]:
    """Return the text of each element of the JSON array that the text is; of another value, that.

    Raises RefusedMessage if it is no array that can be read; the elements are not looked into.
    """
    if text.count("{") + text.count("[") > MOST_LEVELS and _is_too_deep(text):
        raise RefusedMessage(Reason.TOO_DEEP, f"nested deeper than {MOST_LEVELS} levels")
    start = _skip(text, 0)
    if text[start : start + 1] != "[":
        return [text]
    try:
        return list(_elements(text, _skip(text, start + 1)))
    except json.JSONDecodeError as error:
        raise RefusedMessage(Reason.NOT_JSON, f"{error.msg} at character {error.pos}") from None


def _elements(text: str, at: int) -> Iterator[str]:
    while text[at : at + 1] != "]":
        _, end = _decoder.raw_decode(text, at)
        yield text[at:end]
        at = _skip(text, end)
        if text[at : at + 1] != "]":
            at = _expect(",", text, at)
            if text[at : at + 1] == "]":
                raise json.JSONDecodeError("a value must follow the comma", text, at)
    if _skip(text, at + 1) != len(text):
        raise json.JSONDecodeError("more follows the array's end", text, at + 1)


def _check_size(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        problem = f"character {error.start} is half of a surrogate pair"
        raise RefusedMessage(Reason.NOT_UTF8, problem) from None
    if size > MOST_BYTES:
        raise RefusedMessage(Reason.TOO_LARGE, f"{size:,} bytes; at most {MOST_BYTES:,}")
    if text.count("{") + text.count("[") > MOST_LEVELS and _is_too_deep(text):
        raise RefusedMessage(Reason.TOO_DEEP, f"nested deeper than {MOST_LEVELS} levels")


def _check_pairs(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RefusedMessage(Reason.NOT_UTF8, "an escape is half of a surrogate pair") from None


def _is_too_deep(text: str) -> bool:
    level = 0
    for found in _bracket.finditer(text):
        bracket = found.group()
        level += (bracket in "{[") - (bracket in "}]")
        if level > MOST_LEVELS:
            return True
    return False


def _members(text: str) -> dict[str, Member]:
    """Return the members of the outermost object; raises JSONDecodeError."""
    found: dict[str, Member] = {}
    at = _expect("{", text, _skip(text, 0))
    goes_on = text[at : at + 1] != "}"
    if not goes_on:
        at = _skip(text, at + 1)
    while goes_on:
        name, begin = _name(text, at)
        value, end = _decoder.raw_decode(text, begin)
        if name in found:
            raise RefusedMessage(Reason.DUPLICATE_NAME, f"{name!r} is given twice in one object")
        found[name] = Member(value, text[begin:end])
        mark = _mark.match(text, end)
        if mark is None:
            raise json.JSONDecodeError("expected ',' or '}'", text, end)
        at, goes_on = mark.end(), mark.group(1) == ","
    if at != len(text):
        raise json.JSONDecodeError("more follows the object's end", text, at)
    if len(found) > MOST_NAMES:
        raise _too_many(len(found))
    return found


def _too_many(count: int) -> RefusedMessage:
    problem = f"an object of {count:,} names; at most {MOST_NAMES:,}"
    return RefusedMessage(Reason.TOO_LARGE, problem)


def _name(text: str, at: int) -> tuple[str, int]:
    """Return a member's name and where its value begins."""
    found = _plain_name.match(text, at)
    if found is not None:
        return found.group(1), found.end()
    name, end = _decoder.raw_decode(text, at)
    if not isinstance(name, str):
        raise json.JSONDecodeError("a name must be a string", text, at)
    return name, _expect(":", text, _skip(text, end))


def _expect(mark: str, text: str, at: int) -> int:
    """Return where the text goes on after the mark and blanks."""
    if text[at : at + 1] != mark:
        wanted = "an object, so '{'" if mark == "{" else repr(mark)
        raise json.JSONDecodeError(f"expected {wanted}", text, at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _blank.match(text, at)
    return at if found is None else found.end()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedMessage(
            Reason.DUPLICATE_NAME, f"{_first_twice(pairs)!r} is given twice in one object"
        )
    if len(found) > MOST_NAMES:
        raise _too_many(len(found))
    return found


def _first_twice(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    return next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # None


def _integer(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise RefusedMessage(Reason.BAD_NUMBER, f"a number of {len(text):,} digits; at most 254")
    return int(text)


def _float(text: str) -> float:
    found = float(text)
    exponent = _exponent.search(text)
    is_odd = exponent is not None and len(exponent.group(1)) > LONGEST_EXPONENT
    if is_odd or len(text) > LONGEST_NUMBER or math.isinf(found):
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        problem = f"the number {shown}: 254 characters, and exponents from -999 to 308, are taken"
        raise RefusedMessage(Reason.BAD_NUMBER, problem)
    return found


def _constant(name: str) -> NoReturn:
    raise RefusedMessage(Reason.NOT_JSON, f"{name} is no JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
