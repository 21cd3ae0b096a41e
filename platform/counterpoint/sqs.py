"""SQS for Celery: where each declared queue is, and whether SQS serves us at all."""

from collections.abc import ItemsView, Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from counterpoint.env import SettingError
from jobs.sqs import client, find, full_name

__all__ = ["QueueUrls", "client", "find", "full_name", "reachable"]


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a failure to reach SQS, or to be let in, into a SettingError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise SettingError("SQS_ENDPOINT_URL", f"SQS does not serve us ({error})") from error


class QueueUrls(dict[str, dict[str, str]]):
    """kombu's `predefined_queues`, looked up when kombu lists them: full name → {"url": …}.

    With predefined queues kombu neither lists nor creates any in SQS: it would create them without
    a dead-letter queue, and its processes would need the permissions for both. A queue that does
    not exist is left out and looked up again when kombu misses it. One request per queue and
    process.

    A dict, because a worker's remote control answers with it as JSON.
    """

    def items(self) -> ItemsView[str, dict[str, str]]:  # type: ignore[override] # dict_items is final
        """Return what is known, after looking for what is not."""
        missing = [queue.name for queue in settings.QUEUES if full_name(queue.name) not in self]
        sqs = client() if missing else None
        for name in missing:
            url = find(sqs, name)
            if url is not None:
                self[full_name(name)] = {"url": url}
        return super().items()

    def __bool__(self) -> bool:
        return True  # kombu asks whether there are any before it lists them
