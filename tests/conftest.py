"""Fixtures that every test may use."""

import os
from collections.abc import Mapping
from pathlib import Path

import hypothesis
import pytest
from django.conf import settings
from django.db import connection

from counterpoint.embedded import EmbeddedServices
from tests.flushing import flushes_are_short
from tests.services import running

__all__ = ["flushes_are_short"]

# Machines are shared: how long an example takes says nothing.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

# The folders whose tests start processes: they begin, so that no worker is left alone with one.
SLOWEST = ("faults", "platform", "acceptance", "bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return SLOWEST.index(folder) if folder in SLOWEST else len(SLOWEST)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> EmbeddedServices:
    """The embedded services of this run of pytest; skipped with TEST_SERVICES_ENV=external."""
    services = request.config.stash.get(running, None)
    if services is None:
        pytest.skip("needs the embedded services, not external ones")
    return services


@pytest.fixture
def process_environment(transactional_db: None, services: EmbeddedServices) -> Mapping[str, str]:
    """The environment for processes that shall work on this test's database."""
    name = connection.settings_dict["NAME"]
    return {
        **os.environ,
        "DATABASE_URL": services.database_url(name),
        "DJANGO_SETTINGS_MODULE": "counterpoint.settings",
        "JOBS_LEASE_SECONDS": str(settings.JOBS_LEASE.total_seconds()),
    }
