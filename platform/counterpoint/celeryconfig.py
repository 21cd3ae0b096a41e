"""Celery's settings: SQS as broker, ids-only JSON messages, nothing that needs a result backend."""

from urllib.parse import urlsplit

from django.conf import settings
from kombu import Exchange
from kombu import Queue as KombuQueue

from counterpoint.sqs import QueueUrls

# kombu takes an endpoint other than AWS's from the URL, and TLS from the options. Credentials come
# from where boto3 looks for them: the environment, or the role of the machine.
_endpoint = urlsplit(settings.SQS_ENDPOINT_URL)
broker_url = f"sqs://{_endpoint.netloc}"
broker_transport = "counterpoint.transport:Transport"
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # an outage of SQS may last as long as it likes
broker_transport_options = {
    "region": settings.AWS_REGION,
    "is_secure": _endpoint.scheme != "http",
    "queue_name_prefix": settings.SQS_QUEUE_PREFIX,
    "predefined_queues": QueueUrls(),
    "wait_time_seconds": 20,
    "polling_interval": 0.01,  # it comes on top of the long poll
    "sqs_base64_encoding": False,  # it costs a third of every message
    "client-config": {"connect_timeout": 5, "read_timeout": 30},
}

task_queues = [
    KombuQueue(queue.name, Exchange(queue.name), routing_key=queue.name)
    for queue in settings.QUEUES
    if queue.consumed_by_worker
]
task_default_queue = "default"
task_create_missing_queues = False
task_ignore_result = True
task_acks_late = True  # a message is only a wake-up; the row decides who acts
task_serializer = "json"
accept_content = ["json"]
worker_prefetch_multiplier = settings.WORKER_PREFETCH
worker_redirect_stdouts = False  # structlog's lines are whole already
beat_scheduler = "counterpoint.beat:Scheduler"
worker_enable_remote_control = False  # SQS cannot carry it: see counterpoint.control
# Celery's Django fixup would close the database connection before and after each task; with this
# it does so every 10,000 tasks (by the name of its first versions, which is the only one it knows).
CELERY_DB_REUSE_MAX = 10_000
