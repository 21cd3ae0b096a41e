"""The main job on real processes: SQL writes to webhooks, runs and rollbacks."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from counterpoint.demo import report, scenario
from counterpoint.demo.receiver import Receiver
from jobs.models import Run, StepRun
from jobs.workflows.restock.models import RestockOrder
from subscriptions.models import Event
from subscriptions.services import create_subscription
from tests.acceptance.conftest import Platform
from tests.waiting import wait_until

COMPANIES = ("acme", "globex", "initech")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def sql(platform: Platform) -> Iterator[psycopg.Connection[Any]]:
    """A connection that has nothing to do with Django; it commits what the test tells it to."""
    with psycopg.connect(platform.environment["DATABASE_URL"]) as connection:
        yield connection


def test_a_sql_write_ends_in_a_verified_webhook_and_a_run_or_its_rollback(
    platform: Platform, receiver: Receiver
) -> None:
    platform.start("worker", "relay")

    story = scenario.tell(platform.environment["DATABASE_URL"], receiver)

    assert [arrival.problem for arrival in receiver.arrivals] == [None, None]
    ids = {arrival.body["recordId"] for arrival in receiver.arrivals}
    assert ids == {str(story.good.request_id), str(story.refused.request_id)}
    good, refused = sorted(story.runs, key=lambda run: run.status, reverse=True)
    assert (good.status, good.rollback) == ("succeeded", "not_needed")
    assert (refused.status, refused.rollback) == ("failed", "complete")
    assert refused.error is not None
    assert refused.error["node"] == "update-status"
    (order,) = RestockOrder.objects.all()
    assert (order.pk, order.status, order.items.count()) == (good.output, "confirmed", 2)
    assert undone(refused)[-1] == "create-order.compensate"
    assert set(undone(refused)[:-1]) == {"create-items.compensate", "notify-supplier.compensate"}
    assert [line.what for line in report.lines(story, receiver) if not line.ok] == []


def undone(run: Run) -> list[str]:
    rows = run.steps.filter(phase=StepRun.Phase.COMPENSATION, status=StepRun.Status.SUCCEEDED)
    return list(rows.order_by("finished_at").values_list("node", flat=True))


def test_one_update_over_three_companies_tells_each_its_own(
    platform: Platform, receiver: Receiver, sql: psycopg.Connection[Any]
) -> None:
    platform.start("worker", "relay")
    for company in COMPANIES:
        subscription = create_subscription(
            name="changes",
            company=company,
            table="restock_request",
            operations=["UPDATE"],
            handler_type="WEBHOOK",
            config={"url": f"{receiver.url}/{company}"},
        )
        receiver.secrets[f"/{company}"] = str(subscription.secret)
        sql.execute(
            "INSERT INTO restock_request (company, supplier_id, items) VALUES (%s, 'any', %s)",
            [company, json.dumps(scenario.ITEMS)],
        )
    sql.commit()

    sql.execute("UPDATE restock_request SET notes = 'rolled back'")
    sql.rollback()
    sql.execute("UPDATE restock_request SET notes = 'urgent'")
    sql.commit()

    wait_until(lambda: len(receiver.arrivals) >= len(COMPANIES), what="a webhook per company")
    told = {
        (arrival.path.rpartition("/")[2], arrival.body["new"]["company"])
        for arrival in receiver.arrivals
    }
    assert told == {(company, company) for company in COMPANIES}
    assert {arrival.body["new"]["notes"] for arrival in receiver.arrivals} == {"urgent"}
    assert Event.objects.filter(operation="UPDATE").count() == len(COMPANIES)


def test_runs_go_on_while_redis_is_away(
    platform: Platform, receiver: Receiver, sql: psycopg.Connection[Any]
) -> None:
    platform.start("worker", "relay")
    platform.kill("redis")
    try:
        story = scenario.tell(platform.environment["DATABASE_URL"], receiver)
    finally:
        platform.services.restart("redis")

    assert sorted(run.status for run in story.runs) == ["failed", "succeeded"]
