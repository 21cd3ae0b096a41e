"""The workers and the relay that a page's reader has running: they catch up before each line that
is typed.
"""

import contextlib
import io
from datetime import timedelta

from jobs import services
from jobs.models import StepRun
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.jobs.conftest import Post, pass_time

ROUNDS = 5
BETWEEN_ROUNDS = timedelta(minutes=1)


class Workers:
    """Do what there is to do, and let time pass."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._router = Router()

    def catch_up(self) -> None:
        """Work until nothing is ready; for what waits for its backoff five minutes may pass."""
        with contextlib.redirect_stdout(io.StringIO()):
            relay_all(self._router)
            self._post.deliver_all()
            for _ in range(ROUNDS):
                if not StepRun.objects.filter(status=StepRun.Status.READY).exists():
                    return
                self._let_pass(BETWEEN_ROUNDS)

    def wait(self, by: timedelta) -> None:
        """Let that much time pass and do what became due."""
        self.catch_up()
        self._let_pass(by)
        self.catch_up()

    def _let_pass(self, by: timedelta) -> None:
        pass_time(by)
        services.sweep()
        self._post.deliver_all()
