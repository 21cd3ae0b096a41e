"""Services that steps ask for by type, through svcs."""

from collections.abc import Callable
from typing import TypeVar

import svcs

T = TypeVar("T")

registry = svcs.Registry()


def register_service(service_type: type[T], factory: Callable[..., T]) -> None:
    """Make `ctx.services.get(service_type)` return what the factory makes, once per attempt of a
    step.

    A generator factory is closed when the attempt ends. Registering a type again replaces its
    factory.
    """
    registry.register_factory(service_type, factory)
