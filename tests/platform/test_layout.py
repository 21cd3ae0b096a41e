"""The source root `platform/` must not get in the way of the standard library."""

import platform
import sysconfig
from pathlib import Path


def test_platform_is_the_standard_librarys() -> None:
    assert Path(platform.__file__).parent == Path(sysconfig.get_path("stdlib"))


def test_no_module_lies_directly_in_the_source_root() -> None:
    root = Path(__file__).parents[2] / "platform"

    assert list(root.glob("*.py")) == []
