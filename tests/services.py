"""The pytest plugin that starts the embedded services before Django's settings are read.

`pyproject.toml` loads it with `-p`, because pytest-django reads the settings before any
conftest.py. With TEST_SERVICES_ENV=external nothing is started and the URLs already in the
environment are used.

With pytest-xdist (`make test` runs it) each worker has services of its own, and the process that
hands out the tests has none: it only reads the settings.
"""

import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from counterpoint.embedded import EmbeddedError, EmbeddedServices

# What tests need to be other than in production; a value already exported wins.
SETTINGS = {
    "JOBS_LEASE_SECONDS": "3",  # kills are noticed within seconds
    # As is what went to the long poll of a killed worker, which the emulator still answers.
    "JOBS_RESEND_AFTER_SECONDS": "3",
    "DELIVERY_RESEND_AFTER_SECONDS": "3",
    "SQS_QUEUE_PREFIX": "test-",
    "EVENT_PARTITIONS_AHEAD_DAYS": "1",  # each one makes emptying the tables slower
}
# Enough for the settings to be read; nothing connects.
UNCONNECTED = {
    "SECRET_KEY": "hands-out-tests",
    "DATABASE_URL": "postgresql://127.0.0.1/none",
    "REDIS_URL": "redis://127.0.0.1",
}
running = pytest.StashKey[EmbeddedServices]()


def is_external() -> bool:
    """Whether the caller has services running and exported their URLs."""
    return os.environ.get("TEST_SERVICES_ENV") == "external"


def only_hands_out(config: pytest.Config) -> bool:
    """Whether this process runs no test itself: workers of pytest-xdist do."""
    numbered = getattr(config.known_args_namespace, "numprocesses", None)
    return bool(numbered) and "PYTEST_XDIST_WORKER" not in os.environ


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if only_hands_out(early_config):
        os.environ.update(UNCONNECTED if not is_external() else {})
    elif not is_external():
        directory = Path(tempfile.mkdtemp(prefix="counterpoint-tests-"))
        services = EmbeddedServices(directory, durable=False, temporary=True)
        try:
            early_config.stash[running] = services.__enter__()
        except EmbeddedError as error:
            raise pytest.UsageError(str(error)) from None
        early_config.add_cleanup(lambda: services.__exit__(None, None, None))
        os.environ.update(services.environment)
    yield
