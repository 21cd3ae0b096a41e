"""The monitor application's settings: Redis as broker, for events and remote control only."""

from django.conf import settings

broker_url = settings.REDIS_URL
broker_connection_retry_on_startup = True
broker_transport_options = {
    "socket_connect_timeout": 0.5,
    "socket_timeout": 5,  # above the second that kombu lets a blocking read wait
    "health_check_interval": 5,
    # Several installations may share one Redis, as they may share one AWS account.
    "global_keyprefix": settings.SQS_QUEUE_PREFIX,
}
accept_content = ["json"]
control_queue_expires = 60.0
