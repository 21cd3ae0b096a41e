"""JSON text to Python values and back without losing a digit: whole numbers are int, others
Decimal.
"""

import json
import math
from decimal import Decimal
from typing import Any

# What reading or comparing the numbers and the depth of a document may raise: json columns hold
# what no number type does, such as 1e999999999999999999999.
UNREADABLE = (ValueError, ArithmeticError, RecursionError)
# Python refuses to read an int of more than 4,300 digits; PostgreSQL writes 1e5000 as 5,001.
LONGEST_INT = 4000


def parse(text: str | None) -> Any:
    """Return the value of JSON text; None for no text."""
    if text is None:
        return None
    return _DECODER.decode(text)


def _whole(text: str) -> int | Decimal:
    return int(text) if len(text) <= LONGEST_INT else Decimal(text)


# Made once: `json.loads` would make one for each document, which takes as long as reading it.
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_int=_whole)


def plain(value: Any) -> Any:
    """Return the value with each Decimal as float: what `json.loads` would have given.

    Raises ValueError for a number that no float holds.
    """
    if isinstance(value, Decimal):
        found = float(value)
        if math.isinf(found):
            raise ValueError(f"the number {value:.3e} is too large: at most 1.8e308")
        return found
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
