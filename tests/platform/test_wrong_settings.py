"""A wrong setting ends every command in one line that names it, with exit code 2."""

import os
import subprocess
import sys

import pytest
from django.core.management import call_command

from counterpoint import sqs

NO_DATABASE = "postgresql://user:hunter2@127.0.0.1:1/none"
COMMANDS = {
    "manage.py": ["manage.py", "migrate"],
    "worker": ["-m", "celery", "-A", "counterpoint", "worker"],
    "worker of threads": ["-m", "celery", "-A", "counterpoint", "worker", "--pool", "threads"],
    "beat": ["-m", "celery", "-A", "counterpoint", "beat"],
    "inspect": ["-m", "celery", "-A", "counterpoint.monitor", "inspect", "ping"],
    "flower": ["-m", "celery", "-A", "counterpoint.monitor", "flower"],
    "web": ["-m", "gunicorn", "--config", "python:counterpoint.web", "--bind", "127.0.0.1:0"],
}


def run(command: str, **variables: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines of the error output that are not blank."""
    ended = subprocess.run(
        [sys.executable, *COMMANDS[command]],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, [line for line in ended.stderr.splitlines() if line.strip()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_url_that_is_none_ends_it(command: str) -> None:
    code, lines = run(command, DATABASE_URL="localhost/database")

    assert code == 2
    assert lines == [
        "DATABASE_URL: is not a URL of the form "
        "postgres://host[:port]/… or postgresql://host[:port]/…"
    ]


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL"])
def test_what_has_no_default_must_be_set(name: str) -> None:
    assert run("manage.py", **{name: ""}) == (
        2,
        [f"{name}: is not set; see .env.example for what it takes"],
    )


@pytest.mark.parametrize("command", ["manage.py", "worker", "beat"])
def test_a_database_that_does_not_answer_ends_it(command: str) -> None:
    call_command("ensure_queues", verbosity=0)

    code, lines = run(command, DATABASE_URL=NO_DATABASE)

    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("DATABASE_URL: connection failed")
    assert "hunter2" not in lines[0]


def test_a_database_that_does_not_exist_is_named() -> None:
    url = os.environ["DATABASE_URL"].rpartition("/")[0] + "/nowhere"

    code, lines = run("manage.py", DATABASE_URL=url)

    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("DATABASE_URL: ")
    assert 'database "nowhere" does not exist' in lines[0]


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_a_queue_without_its_dead_letter_queue_ends_it(command: str) -> None:
    call_command("ensure_queues", verbosity=0)
    client = sqs.client()
    client.delete_queue(QueueUrl=sqs.find(client, "events-dlq"))
    try:
        code, lines = run(command)
    finally:
        call_command("ensure_queues", verbosity=0)

    name = sqs.full_name("events")
    assert (code, lines) == (
        2,
        [
            f"SQS_QUEUE_PREFIX: SQS queue {name} is without its dead-letter queue {name}-dlq: "
            "run manage.py ensure_queues"
        ],
    )


def test_an_sqs_that_does_not_answer_ends_the_worker() -> None:
    code, lines = run("worker", SQS_ENDPOINT_URL="http://127.0.0.1:9")

    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("SQS_ENDPOINT_URL: ")


def test_a_pool_that_cannot_interrupt_a_step_ends_the_worker() -> None:
    call_command("ensure_queues", verbosity=0)

    code, lines = run("worker of threads")

    assert code == 2
    # Before it Celery may say what it thinks of root.
    assert lines[-1] == (
        "--pool: 'thread' cannot interrupt a step at its timeout; use prefork, the default, or solo"
        " for debugging"
    )
