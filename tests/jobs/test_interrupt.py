"""Time limits interrupt whatever a step may be doing, and leave nothing behind."""

import contextlib
import faulthandler
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import FrameType
from typing import Any

import httpx
import pytest
from django.db import connection, transaction
from psycopg.pq import TransactionStatus

from jobs import interrupt
from jobs.interrupt import StepTimeout, shared_watchdog, time_limit
from tests.waiting import wait_until

BRIEF = timedelta(milliseconds=50)
LONG = timedelta(hours=1)
NOBODY_ANSWERS = 600.0


def busy() -> None:
    while True:
        pass


def wait_for_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def wait_for_thread() -> None:
    threading.Event().wait()


def wait_for_process() -> None:
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"], check=False)


def wait_for_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        httpx.get(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=NOBODY_ANSWERS)


def sleep() -> None:
    time.sleep(NOBODY_ANSWERS)


@pytest.mark.parametrize(
    "work", [sleep, busy, wait_for_lock, wait_for_thread, wait_for_process, wait_for_http]
)
def test_whatever_runs_too_long_is_interrupted(work: Callable[[], None]) -> None:
    with pytest.raises(StepTimeout, match=r"no result within 0\.05 s"), time_limit(BRIEF):
        work()


def test_what_ends_in_time_is_left_alone() -> None:
    with time_limit(LONG):
        value = sum(range(1000))

    assert value == 499_500


def test_the_handler_and_the_timer_of_others_come_back() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    before, _ = signal.getitimer(signal.ITIMER_REAL)  # the test's own time limit

    with time_limit(LONG):
        pass

    after, _ = signal.getitimer(signal.ITIMER_REAL)
    assert signal.getsignal(signal.SIGALRM) is handler
    assert bool(after) == bool(before)
    assert after <= before


@pytest.fixture
def alarms() -> Iterator[list[int]]:
    """The alarms that a timer set by others has rung."""
    rung: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    yield rung
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def test_a_timer_of_others_that_is_due_sooner_still_rings(alarms: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, BRIEF.total_seconds())

    with time_limit(LONG):
        wait_until(lambda: alarms, what="the alarm of others")

    assert alarms == [signal.SIGALRM]


def test_an_interrupt_at_any_moment_never_escapes_the_block(alarms: list[int]) -> None:
    """The limit passes around the block's end, a little earlier or later each time."""
    interrupted = ended = 0
    for number in range(1000):
        try:
            with time_limit(timedelta(microseconds=20 + number % 200)):
                for _ in range(number % 400):
                    pass
            ended += 1
        except StepTimeout:
            interrupted += 1
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)

    assert (interrupted + ended, alarms) == (1000, [])
    assert ended


@pytest.mark.usefixtures("alarms")
def test_an_alarm_that_is_handled_after_the_block_sets_no_timer() -> None:
    """Python calls the handler a little after the signal: when the timer has been taken away."""
    rung: list[str] = []

    def ring(frame: FrameType, event: str, called: object) -> None:
        handler = signal.getsignal(signal.SIGALRM)
        is_leaving = frame.f_globals is vars(interrupt) and frame.f_code.co_name == "__exit__"
        if is_leaving and event == "c_return" and called is signal.setitimer and callable(handler):
            rung.append(event)
            handler(signal.SIGALRM, frame)

    sys.setprofile(ring)
    try:
        with time_limit(LONG):
            pass
    finally:
        sys.setprofile(None)

    assert rung
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.usefixtures("alarms")
def test_an_alarm_in_the_limits_own_code_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_set_timer", lambda *_: None)
    own: list[str] = []

    def ring(frame: FrameType, event: str, _: object) -> None:
        handler = signal.getsignal(signal.SIGALRM)
        if frame.f_globals is vars(interrupt) and callable(handler):
            own.append(f"{event} {frame.f_code.co_name}")
            handler(signal.SIGALRM, frame)

    sys.setprofile(ring)
    try:
        with time_limit(timedelta(seconds=-1)):
            pass
    finally:
        sys.setprofile(None)

    assert {"return __enter__", "call __exit__", "return __exit__"} <= set(own)


@pytest.mark.usefixtures("alarms")
def test_code_that_holds_a_lock_is_spared_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_set_timer", lambda *_: None)
    module: dict[str, Any] = {"__name__": "threading", "sys": sys}
    exec("def acquire(): return sys._getframe()", module)  # noqa: S102 - code of another module

    def ring() -> None:
        handler = signal.getsignal(signal.SIGALRM)
        assert callable(handler)
        handler(signal.SIGALRM, module["acquire"]())

    def work() -> None:
        for _ in range(interrupt.SPARED):
            ring()
        spared.append(True)
        ring()

    spared: list[bool] = []
    with pytest.raises(StepTimeout), time_limit(timedelta(seconds=-1)):
        work()

    assert spared == [True]


def test_the_nearer_of_two_limits_counts() -> None:
    with pytest.raises(StepTimeout) as caught, time_limit(BRIEF), time_limit(LONG):
        sleep()

    assert caught.value.limit == BRIEF


