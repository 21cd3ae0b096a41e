"""A proxy before SQS that keeps time-outs short, and forgets the first deletion of some messages:
they come again when their time is up.
"""

import hashlib
from typing import Any

from tests.faults.mischief import Mischief
from tests.faults.proxy import Proxy, Request

VISIBLE_SECONDS = 3
FORGOTTEN_SHARE = 0.025


class Postman(Proxy):
    """`forgotten` holds the ids of the messages whose deletion was once forgotten."""

    def __init__(self, upstream: str, *, seed: int) -> None:
        calm = Mischief(seed)
        calm.active = False
        super().__init__(upstream, calm)
        self.forgotten: set[str] = set()

    def _receive(self, request: Request) -> dict[str, Any]:
        short = {**request.parameters, "VisibilityTimeout": VISIBLE_SECONDS}
        return super()._receive(request.to("ReceiveMessage", **short))

    def _delete_batch(self, request: Request) -> dict[str, Any]:
        entries = request.parameters["Entries"]
        kept = [entry for entry in entries if not self._is_forgotten(entry["ReceiptHandle"])]
        if kept:
            url = request.parameters["QueueUrl"]
            self._json(request.to("DeleteMessageBatch", QueueUrl=url, Entries=kept))
        return {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}

    def _is_forgotten(self, handle: str) -> bool:
        message_id = self._ids.get(handle, "")
        if message_id in self.forgotten:
            return False
        drawn = hashlib.sha256(f"{self.mischief.seed}/{message_id}".encode()).digest()
        if drawn[0] * 256 + drawn[1] >= FORGOTTEN_SHARE * 65_536:
            return False
        self.forgotten.add(message_id)
        return True
