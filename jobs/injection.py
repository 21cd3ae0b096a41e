"""Services that steps ask for by type, through svcs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TypeVar

import svcs

T = TypeVar("T")

registry = svcs.Registry()
_in_place_of: ContextVar[Mapping[type[Any], object]] = ContextVar(
    "services", default=MappingProxyType({})
)


def register_service(service_type: type[T], factory: Callable[..., T]) -> None:
    """Make `ctx.services.get(service_type)` return what the factory makes, once per attempt of a
    step.

    A generator factory is closed when the attempt ends. Registering a type again replaces its
    factory.
    """
    registry.register_factory(service_type, factory)


def service_container() -> svcs.Container:
    """Return what one attempt of a step gets its services from; close it afterwards."""
    container = svcs.Container(registry)
    for service_type, value in _in_place_of.get().items():
        container.register_local_value(service_type, value)
    return container


@contextmanager
def replaced(services: Mapping[type[Any], object]) -> Iterator[None]:
    """Give these objects to the steps of this thread that ask for their types; for tests."""
    token = _in_place_of.set({**_in_place_of.get(), **services})
    try:
        yield
    finally:
        _in_place_of.reset(token)
