"""Words as the index holds them: small letters without accents, of letters and digits alone.

The text search configurations of PostgreSQL are not asked: their parser takes `PO-00123` for a word
and a negative number, and their stems fit one language. What is split here is what is found.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from unicodedata import combining, normalize

WORD = re.compile(r"[^\W_]+")
TITLE = "="  # no letter of a word
LONGEST_WORD = 100  # characters; a lexeme of PostgreSQL has at most 2,046 bytes


def composed(text: str) -> str:
    """Return the text as PostgreSQL takes it, accents joined to their letters: no NUL, no half of
    a surrogate pair.
    """
    text = text.replace("\x00", "")
    if text.isascii():
        return text
    return normalize("NFC", text.encode("utf-8", "replace").decode())


def fold(text: str) -> str:
    """Return the text in small letters without accents: `Café` and `CAFE` are the same."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


@lru_cache(maxsize=4096)
def _folded(letter: str) -> str:
    bare = normalize("NFKD", letter.casefold())
    return "".join(part for part in bare if not combining(part))


def words(text: str) -> list[str]:
    """Return the folded words of a text, in its order."""
    return [word[:LONGEST_WORD] for word in WORD.findall(fold(text))]


def vector(title: str, body: str) -> str:
    """Return the tsvector literal: each word, and each of the title's with TITLE before it.

    The weights of PostgreSQL would say it too, but they are not in the index: every row that has
    the word would be looked at.
    """
    named = words(title)
    found = dict.fromkeys([*words(body), *named, *(TITLE + word for word in named)])
    return " ".join(f"'{word}'" for word in found)


def query(asked: Sequence[str], *, prefix: bool, title: bool) -> str:
    """Return the tsquery literal for all of the words: whole or as prefixes, anywhere or in the
    title.
    """
    before, after = TITLE if title else "", ":*" if prefix else ""
    return " & ".join(f"'{before}{word}'{after}" for word in asked)
