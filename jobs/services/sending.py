"""Messages go out when what they speak of is committed."""

from collections.abc import Sequence
from functools import partial

from django.db import transaction

from jobs import dispatch
from jobs.crashpoints import Point, reached
from jobs.dispatch import WakeUp


def send_after_commit(wake_ups: Sequence[WakeUp]) -> None:
    """Send the wake-ups when the transaction at hand commits; at once outside of one."""
    if wake_ups:
        transaction.on_commit(partial(_send, list(wake_ups)))


def _send(wake_ups: list[WakeUp]) -> None:
    reached(Point.SENDING)
    dispatch.send(wake_ups)
    reached(Point.SENT)