def test_an_outer_limit_goes_on_after_an_inner_one() -> None:
    def work() -> None:
        with time_limit(LONG):
            pass
        with contextlib.suppress(StepTimeout), time_limit(BRIEF):
            sleep()
        sleep()

    with pytest.raises(StepTimeout) as caught, time_limit(BRIEF * 2):
        work()

    assert caught.value.limit == BRIEF * 2


def test_code_that_swallows_the_interrupt_is_interrupted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interrupt, "AGAIN_SECONDS", 0.05)
    swallowed = []

    def work() -> None:
        for number in range(3):
            try:
                sleep()
            except:  # noqa: E722 - what authors write
                swallowed.append(number)

    with pytest.raises(StepTimeout), time_limit(BRIEF):
        work()

    assert swallowed == [0, 1, 2]


def test_an_error_raised_in_answer_to_the_interrupt_is_what_comes_out() -> None:
    def work() -> None:
        try:
            sleep()
        except StepTimeout as timeout:
            raise LookupError from timeout

    with pytest.raises(LookupError), time_limit(BRIEF):
        work()


def test_another_thread_has_no_limit() -> None:
    ended = threading.Event()

    def work() -> None:
        with time_limit(timedelta(microseconds=1)):
            wait_until(lambda: True, what="nothing")
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert ended.is_set()


STUBBORN = """
import time
from datetime import timedelta
from jobs.interrupt import shared_watchdog, time_limit

def stay():
    while True:
        try:
            time.sleep(600)
        except:
            pass

with {around}, time_limit(timedelta(seconds=0.1), grace=timedelta(seconds=0.2)):
    stay()
"""


@pytest.mark.parametrize("around", ["shared_watchdog()", "time_limit(timedelta(hours=1))"])
def test_code_that_never_yields_is_killed_and_shows_where_it_was(around: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STUBBORN.format(around=around)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert "in stay" in ended.stderr


OUTLIVES = """
import time
from datetime import timedelta
from jobs.interrupt import shared_watchdog, time_limit

with shared_watchdog():
    for _ in range(3):
        with time_limit(timedelta(seconds=60), grace=timedelta(seconds=-59.9)):
            pass
time.sleep(2)
print("alive")
"""


def test_no_watchdog_is_left_over() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", OUTLIVES], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (0, "alive\n")


def test_a_shared_watchdog_is_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    real = faulthandler.dump_traceback_later

    def start(*arguments: Any, **options: Any) -> None:
        started.append(1)
        real(*arguments, **options)

    monkeypatch.setattr(faulthandler, "dump_traceback_later", start)

    with shared_watchdog():
        for _ in range(5):
            with time_limit(timedelta(minutes=5)):
                pass

    assert len(started) == 1


# Database connections -----------------------------------------------------------------------------


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def statement_of(pid: int) -> tuple[str, str] | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT state, query FROM pg_stat_activity WHERE pid = %s", [pid])
        found: tuple[str, str] | None = cursor.fetchone()
        return found


def query_for_ever() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(600)")


def copy_for_ever() -> None:
    rows = "SELECT number, pg_sleep(0.01) FROM generate_series(1, 1e6) number"
    with connection.cursor() as cursor, cursor.copy(f"COPY ({rows}) TO STDOUT") as copy:
        for _ in copy:
            pass


@pytest.mark.usefixtures("transactional_db")
def test_an_interrupted_query_ends_on_the_server_and_keeps_its_connection() -> None:
    pid = backend()

    with pytest.raises(StepTimeout), time_limit(BRIEF):
        query_for_ever()

    assert backend() == pid  # so the server does not sleep on in it
    assert connection.connection.info.transaction_status == TransactionStatus.IDLE


@pytest.mark.usefixtures("transactional_db")
def test_an_interrupted_copy_has_its_connection_replaced() -> None:
    pid = backend()

    with pytest.raises(StepTimeout), time_limit(BRIEF):
        copy_for_ever()

    assert backend() != pid or connection.connection.info.transaction_status == (
        TransactionStatus.IDLE
    )
    wait_until(lambda: (statement_of(pid) or ("idle",))[0] != "active", what="the COPY's end")


@pytest.mark.usefixtures("transactional_db")
def test_an_interrupted_transaction_is_rolled_back() -> None:
    with pytest.raises(StepTimeout), time_limit(BRIEF), transaction.atomic():
        query_for_ever()

    assert not connection.in_atomic_block
    assert connection.connection.info.transaction_status == TransactionStatus.IDLE


@pytest.mark.usefixtures("transactional_db")
def test_a_transaction_around_the_block_is_rolled_back_whole() -> None:
    with pytest.raises(StepTimeout), transaction.atomic(), time_limit(BRIEF):
        query_for_ever()

    assert not connection.in_atomic_block
    assert backend()


@pytest.mark.usefixtures("transactional_db")
def test_what_django_believes_of_a_connection_is_put_right() -> None:
    """As an interrupt between two lines of `atomic` leaves it."""
    pid = backend()

    def work() -> None:
        transaction.atomic().__enter__()
        sleep()

    with pytest.raises(StepTimeout), time_limit(BRIEF):
        work()

    assert not connection.in_atomic_block
    assert backend() != pid
    assert connection.get_autocommit()
    with transaction.atomic():
        backend()
    assert connection.connection.info.transaction_status == TransactionStatus.IDLE
