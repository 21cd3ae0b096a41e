"""`manage.py relay`: outbox to deliveries, retries, the engine's due timers. SIGTERM stops it."""

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from subscriptions.relaying import BESIDE, Relay

LAST_MOMENT_SECONDS = 2.0


class Command(BaseCommand):
    help = (
        "Move events from the outbox to their subscriptions' handlers, and send what is due."
        " One relay works, others stand by; with --shards each of so many reads a part of the"
        " companies, and all of them must run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--shards",
            type=int,
            default=1,
            metavar="N",
            help="into how many parts the outbox is split, the same for all relays; default 1",
        )
        parser.add_argument(
            "--shard",
            type=int,
            metavar="I",
            help="which part to read, 0 to N-1; default: the first that no other relay reads",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        try:
            relay = Relay(stop, shard=options["shard"], shards=options["shards"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        threads = [begin(stop) for begin in BESIDE]
        relay.run()
        for thread in threads:
            thread.join(LAST_MOMENT_SECONDS)
