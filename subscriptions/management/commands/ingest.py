"""`manage.py ingest`: events from outside, out of SQS into the outbox. SIGTERM stops it."""

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from subscriptions.ingest.process import Ingest

QUEUE = "events"


class Command(BaseCommand):
    help = (
        "Receive events from the SQS queue 'events', and from those of INGEST_QUEUE_COMPANIES,"
        " and put them into the outbox. Several may run beside each other."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queue",
            action="append",
            metavar="NAME",
            help="read this queue alone; may be given several times",
        )
        parser.add_argument(
            "--threads",
            type=int,
            default=settings.INGEST_THREADS,
            metavar="N",
            help="that receive from each queue; default INGEST_THREADS (%(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        queues = options["queue"] or [QUEUE, *settings.INGEST_QUEUE_COMPANIES]
        known = [queue.name for queue in settings.QUEUES if not queue.consumed_by_worker]
        unknown = sorted(set(queues) - set(known))
        if unknown:
            raise CommandError(
                f"no queue of events: {', '.join(unknown)}; there are {', '.join(known)}, and"
                " INGEST_QUEUE_COMPANIES adds more"
            )
        if options["threads"] < 1:
            raise CommandError("--threads: at least 1")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        Ingest(stop, queues=list(dict.fromkeys(queues)), threads=options["threads"]).run()
