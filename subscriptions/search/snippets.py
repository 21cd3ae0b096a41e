"""What is shown of a hit: text with the words that were asked for marked, as safe HTML."""

from collections.abc import Sequence
from html import escape

from subscriptions.search.words import WORD, fold

WIDTH = 200  # characters of a snippet
BEFORE = 60  # of them before the first word that matches


def marked(text: str, asked: Sequence[str]) -> str:
    """Return the text escaped, with `<mark>` around the words that begin with one of those asked
    for, which are folded.
    """
    return _marked(text, 0, len(text), _places(text, asked))


def snippet(text: str, asked: Sequence[str]) -> str:
    """Return the part of the text around its first match, marked; else its beginning."""
    places = _places(text, asked)
    start, end = 0, min(WIDTH, len(text))
    if places and places[0][1] > end:
        start = _word_start(text, max(0, places[0][0] - BEFORE))
        end = min(start + WIDTH, len(text))
    # The last word is whole, or left out.
    if end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end = max(
            (at.end() for at in WORD.finditer(text, start, end) if at.end() < end), default=end
        )
    body = _marked(text, start, end, places)
    return ("… " if start else "") + body + (" …" if end < len(text) else "")


def _places(text: str, asked: Sequence[str]) -> list[tuple[int, int]]:
    beginnings = tuple(asked)
    return [found.span() for found in WORD.finditer(text) if fold(found[0]).startswith(beginnings)]


def _word_start(text: str, position: int) -> int:
    while position > 0 and text[position - 1].isalnum() and text[position].isalnum():
        position -= 1
    return position


def _marked(text: str, start: int, end: int, places: Sequence[tuple[int, int]]) -> str:
    parts: list[str] = []
    at = start
    for first, last in places:
        if first < start or last > end:
            continue
        parts += [escape(text[at:first]), "<mark>", escape(text[first:last]), "</mark>"]
        at = last
    return "".join([*parts, escape(text[at:end])])
