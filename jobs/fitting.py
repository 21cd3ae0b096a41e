"""Whether data of one annotation validates as another: told from their structure, and doubts count
as yes.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import is_typeddict

from jobs import shapes

NUMBERS = (int, float)
FROM_NUMBERS = (int, float, Decimal, date, timedelta)


def fits(given: Any, taken: Any, *, depth: int = 8) -> bool:
    """Whether a value of the first annotation, as JSON, can be one of the second."""
    targets = shapes.alternatives(taken)
    sources = shapes.alternatives(given)
    if depth == 0 or Any in targets or Any in sources:
        return True
    if NoneType in sources and NoneType not in targets:
        return False
    values = [source for source in sources if source is not NoneType]
    if not values:
        return True
    return any(_fits(source, target, depth) for source in values for target in targets)


def _fits(given: Any, taken: Any, depth: int) -> bool:
    if given == taken:
        return True
    if taken is NoneType:
        return False
    kinds = _kind(given), _kind(taken)
    if None in kinds:  # a type of which nothing is known here
        return True
    if kinds[0] != kinds[1]:
        return False
    if kinds[0] == "scalar":
        return _scalar_fits(given, taken)
    if kinds[0] == "array":
        return fits(shapes.item_of(given), shapes.item_of(taken), depth=depth - 1)
    return _object_fits(given, taken, depth)


def _kind(annotation: Any) -> str | None:
    if shapes.is_scalar(annotation):
        return "scalar"
    kind = get_origin(annotation) or annotation
    is_named_tuple = isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
    if shapes.is_array(annotation) and not is_typeddict(kind) and not _is_model(kind):
        return None if is_named_tuple else "array"
    if shapes.is_mapping(annotation) or shapes.fields_of(annotation) is not None:
        return "object"
    return None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _scalar_fits(given: Any, taken: Any) -> bool:
    if not (isinstance(given, type) and isinstance(taken, type)):  # a Literal
        return True
    if issubclass(given, Enum) or issubclass(taken, Enum):
        return True
    if issubclass(given, NUMBERS):
        return issubclass(taken, FROM_NUMBERS)
    # texts of some form: into numbers go those of Decimals
    return not issubclass(taken, NUMBERS) or issubclass(given, Decimal)


def _object_fits(given: Any, taken: Any, depth: int) -> bool:
    known, wanted = shapes.fields_of(given), shapes.fields_of(taken)
    if known is None and wanted is None:
        values = [(get_args(one) or (Any, Any))[1] for one in (given, taken)]
        return fits(*values, depth=depth - 1)
    if known is None or wanted is None:
        return True
    required = _required(taken)
    return required.keys() <= known.keys() and all(
        fits(known[name], annotation, depth=depth - 1) for name, annotation in required.items()
    )


def _required(taken: Any) -> Mapping[str, Any]:
    """Return the fields that certainly are required: those of models without a default or alias."""
    kind = get_origin(taken) or taken
    if not _is_model(kind):
        return {}
    return {
        name: field.annotation
        for name, field in kind.model_fields.items()
        if field.is_required() and field.alias is None and field.validation_alias is None
    }
