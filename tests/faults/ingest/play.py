"""A sender, ingest that is killed again and again, and PostgreSQL restarted in the middle."""

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from counterpoint.embedded import EmbeddedServices
from counterpoint.embedded.application import procfile
from counterpoint.embedded.services import POSTGRES
from jobs import sqs
from tests.faults.ingest import judgement
from tests.faults.ingest.postman import Postman
from tests.faults.ingest.posts import posts
from tests.faults.seeds import rng
from tests.waiting import wait_until

BATCH = 10
SENDERS = 2
WORK_SECONDS = 600.0  # for the messages between two kills
PATIENCE_SECONDS = 60.0  # without anything leaving the queue
PROGRESS = 20  # events that ingest makes before it is killed
NAMES = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
QUEUE = "events"


@dataclass
class Outcome:
    """What it came to; `again` messages came a second time because a deletion was forgotten."""

    seed: int
    messages: int = 0
    broken: int = 0
    again: int = 0
    kills: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        line = (
            f"seed {self.seed}: {self.messages:,} messages, {self.broken} broken, {self.again}"
            f" handed out again, {self.kills} kills of ingest"
        )
        return "\n  ".join([line, *self.violations])


class IngestPlay:
    """Plays one seed on the given services and database; leaves no process."""

    def __init__(
        self,
        services: EmbeddedServices,
        settings: Mapping[str, str],
        *,
        seed: int,
        messages: int,
        kills: int,
    ) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        prefix = f"ingest-{seed}-"
        self.services = services
        self.settings = {**settings, "EXTRA_APPS": "tests.faults.ingest", "PATH": path}
        self.settings["SQS_QUEUE_PREFIX"] = prefix
        self.seed, self.kills = seed, kills
        self.posts = posts(seed, messages)
        with override_settings(SQS_QUEUE_PREFIX=prefix):
            call_command("ensure_queues", verbosity=0)
            self._client = sqs.client()
            self._url = sqs.find(self._client, QUEUE)
            self._dead_url = sqs.find(self._client, f"{QUEUE}-dlq")

    def play(self) -> Outcome:
        """Play it to its end and judge it."""
        upstream = self.services.environment["SQS_ENDPOINT_URL"]
        with Postman(upstream, seed=self.seed) as postman:
            try:
                argv = ["/bin/sh", "-c", f"exec {procfile()['ingest']}"]
                env = {**self.settings, "SQS_ENDPOINT_URL": postman.url}
                self.services.start_process("ingest", argv, env)
                senders = self._start_senders()
                self._kill_again_and_again()
                for sender in senders:
                    sender.join()
                self._wait_until_empty()
            finally:
                self.services.processes.kill("ingest")
            outcome = Outcome(
                self.seed,
                sum(post.copies for post in self.posts),
                sum(post.is_broken for post in self.posts),
                len(postman.forgotten),
                self.kills,
            )
        with self._connect() as connection:
            outcome.violations = list(judgement.violations(connection, self.posts))
        outcome.violations += self._left()
        return outcome

    # Sending --------------------------------------------------------------------------------------

    def _start_senders(self) -> list[threading.Thread]:
        bodies = [post.body for post in self.posts for _ in range(post.copies)]
        rng(self.seed, "order").shuffle(bodies)
        threads = [
            threading.Thread(target=self._send, args=(bodies[n::SENDERS],), daemon=True)
            for n in range(SENDERS)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _send(self, bodies: Sequence[str]) -> None:
        client = sqs.client()
        for first in range(0, len(bodies), BATCH):
            entries = [
                {"Id": str(n), "MessageBody": body}
                for n, body in enumerate(bodies[first : first + BATCH])
            ]
            answer = client.send_message_batch(QueueUrl=self._url, Entries=entries)
            if answer.get("Failed"):
                raise AssertionError(f"SQS took not all: {answer['Failed']}")

    # Trouble --------------------------------------------------------------------------------------

    def _kill_again_and_again(self) -> None:
        """Kill ingest at even distances of the events, and restart PostgreSQL half way."""
        draw = rng(self.seed, "kills")
        good = sum(not post.is_broken for post in self.posts)
        for kill in range(1, self.kills + 1):
            least = max(good * kill // (self.kills + 1), self._taken_in() + PROGRESS)
            self._wait_for(least)
            time.sleep(draw.random() * 0.05)  # anywhere in a turn, not right after a commit
            self.services.processes.kill("ingest")
            self.services.processes.restart("ingest")
            if kill == (self.kills + 1) // 2:
                self._wait_for(min(self._taken_in() + PROGRESS, good))
                connections.close_all()
                self.services.restart(POSTGRES)

    def _wait_for(self, least: int) -> None:
        wait_until(partial(self._has_taken_in, least), what=f"{least} events", seconds=WORK_SECONDS)

    def _has_taken_in(self, least: int) -> bool:
        return self._taken_in() >= least

    def _taken_in(self) -> int:
        with self._connect() as connection:
            row = connection.execute("SELECT count(*) FROM event_system_inbox").fetchone()
        return int(str(row[0])) if row else 0

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.settings["DATABASE_URL"], autocommit=True)

    # The end --------------------------------------------------------------------------------------

    def _wait_until_empty(self) -> None:
        """Wait until the queue is empty, or nothing moves any more: then the judgement says it."""
        last, moved_at = -1, time.monotonic()
        while count := self._depth(self._url):
            if count != last:
                last, moved_at = count, time.monotonic()
            if time.monotonic() - moved_at > PATIENCE_SECONDS:
                return
            time.sleep(0.1)

    def _left(self) -> list[str]:
        depths = {QUEUE: self._depth(self._url), f"{QUEUE}-dlq": self._depth(self._dead_url)}
        return [f"{name} still has {depth} messages" for name, depth in depths.items() if depth]

    def _depth(self, url: Any) -> int:
        found = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=list(NAMES))
        return sum(int(found["Attributes"][name]) for name in NAMES)
