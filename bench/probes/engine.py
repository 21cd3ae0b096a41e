"""Start this engine's runs, wait for their ends, and time what needs no worker."""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from statistics import median
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
django.setup()

from django.core.management import call_command  # noqa: E402 - the models exist only now
from django.db import connection  # noqa: E402

from bench import fill  # noqa: E402
from bench.errors import BenchError  # noqa: E402
from bench.flows import workflows  # noqa: E402
from bench.proxy import CountingProxy  # noqa: E402
from bench.shape import ENGINE_QUEUES, STEPS, WIDTH  # noqa: E402
from counterpoint import sqs  # noqa: E402
from jobs import dispatch, execution  # noqa: E402
from jobs.interrupt import shared_watchdog  # noqa: E402
from jobs.models import Run, StepRun  # noqa: E402
from jobs.registry import registry  # noqa: E402

COMPANY = "bench"
WORKER = "bench:probe:1"
POLL_SECONDS = 0.1  # seldom: the ends have their times, and looking costs what is measured
FLUSH_SECONDS = 120.0


def prepare() -> None:
    """Make the tables in a database of one's own, and the queues."""
    call_command("migrate", verbosity=0, interactive=False)
    call_command("ensure_queues", verbosity=0)


def start(flow: str, count: int) -> dict[str, Any]:
    """Start runs one after the other; return their ids and the Unix time before the first."""
    workflow = registry.workflow(flow)
    began = time.time()
    ids = [str(workflow.start(_input(flow), company=COMPANY).pk) for _ in range(count)]
    return {"ids": ids, "began": began, "took": time.time() - began}


def _input(flow: str) -> Any:
    return [1] * WIDTH if flow == "bench/each" else 1


def settle() -> None:
    """Wait until every message of the runs started here has been sent."""
    if not dispatch.flush(timeout=FLUSH_SECONDS):
        raise BenchError(f"messages were not sent within {FLUSH_SECONDS:g} s")


def wait(ids: list[str], output: int, wait_seconds: float) -> float:
    """Wait for the runs' ends and return the Unix time of the last one, as Postgres wrote it.

    Raises BenchError if one did not succeed with this output, has a step that succeeded twice, or
    none of it in time.
    """
    deadline = time.monotonic() + wait_seconds
    runs = Run.objects.filter(pk__in=ids)
    while open_runs := runs.filter(finished_at=None).count():
        if time.monotonic() > deadline:
            raise BenchError(
                f"{open_runs} of {len(ids)} runs have not ended after {wait_seconds:g} s"
            )
        time.sleep(POLL_SECONDS)
    wrong = [run for run in runs if run.status != Run.Status.SUCCEEDED or run.output != output]
    if wrong:
        first = wrong[0]
        raise BenchError(
            f"{len(wrong)} of {len(ids)} runs went wrong: {first.pk} {first.status},"
            f" output {first.output!r}, error {first.error}"
        )
    _check_attempts(ids)
    ends: list[datetime] = [run.finished_at for run in runs if run.finished_at]
    return max(ends).timestamp()


def _check_attempts(ids: list[str]) -> None:
    """Raise BenchError if a step, a join's among them, was carried out more than once."""
    again = StepRun.objects.filter(run_id__in=ids, attempts__gt=1)
    if again.exists():
        raise BenchError(f"{again.count()} steps ran more than once, first {again[0]}")


def steps(count: int) -> list[float]:
    """Run chains to their ends in this process; return each one's milliseconds a step."""
    runs = (workflows.chain.start(1, company=COMPANY) for _ in range(count))
    return [_perform(run.pk) / STEPS for run in runs]


def _perform(run_id: Any) -> float:
    """Do what a worker does for each message of the run, and return the milliseconds of it."""
    seconds = 0.0
    for step_run_id in _ready(run_id):
        began = time.perf_counter()
        with shared_watchdog():  # as the task of a message does
            execution.perform(step_run_id, worker=WORKER)
        seconds += time.perf_counter() - began
    return seconds * 1000


