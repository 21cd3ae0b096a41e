"""`/healthz` and `/readyz`."""

import os
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from counterpoint import probes, sqs
from counterpoint.embedded import EmbeddedServices, Ports
from counterpoint.embedded.ports import HOST
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _not_known_to_be_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_migrated", False)


@pytest.fixture(autouse=True)
def _queues() -> None:
    call_command("ensure_queues", verbosity=0)


def checks(client: Client, status: int) -> dict[str, str]:
    response = client.get("/readyz")
    assert response.status_code == status, response.content
    found: dict[str, str] = response.json()["checks"]
    return found


def test_healthz_asks_nobody(client: Client) -> None:
    # No mark for the database: a query would fail the test.
    assert client.get("/healthz").json() == {"status": "alive"}


def test_health_is_answered_for_any_host(client: Client) -> None:
    assert client.get("/healthz", HTTP_HOST="10.1.2.3:8000").status_code == 200
    assert client.get("/admin/", HTTP_HOST="10.1.2.3:8000").status_code == 400


@pytest.mark.django_db
def test_readyz_says_that_all_is_there(client: Client) -> None:
    assert checks(client, 200) == {
        "database": "ok",
        "migrations": "ok",
        "queues": "ok",
        "redis": "ok",
    }


@pytest.mark.django_db
def test_readyz_names_a_queue_without_its_dead_letter_queue(client: Client) -> None:
    sqs_client: Any = sqs.client()
    sqs_client.delete_queue(QueueUrl=sqs.find(sqs_client, "events-dlq"))

    found = checks(client, 503)["queues"]

    assert f"{sqs.full_name('events')} is without its dead-letter queue" in found
    assert found.endswith("run manage.py ensure_queues")


@pytest.mark.django_db
def test_readyz_tells_how_many_migrations_are_missing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db.migrations.recorder import MigrationRecorder

    MigrationRecorder.Migration.objects.filter(app="sessions").delete()

    assert checks(client, 503)["migrations"] == "1 not applied: run manage.py migrate"


@pytest.mark.django_db
def test_readyz_does_not_need_redis(client: Client, settings: Any) -> None:
    settings.REDIS_URL = f"redis://{HOST}:1"

    assert checks(client, 200)["redis"] == "REDIS_URL: no connection"


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_the_web_process_lives_without_a_database_and_is_not_ready(
    services: EmbeddedServices,
) -> None:
    port = Ports.free().web
    argv = [sys.executable, "-m", "gunicorn", "--config", "python:counterpoint.web"]
    argv += ["--bind", f"{HOST}:{port}"]
    environment = {**os.environ, "DATABASE_URL": f"postgresql://{HOST}:1/none"}
    services.start_process("web-without-database", argv, environment)
    try:
        wait_until(lambda: get(f"http://{HOST}:{port}/healthz")[0] == 200, what="/healthz")

        status, text = get(f"http://{HOST}:{port}/readyz")

        assert status == 503
        assert '"database": "DATABASE_URL: no connection"' in text
    finally:
        services.processes.kill("web-without-database")
