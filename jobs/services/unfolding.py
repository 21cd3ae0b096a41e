"""An `each` becomes its items."""

import json
from typing import Any

from django.conf import settings
from django.db import transaction

from jobs.crashpoints import Point, reached
from jobs.errors import LostLease
from jobs.plan import Node, references
from jobs.services.sending import send_after_commit
from jobs.transitions import moves
from jobs.transitions.claims import Claim
from jobs.ways import FIRST_MESSAGES, queue_of


def unfold(held: Claim, node: Node, items: list[Any] | None) -> bool:
    """Insert an item for each element and send the first; False if there is nothing to do.

    Of a rollback, `items` is None: what was done is undone. Raises `LostLease`.
    """
    others = {key: value for key, value in node.inputs.items() if key != "items"}
    needs = sorted({name for value in others.values() for name in references(value)})
    with transaction.atomic():
        wake_ups = moves.expand(
            held,
            items=None if items is None else json.dumps(items, ensure_ascii=False),
            step=node.step,
            kind=node.extra["body"],
            queue=queue_of(node, held.run_queue),
            needs=json.dumps(needs),
            at_once=node.extra["max_parallel"],
            first=FIRST_MESSAGES,
            resend=settings.JOBS_RESEND_AFTER,
        )
        if wake_ups is None:
            raise LostLease(held.node)
        send_after_commit(wake_ups)
        reached(Point.ITEMS_WRITTEN)
    reached(Point.UNFOLDED)
    return bool(wake_ups)
