"""The shipped handler types, one file each; the contract is in `contract`."""

from importlib import import_module
from pkgutil import iter_modules


def load_shipped() -> None:
    """Import every module of this package, so that its handlers register themselves."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
