"""Celery's settings: SQS as broker, ids-only JSON messages, nothing that needs a result backend."""

from django.conf import settings
from kombu import Queue as KombuQueue

broker_url = "sqs://"
broker_connection_retry_on_startup = True
broker_transport_options = {
    "region": settings.AWS_REGION,
    "queue_name_prefix": settings.SQS_QUEUE_PREFIX,
    "wait_time_seconds": 20,
    "polling_interval": 0.01,
    "sqs_base64_encoding": False,
}

task_queues = [KombuQueue(queue.name) for queue in settings.QUEUES if queue.consumed_by_worker]
task_default_queue = "default"
task_create_missing_queues = False
task_ignore_result = True
task_acks_late = True  # a message is only a wake-up; the row decides who acts
worker_prefetch_multiplier = 1
worker_enable_remote_control = False  # SQS cannot carry it: see counterpoint.control
