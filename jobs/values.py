"""Values on their way into and out of JSON, checked against annotations by pydantic."""

import hashlib
import inspect
import json
import re
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from functools import cached_property
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import (
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUserError,
)
from pydantic_core import PydanticSerializationError

from jobs.errors import DefinitionError, InvalidInput, InvalidOutput
from jobs.outcomes import Done

STREAMS = (Iterator, Generator, AsyncIterator)
MAX_WORDS = 10_000  # characters of an error that are kept
MEMORY_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class Codec:
    """One annotation's way to JSON text and back.

    The adapter is built on first use, after the module that defines the type has been imported
    whole.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        try:
            # Where a type is known only at run time pydantic would write NaN as null: keep it,
            # so that it is refused.
            return TypeAdapter(self.annotation, config=ConfigDict(ser_json_inf_nan="constants"))
        except PydanticUserError as error:
            if error.code != "type-adapter-config-unused":  # models bring their own configuration
                raise
            return TypeAdapter(self.annotation)

    def decode(self, value: Any, *, what: str) -> Any:
        """Return the JSON value as the annotated type; raises `InvalidInput`."""
        try:
            return self._validate(value)
        except ValidationError as error:
            raise InvalidInput(what, issues(error)) from error
        except Exception as error:  # of a type's own check
            raise InvalidInput(what, [_broken(error)]) from error

    def encode_input(self, value: Any, *, what: str) -> Any:
        """As `encode`, for what a caller gave: raises `InvalidInput`."""
        try:
            return self.encode(value, what=what)
        except InvalidOutput as error:
            raise InvalidInput(what, error.issues) from error

    def encode(self, value: Any, *, what: str) -> Any:
        """Return the value as JSON data that jsonb can hold; raises `InvalidOutput`."""
        try:
            plain = self.adapter.dump_python(self._validate(value), mode="json", by_alias=False)
        except ValidationError as error:
            raise InvalidOutput(what, issues(error)) from error
        except PydanticSerializationError as error:
            issue = {"loc": (), "msg": str(error), "type": "serialization"}
            raise InvalidOutput(what, [issue]) from error
        except Exception as error:  # of a type's own check
            raise InvalidOutput(what, [_broken(error)]) from error
        to_json(plain, what=what)
        return plain

    def _validate(self, value: Any) -> Any:
        # What is stored has the names of fields, what comes from outside may have their aliases.
        return self.adapter.validate_python(value, by_alias=True, by_name=True)

    def schema(self) -> Any:
        """Return what the type takes as JSON Schema, without titles and descriptions.

        Types without a JSON Schema are told apart by their text.
        """
        try:
            return _bare(self.adapter.json_schema())
        except PydanticInvalidForJsonSchema:
            return MEMORY_ADDRESS.sub("", repr(self.annotation))


def _broken(error: Exception) -> dict[str, Any]:
    message = f"its type's own check failed: {type(error).__name__}: {words(error)}"
    return {"loc": (), "msg": message, "type": "check"}


def issues(error: ValidationError) -> list[dict[str, Any]]:
    """Return pydantic's issues as plain JSON data, without the offending input."""
    return [
        dict(issue)
        for issue in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def _holds_secret(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(map(_holds_secret, schema))
    if not isinstance(schema, dict):
        return False
    is_secret = schema.get("writeOnly") is True and schema.get("format") == "password"
    return is_secret or any(map(_holds_secret, schema.values()))


def _bare(schema: Any, *, is_names: bool = False) -> Any:
    """Drop what says nothing of the data's form; in `properties` and `$defs` the keys are names.

    Defaults go too: that of a set would be written in another order by each process.
    """
    if isinstance(schema, list):
        return [_bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _bare(item, is_names=not is_names and key in ("properties", "$defs"))
        for key, item in schema.items()
        if is_names or key not in ("title", "description", "examples", "default")
    }


def types_of(inputs: Mapping[str, Codec], output: Codec) -> str:
    """Return a short hash of what is taken and given, to tell changed types from bad values."""
    data = [{name: one.schema() for name, one in inputs.items()}, output.schema()]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def to_json(value: Any, *, what: str) -> str:
    """Return JSON text; what jsonb refuses (NaN, NUL, lone surrogates) raises `InvalidOutput`."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidOutput(what, [{"loc": (), "msg": str(error), "type": "json"}]) from error
    if "\\u0000" in text and _holds_nul(value):
        message = "Postgres's jsonb cannot hold the character NUL (\\u0000): remove it"
        raise InvalidOutput(what, [{"loc": (), "msg": message, "type": "json"}])
    return text


def error_json(kind: str, message: str, node: str | None, **more: str) -> str:
    """Return an error as JSON text; what jsonb cannot hold is written as an escape."""
    details = {"type": kind, "message": message, "node": node, **more}
    return to_json(
        {key: value and _storable(value) for key, value in details.items()}, what="error"
    )


def words(error: BaseException) -> str:
    """Return an error's text, of a long one the beginning; one that fails to say it is no error
    more.
    """
    try:
        text = str(error)
    except Exception as failure:
        return f"its text cannot be shown: {type(failure).__name__}"
    return text if len(text) <= MAX_WORDS else f"{text[: MAX_WORDS - 1]}…"


def _storable(text: str) -> str:
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_nul(item) for item in value)


def place(fn: Callable[..., Any]) -> str:
    """Return `file:line` of a function, for errors at import."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(fn)


def codecs_of(fn: Callable[..., Any], *, skip_first: bool) -> tuple[dict[str, Codec], Codec]:
    """Return a codec for each parameter and one for the result; raises `DefinitionError`."""
    where = place(fn)
    try:
        hints = get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise DefinitionError(f"{where}: an annotation names something unknown: {error}") from error
    parameters = list(inspect.signature(fn).parameters.values())[1 if skip_first else 0 :]
    found: dict[str, Codec] = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DefinitionError(
                f"{where}: {parameter} cannot be typed; name each parameter, or take one list"
                f" or dict"
            )
        if parameter.name not in hints:
            raise DefinitionError(
                f"{where}: parameter {parameter.name!r} has no annotation; say its type, for"
                f" example"
                f" `{parameter.name}: str`"
            )
        found[parameter.name] = codec(
            hints[parameter.name], f"{where}: parameter {parameter.name!r}"
        )
    if "return" not in hints:
        raise DefinitionError(
            f"{where}: no return annotation; write `-> None` if it returns nothing"
        )
    return found, codec(hints["return"], f"{where}: the return value")


def _check_storable(annotation: Any, what: str) -> None:
    """Refuse models and streams, inside of lists and unions too."""
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type):
        if hasattr(getattr(origin, "_meta", None), "model_name"):
            raise DefinitionError(
                f"{what} is the model {origin.__name__}: a row does not travel; use its"
                f" primary key,"
                " or a pydantic model of the fields needed"
            )
        if origin in STREAMS or issubclass(origin, STREAMS):
            raise DefinitionError(f"{what} is a stream, which cannot be stored; use a list")
    for argument in get_args(annotation):
        _check_storable(argument, what)


def codec(annotation: Any, what: str) -> Codec:
    """Return the annotation's codec; types that have no JSON form raise `DefinitionError`."""
    if get_origin(annotation) is Done:
        (annotation,) = get_args(annotation)
    if Done in (annotation, *map(get_origin, get_args(annotation))):
        raise DefinitionError(
            f"{what} is {annotation}: Done says what it holds and stands alone; write"
            " `-> Done[int]`, and return Done(…) on every path"
        )
    _check_storable(annotation, what)
    made = Codec(annotation)
    try:
        if _holds_secret(made.adapter.json_schema()):
            raise DefinitionError(
                f"{what} holds a secret (SecretStr), of which only asterisks would be stored; pass"
                " the name under which a service finds it"
            )
    except PydanticInvalidForJsonSchema:
        pass  # such a type has a JSON form, and no schema of it
    except PydanticSchemaGenerationError as error:
        raise DefinitionError(
            f"{what} has the type {annotation!r}, which has no JSON form; use JSON values,"
            f" pydantic models,"
            " dataclasses, dates, UUIDs or Decimals"
        ) from error
    except PydanticUserError as error:
        if error.code == "typed-dict-version":
            raise DefinitionError(f"{what}: {error.message}") from error
        made.__dict__.pop("adapter", None)  # a forward reference: resolved on first use
    return made
