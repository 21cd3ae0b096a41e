"""The Celery task of deliveries. Its message holds ids and nothing else."""

from celery import shared_task

from subscriptions import handing
from subscriptions.deliveries.courier import courier


@shared_task(name=handing.TASK, ignore_result=True)
def deliver(delivery_ids: list[int]) -> None:
    courier().dispatch(delivery_ids)
