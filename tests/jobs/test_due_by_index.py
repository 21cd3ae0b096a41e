"""What is not due yet costs nothing, however much of it there is."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from jobs import services
from jobs.models import Firing
from tests.jobs import flows
from tests.jobs.conftest import Post

ROWS = 3000
FEW = 100  # rows that a look may read, whatever it does besides


@pytest.fixture
def later(post: Post) -> None:
    """Runs, steps and slots of another year."""
    run: Any = flows.chain.start(1, company="acme")
    run.refresh_from_db()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH live AS (
                INSERT INTO jobs_run (id, workflow, definition_id, env, queue, status, rollback,
                    generation, input, depth, created_at, deadline_at)
                SELECT gen_random_uuid(), 'later', %(definition)s, 'live', 'default', 'waiting',
                    'not_needed', 1, '{}', 0, now(), now() + interval '1 year'
                FROM generate_series(1, %(rows)s) RETURNING id
            ), ended AS (
                INSERT INTO jobs_run (id, workflow, definition_id, env, queue, status, rollback,
                    generation, input, depth, created_at, finished_at, expires_at)
                SELECT gen_random_uuid(), 'ended', %(definition)s, 'live', 'default', 'succeeded',
                    'not_needed', 1, '{}', 0, now(), now(), now() + interval '1 year'
                FROM generate_series(1, %(rows)s)
            ), slots AS (
                INSERT INTO jobs_firing (workflow, slot, outcome, created_at)
                SELECT 'later', now() - n * interval '1 hour', 'skipped', now()
                FROM generate_series(1, %(rows)s) AS n
            )
            INSERT INTO jobs_steprun (run_id, generation, node, step, kind, phase, status, queue,
                needs, attempts, fence, due_at, wake_at, created_at)
            SELECT id, 1, 'a', 'a', 'sleep', 'forward', 'waiting', 'default', '[]', 1, 1,
                now() + interval '1 year', now() + interval '1 year', now()
            FROM live
            """,
            {"definition": run.definition_id, "rows": ROWS},
        )
        cursor.execute("ANALYZE jobs_run, jobs_steprun, jobs_firing")


def rows_read() -> int:
    """How many rows this transaction has read of the engine's tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))"
            " FROM pg_stat_xact_user_tables WHERE relname LIKE 'jobs\\_%'"
        )
        (found,) = cursor.fetchone()
    return int(found)


@pytest.mark.parametrize("look", [services.sweep, services.prune, services.prune_firings])
def test_a_look_for_what_is_due_reads_little_of_what_is_not(
    later: None, look: Callable[[], int]
) -> None:
    with transaction.atomic():
        before = rows_read()
        look()
        read = rows_read() - before

    assert read < FEW
    assert Firing.objects.count() == ROWS
