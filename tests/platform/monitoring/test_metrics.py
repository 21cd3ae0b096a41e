"""`/metrics`: who may read it, what it says, and what it leaves out."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from counterpoint import sqs
from counterpoint.monitoring import collector, depths, tallies
from counterpoint.queues import Queue
from jobs.models import Membership
from tests.platform.monitoring.rows import (
    count_all,
    make_dead_letter,
    make_delivery,
    make_event,
    make_run,
    make_try,
)

TOKEN = "a-long-token"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _token(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    settings.QUEUES = (Queue("orders"),)
    collector._gauge.cache_clear()


def scraped(client: Client) -> dict[str, dict[tuple[str, ...], float]]:
    """Return what Prometheus reads: samples by name, by the values of their labels, in the order of
    the labels' names.
    """
    response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 200, response.content
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(response.content.decode()):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_it_tells_nobody_without_token_or_login(client: Client) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
        answer = client.get("/metrics", headers=headers)
        assert answer.status_code == 401
        assert b"counterpoint_" not in answer.content


def test_no_token_in_the_settings_lets_nobody_in(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = ""

    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_staff_may_read_it_unless_held_to_a_company(client: Client) -> None:
    user = User.objects.create_user("ann", is_staff=True)
    client.force_login(user)
    assert client.get("/metrics").status_code == 200

    Membership.objects.create(user=user, company="acme")
    assert client.get("/metrics").status_code == 401


def test_a_login_without_staff_is_not_enough(client: Client) -> None:
    client.force_login(User.objects.create_user("bob"))

    assert client.get("/metrics").status_code == 401


def test_prometheus_may_ask_by_address(client: Client) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}

    assert client.get("/metrics", HTTP_HOST="10.1.2.3:8000", headers=headers).status_code == 200


def test_counters_and_histograms_tell_of_deliveries_and_runs(client: Client) -> None:
    tallies.turn()
    make_try(make_delivery(make_event()))
    make_run(workflow="book", company="acme", status="failed")
    count_all()

    found = scraped(client)

    delivered = ("acme", "WEBHOOK", "delivered", "booking.created")
    assert found["counterpoint_deliveries_total"] == {delivered: 1}
    assert found["counterpoint_delivery_attempt_seconds_count"] == {delivered: 1}
    bars = found["counterpoint_delivery_attempt_seconds_bucket"]
    assert [bars[*delivered[:2], bound, *delivered[2:]] for bound in ("0.1", "0.25", "+Inf")] == [
        *(0, 1, 1)
    ]
    assert found["counterpoint_delivery_attempt_seconds_sum"][delivered] == pytest.approx(0.2)
    assert found["counterpoint_runs_total"] == {("acme", "failed", "book"): 1}


def test_gauges_tell_what_is_open(client: Client) -> None:
    make_delivery(make_event(), status="held")
    make_dead_letter("1", reason="unknown_type")
    make_dead_letter("2", status="discarded")
    make_run(status="running")
    make_run(status="compensating", stop="failed")
    make_run(status="running", stop="failed")

    found = scraped(client)

    assert found["counterpoint_open_deliveries"]["held",] == 1
    assert found["counterpoint_live_runs"] == {
        ("queued",): 0,
        ("running",): 2,
        ("waiting",): 0,
        ("compensating",): 1,
    }
    assert set(found["counterpoint_in_default_rows"].values()) == {0}
    assert found["counterpoint_outbox_relays"] == {("0",): 0}
    assert found["counterpoint_stuck_steps"] == {(): 0}
    assert found["counterpoint_open_dead_letters"] == {("unknown_type",): 1}


def test_queues_tell_their_depth_and_that_of_their_dead_letters(
    client: Client, settings: Settings
) -> None:
    settings.SQS_QUEUE_PREFIX = "test-metrics-"
    call_command("ensure_queues", verbosity=0)
    sqs_client: Any = sqs.client()
    for name, count in (("orders", 3), ("orders-dlq", 2)):
        url = sqs.find(sqs_client, name)
        sqs_client.purge_queue(QueueUrl=url)
        for _ in range(count):
            sqs_client.send_message(QueueUrl=url, MessageBody="x")

    found = scraped(client)

    assert found["counterpoint_queue_messages"]["orders", "visible"] == 3
    assert found["counterpoint_queue_messages"]["orders", "in_flight"] == 0
    assert found["counterpoint_dead_letter_queue_messages"]["orders",] == 2
    assert "counterpoint_queue_oldest_message_seconds" not in found


def test_cloudwatch_tells_how_old_messages_are() -> None:
    cloudwatch = depths.cloudwatch()
    cloudwatch.put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": depths.AGE,
                "Dimensions": [{"Name": "QueueName", "Value": sqs.full_name("orders")}],
                "Value": 42.0,
                "Unit": "Seconds",
            }
        ],
    )

    assert depths.ages(cloudwatch, ["default", "orders"]) == {"orders": 42.0}


def test_cloudwatch_is_asked_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def ages(client: Any, names: list[str]) -> dict[str, float]:
        asked.append(names)
        return {}

    monkeypatch.setattr(depths, "ages", ages)
    gauge = depths.Gauge()

    for _ in range(3):
        gauge.measure([Queue("orders")])

    assert asked == [["orders"]]


def test_a_part_that_fails_is_named_and_the_others_are_there(
    client: Client, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    def fail() -> list[Any]:
        raise DatabaseError("canceling statement due to statement timeout")

    monkeypatch.setitem(collector.PARTS, "outbox", fail)
    settings.SQS_ENDPOINT_URL = "http://127.0.0.1:9"

    found = scraped(client)

    assert found["counterpoint_scrape_problems"] == {
        ("counters",): 0,
        ("outbox",): 1,
        ("live",): 0,
        ("alerts",): 0,
        ("queues",): 1,
    }
    assert "counterpoint_live_runs" in found
