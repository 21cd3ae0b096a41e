"""What the API takes for a subscription: a union over the handler types that are registered.

It is put together when it is needed: a type that an app adds is in it at once.
"""

from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal

from ninja.errors import ValidationError
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, create_model
from pydantic import ValidationError as PydanticError

from jobs.api.schemas import Name
from subscriptions.handlers.contract import Handler, registered
from subscriptions.models import Subscription

OperationName = Literal["INSERT", "UPDATE", "DELETE", "TRUNCATE"]
ROWS: list[OperationName] = ["INSERT", "UPDATE", "DELETE"]
Seconds = Annotated[
    float, Field(ge=0, le=366 * 86_400, description="seconds of silence before the last one goes")
]


class Definition(BaseModel):
    """What every type has."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="the same name again: this definition in place of that")
    table: Name | None = Field(default=None, description="a watched table, or `event_type`")
    event_type: Name | None = Field(default=None, description="a declared type, or a glob")
    operations: list[OperationName] = Field(default=ROWS, min_length=1)
    filter: dict[str, JsonValue] = Field(default_factory=dict, description="{} matches all")
    active: bool = True
    ordering: Literal["none", "record"] = "none"
    max_rate: int | None = Field(default=None, ge=1, le=1_000_000, description="per second")
    attempts: int = Field(default=3, ge=1, le=100)
    backoff: Literal["standard"] | dict[str, JsonValue] = Field(default_factory=dict)
    batch_size: int = Field(default=1, ge=1, le=1000)
    debounce: Seconds | None = None
    owner: Name | None = Field(default=None, description="the mail address that is told")


class Change(BaseModel):
    """What is to change; what is left out stays. In `config`, a key of null is removed."""

    model_config = ConfigDict(extra="forbid")

    table: Name | None = None
    event_type: Name | None = None
    operations: list[OperationName] = Field(default=[], min_length=1)
    filter: dict[str, JsonValue] = {}
    config: dict[str, JsonValue] = {}
    active: bool = True
    ordering: Literal["none", "record"] = "none"
    max_rate: int | None = Field(default=None, ge=1, le=1_000_000)
    attempts: int = Field(default=3, ge=1, le=100)
    backoff: Literal["standard"] | dict[str, JsonValue] = {}
    batch_size: int = Field(default=1, ge=1, le=1000)
    debounce: Seconds | None = None
    owner: Name | None = None

    def given(self) -> dict[str, Any]:
        """Return what was sent, as a subscription's fields."""
        return _fields(self.model_dump(exclude_unset=True))


def read_definition(body: Any) -> Subscription:
    """Return the subscription that a body defines, without its company.

    Raises ninja's ValidationError with every issue of it; their places begin at the field.
    """
    kinds = tuple((name, handler) for name, handler in registered().items())
    try:
        found = _union(kinds).validate_python(body)
    except PydanticError as error:
        issues = error.errors(include_url=False, include_input=False, include_context=False)
        raise ValidationError([{**one, "loc": _place(one["loc"])} for one in issues]) from None
    members = found.model_dump(exclude={"config"})
    # The config as it was sent: what the handler's model leaves out or makes of it is its affair.
    return Subscription(config=body.get("config", {}), **_fields(members))


def body_name(handler: Handler) -> str:
    return f"{handler.name}.Subscription"


@lru_cache(maxsize=8)
def _union(kinds: tuple[tuple[str, Handler], ...]) -> TypeAdapter[Any]:
    models = [_model(handler) for _, handler in kinds]
    union: Any = models[0]
    for model in models[1:]:
        union = union | model
    return TypeAdapter(Annotated[union, Field(discriminator="handler_type")])


def _model(handler: Handler) -> type[BaseModel]:
    is_needed = any(field.is_required() for field in handler.Config.model_fields.values())
    default = ... if is_needed else Field(default_factory=handler.Config)
    members: dict[str, Any] = {
        "handler_type": (Literal[handler.name], ...),
        "config": (handler.Config, default),
    }
    return create_model(body_name(handler), __base__=Definition, **members)


def _fields(members: dict[str, Any]) -> dict[str, Any]:
    if members.get("debounce") is not None:
        members["debounce"] = timedelta(seconds=members["debounce"])
    return members


def _place(place: tuple[Any, ...]) -> tuple[Any, ...]:
    """Leave the union's tag out: nobody who sends a body knows of it. Without one, it is wrong."""
    if not place:
        return ("handler_type",)
    return place[1:] if place[0] in registered() else place
