"""The apps of `docs/authoring.md` as a reader has them: files in EXTRA_APPS, real workers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import Platform
from tests.docs.apps import files_of
from tests.docs.test_authoring import IMPORTED

MANAGE = Path(__file__).parents[2] / "manage.py"


@pytest.fixture
def apps(tmp_path: Path) -> dict[str, str]:
    """What a process needs in its environment to find the page's apps, written into files."""
    for name, text in files_of(IMPORTED).items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text)
    return {"EXTRA_APPS": "shop,loyalty", "PYTHONPATH": str(tmp_path)}


def test_the_orders_of_the_page_run_on_a_worker(platform: Platform, apps: dict[str, str]) -> None:
    platform.start("worker", "relay", **apps)

    def order(number: str) -> subprocess.CompletedProcess[str]:
        lines = [{"sku": sku, "quantity": 2, "cents": 1990} for sku in ("desk", "lamp", "sofa")]
        given = json.dumps({"number": number, "card": "visa", "lines": lines})
        command = ["start", "shop/order", "--input", given, "--company", "acme", "--watch"]
        return subprocess.run(
            [sys.executable, MANAGE, *command],
            env={**platform.environment, **apps},
            capture_output=True,
            text=True,
        )

    shipped, lost = order("A-1"), order("lost")

    assert shipped.returncode == 0, shipped.stderr
    assert "  succeeded  company acme" in shipped.stdout
    assert lost.returncode == 1, lost.stderr
    assert "  failed, rollback complete  company acme" in lost.stdout
