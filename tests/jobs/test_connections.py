"""A worker's database connection stays open, and is replaced once it is dead."""

import threading
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from counterpoint.embedded import EmbeddedServices
from jobs.connections import drop_dead, reconnecting
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("transactional_db")


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def terminate(pid: int) -> None:
    """End the connection as a server does that restarts, and wait until it is gone."""
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])

        def is_gone() -> bool:
            found = other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid])
            return found.fetchone() is None

        wait_until(is_gone, what="the end of the connection")


def test_a_connection_that_its_server_closed_is_replaced_before_it_is_used() -> None:
    pid = backend()
    terminate(pid)

    drop_dead()

    assert backend() != pid


def test_a_sound_connection_is_left_alone_and_not_asked() -> None:
    pid = backend()

    with CaptureQueriesContext(connection) as asked:
        drop_dead()

    assert len(asked) == 0
    assert backend() == pid


def in_autocommit() -> int:
    return backend()


def in_a_transaction() -> int:
    with transaction.atomic():
        return backend()


@pytest.mark.parametrize("work", [in_autocommit, in_a_transaction])
def test_work_on_a_dead_connection_is_done_on_a_new_one(work: Callable[[], int]) -> None:
    pid = backend()
    terminate(pid)

    assert reconnecting(work) != pid
    assert connection.get_autocommit()


def test_a_statement_that_fails_on_a_sound_connection_is_not_repeated() -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '10ms'; SELECT pg_sleep(10)")

    with pytest.raises(OperationalError, match="statement timeout"):
        reconnecting(work)
    connection.close()  # it has the time-out

    assert calls == [1]


def test_a_transaction_is_never_taken_up_in_the_middle() -> None:
    def work() -> None:
        with transaction.atomic():
            terminate(backend())
            reconnecting(backend)

    with pytest.raises(OperationalError):
        work()

    assert backend()


def test_other_errors_come_out_at_once() -> None:
    with pytest.raises(ProgrammingError), connection.cursor() as cursor:
        reconnecting(lambda: cursor.execute("SELECT nonsense"))


def test_work_waits_for_a_server_that_restarts(services: EmbeddedServices) -> None:
    pid = backend()
    services.processes.kill("postgres")
    restart = threading.Thread(target=services.restart, args=["postgres"])
    restart.start()

    assert reconnecting(backend, patience=timedelta(minutes=1)) != pid
    restart.join()


def test_without_patience_a_server_that_is_away_is_an_error(services: EmbeddedServices) -> None:
    backend()
    services.processes.kill("postgres")
    try:
        with pytest.raises(OperationalError):
            reconnecting(backend)
    finally:
        services.restart("postgres")

    assert backend()
