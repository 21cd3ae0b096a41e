"""JSON text to Python values and back without losing a digit: whole numbers are int, others
Decimal.
"""

import json
from decimal import Decimal
from typing import Any


def parse(text: str | None) -> Any:
    """Return the value of JSON text; None for no text."""
    if text is None:
        return None
    return json.loads(text, parse_float=Decimal)


def plain(value: Any) -> Any:
    """Return the value with each Decimal as float: what `json.loads` would have given."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
