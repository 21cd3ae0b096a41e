"""Retention: finished runs go, live ones and their writers do not notice; so do old slots."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from jobs import Every, services, workflow
from jobs.models import Attempt, Firing, Run, StepRun
from jobs.transitions.rows import clock
from tests.jobs import flows, vocabulary
from tests.jobs.conftest import Post

LONG_AGO = "2020-01-01T00:00Z"


pytestmark = pytest.mark.usefixtures("behaviour")


def make_finished(count: int) -> None:
    """Insert finished runs past their retention, each with a step and its attempt, by SQL."""
    definition = Run.objects.values_list("definition_id", flat=True).first()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH runs AS (
                INSERT INTO jobs_run (id, workflow, definition_id, env, queue, status, rollback,
                    generation, input, depth, created_at, finished_at, expires_at)
                SELECT gen_random_uuid(), 'old', %s, 'live', 'default', 'succeeded', 'not_needed',
                    1, '{}', 0, now(), now(), %s FROM generate_series(1, %s) RETURNING id
            ), steps AS (
                INSERT INTO jobs_steprun (run_id, generation, node, step, phase, status, queue,
                    needs, attempts, fence, due_at, created_at)
                SELECT id, 1, 'a', 'a', 'forward', 'succeeded', 'default', '[]', 1, 1, now(), now()
                FROM runs RETURNING id
            )
            INSERT INTO jobs_attempt (step_run_id, number, outcome, started_at, finished_at)
            SELECT id, 1, 'succeeded', now(), now() FROM steps
            """,
            [definition, LONG_AGO, count],
        )


def test_pruning_takes_at_most_its_limit_in_a_transaction(post: Post) -> None:
    flows.chain.start(1, company="acme")
    make_finished(25)

    assert [services.prune(limit=10) for _ in range(4)] == [10, 10, 5, 0]

    assert Run.objects.filter(workflow="old").count() == 0
    assert not Attempt.objects.exists()
    assert not StepRun.objects.exclude(run__workflow="flow/chain").exists()


def test_writers_to_live_runs_never_wait_for_it(post: Post) -> None:
    live = vocabulary.sleeping.start(1, company="acme")
    post.deliver_all()
    Run.objects.filter(pk=live.pk).update(expires_at=LONG_AGO)
    make_finished(3000)
    errors: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '100ms'")
            while not done.is_set():
                StepRun.objects.filter(run=live.pk).update(progress=0.5)
                Run.objects.filter(pk=live.pk).update(priority=0)
                flows.chain.start(1, company="acme")
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    removed = [services.prune(limit=1000) for _ in range(4)]
    done.set()
    writer.join()

    assert removed == [1000, 1000, 1000, 0]
    assert errors == []
    assert Run.objects.filter(pk=live.pk).exists()


def test_a_run_that_somebody_holds_is_left_for_the_next_time(post: Post) -> None:
    flows.chain.start(1, company="acme")
    make_finished(2)
    held = Run.objects.filter(workflow="old").first()
    assert held is not None
    inside, go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=held.pk)
            inside.set()
            go.wait(10)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)
    removed = services.prune(limit=10)
    go.set()
    holder.join()

    assert removed == 1
    assert services.prune(limit=10) == 1


# The slots of schedules ---------------------------------------------------------------------------


def fired(days: int, *, filled: int | None = None, outcome: str = "started") -> Firing:
    """Insert the firing of a slot so many days ago, `filled` days ago if a backfill did it."""
    now = clock()
    return Firing.objects.create(
        workflow="old",
        slot=now - timedelta(days=days),
        outcome=outcome,
        created_at=now - timedelta(days=days if filled is None else filled),
    )


def prune_firings(limit: int = 1000) -> set[int]:
    """Prune once, and return the ids of the firings that are left."""
    services.prune_firings(limit=limit)
    return set(Firing.objects.values_list("pk", flat=True))


def test_slots_are_forgotten_after_400_days_unless_someone_may_ask_for_them(post: Post) -> None:
    run: Any = flows.chain.start(1, company="acme")
    with_run = fired(500)
    Firing.objects.filter(pk=with_run.pk).update(run=run.pk)
    gone = [fired(401), fired(402, outcome="skipped")]
    kept = [with_run, fired(399), fired(450, outcome="queued"), fired(800, filled=1)]

    assert prune_firings() == {firing.pk for firing in kept}
    assert not Firing.objects.filter(pk__in=[firing.pk for firing in gone]).exists()


def test_a_workflow_s_newest_slot_is_never_forgotten(db: None) -> None:
    fired(2000)
    newest = fired(1000)

    assert prune_firings() == {newest.pk}


def test_a_slot_is_remembered_for_as_long_as_it_may_be_caught_up(
    db: None, forget_definitions: None
) -> None:
    workflow(name="old", schedule=Every(days=1, catch_up=timedelta(days=800)))(start_one)
    fired(801)
    kept = [fired(799), fired(1)]

    assert prune_firings() == {firing.pk for firing in kept}


def start_one() -> int:
    return flows.plain(1)


def test_slots_are_forgotten_in_pieces_the_oldest_first(db: None) -> None:
    firings = [fired(days) for days in (600, 500, 450, 1)]

    assert prune_firings(limit=2) == {firing.pk for firing in firings[2:]}
    assert services.prune_firings(limit=2) == 1
    assert services.prune_firings(limit=2) == 0
