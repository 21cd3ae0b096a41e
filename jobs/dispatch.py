"""Wake-up messages: a step's ids onto its SQS queue. Losing one costs time only; the sweep sends it
again.
"""

from dataclasses import dataclass
from uuid import UUID

import structlog
from celery import current_app

from jobs.plan import COMPENSATE

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WakeUp:
    """One step to look at: its row's id, its run, and the Celery task and queue that it goes to."""

    step_run_id: int
    run_id: UUID
    step: str
    queue: str
    is_compensation: bool

    @property
    def task(self) -> str:
        return self.step + (COMPENSATE if self.is_compensation else "")


def send(wake_ups: list[WakeUp]) -> int:
    """Send each as a message of two ids and return how many went out; a broker that is away is
    logged.
    """
    sent = 0
    for wake_up in wake_ups:
        try:
            current_app.send_task(
                wake_up.task,
                args=[str(wake_up.run_id), wake_up.step_run_id],
                queue=wake_up.queue,
                ignore_result=True,
                retry=False,
            )
        except Exception as error:
            # Celery, kombu, boto3 and sockets each have their own. Nothing is lost: the row is
            # ready, and the sweep sends what no worker came for.
            log.warning(
                "wake_up_not_sent", step=wake_up.step, run_id=str(wake_up.run_id), error=str(error)
            )
        else:
            sent += 1
    return sent