def _ready(run_id: Any) -> Iterator[int]:
    """Yield the steps that a message has been sent for, until there is none any more."""
    ready = StepRun.objects.filter(run_id=run_id, status=StepRun.Status.READY)
    while found := list(ready.values_list("pk", flat=True)):
        yield from found


def counts(flow: str) -> dict[str, int]:
    """Return the round trips to Postgres and the messages to SQS of one run, its start's left out
    of the first.

    What goes over the wire is counted, so that nothing the driver sends by itself is missed.
    """
    workflow = registry.workflow(flow)
    _perform(workflow.start(_input(flow), company=COMPANY).pk)  # reads what is read once a process
    clear()
    run_id = workflow.start(_input(flow), company=COMPANY).pk
    connection.close()
    port = connection.settings_dict["PORT"]
    with CountingProxy(connection.settings_dict["HOST"], int(port)) as proxy:
        connection.settings_dict["PORT"] = str(proxy.port)
        trips = 0
        for step_run_id in _ready(run_id):
            before = proxy.turns
            execution.perform(step_run_id, worker=WORKER)
            trips += proxy.turns - before
        connection.close()
    connection.settings_dict["PORT"] = port
    settle()
    messages = _messages(ENGINE_QUEUES)
    clear()
    return {"round_trips": trips, "messages": messages}


def starts(count: int) -> float:
    """Return the median milliseconds of one `start()`; clears its queue afterwards."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        workflows.chain.start(1, company=COMPANY)
        found.append(time.perf_counter() - began)
    clear()
    return median(found) * 1000


def start_many(count: int) -> dict[str, float]:
    """Start runs at once; return the seconds until it returned and until SQS had every message."""
    began = time.perf_counter()
    workflows.chain.start_many([1] * count, company=COMPANY)
    returned = time.perf_counter() - began
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM jobs_run WHERE finished_at IS NULL")
        (stored,) = cursor.fetchone()
    if stored != count:
        raise BenchError(f"start_many stored {stored} runs of {count}")
    while _messages(ENGINE_QUEUES[:1]) < count:
        if time.perf_counter() - began > FLUSH_SECONDS:
            raise BenchError(f"not all of {count} messages came within {FLUSH_SECONDS:g} s")
        time.sleep(POLL_SECONDS)
    sent = time.perf_counter() - began
    clear()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE jobs_run CASCADE")
    return {"returned": returned, "sent": sent}


def _messages(queues: Sequence[str]) -> int:
    """Return how many messages wait in the queues together."""
    client = sqs.client()
    name = "ApproximateNumberOfMessages"
    answers = (
        client.get_queue_attributes(QueueUrl=sqs.find(client, queue), AttributeNames=[name])
        for queue in queues
    )
    return sum(int(answer["Attributes"][name]) for answer in answers)


def track_functions() -> None:
    """Have Postgres time the functions that are called from here on."""
    with connection.cursor() as cursor:
        cursor.execute("SET track_functions = 'all'")


def function_times() -> str:
    """Return a line for each of the engine's functions: calls, with and without what it calls."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT format('%s: %s calls, %s, alone %s', funcname, calls,"
            " round((total_time / calls)::numeric, 3), round((self_time / calls)::numeric, 3))"
            " FROM pg_stat_user_functions ORDER BY total_time DESC"
        )
        return "\n".join(line for (line,) in cursor.fetchall())


def clear() -> None:
    """Empty the queues of what nobody is to work on."""
    settle()
    client = sqs.client()
    for name in ENGINE_QUEUES:
        client.purge_queue(QueueUrl=sqs.find(client, name))


def fill_finished(count: int) -> int:
    """Put finished runs into the tables, copies of one that really ran; return the rows made."""
    run = workflows.chain.start(1, company=COMPANY)
    _perform(run.pk)
    clear()
    return fill.copies(run.pk, count)


HANDLERS = {
    function.__name__: function
    for function in (
        prepare, start, settle, wait, steps, counts, starts, start_many, clear, fill_finished,
        track_functions, function_times,
    )
}  # fmt: skip
