"""`manage.py relay`: outbox to deliveries, retries, the engine's due timers. SIGTERM stops it."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from subscriptions.relaying import Relay


class Command(BaseCommand):
    help = "Move events from the outbox to their subscriptions' handlers, and send what is due."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        Relay(stop).run()
