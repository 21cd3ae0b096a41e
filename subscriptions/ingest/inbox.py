"""The inbox forgets: ids of events that no message can bring again."""

from datetime import timedelta

from subscriptions.statements import execute

PRUNE = """
DELETE FROM event_system_inbox WHERE id = ANY (ARRAY(
    SELECT id FROM event_system_inbox WHERE received_at < clock_timestamp() - %s
    ORDER BY received_at LIMIT %s FOR UPDATE SKIP LOCKED))
"""
AT_ONCE = 5000


def prune(keep: timedelta) -> int:
    """Delete entries that are older than `keep`, by thousands; return how many.

    SQS keeps a message for 14 days at most, and anew when it is moved out of a dead-letter queue.
    """
    pruned = 0
    while True:
        count = execute(PRUNE, [keep, AT_ONCE])
        pruned += count
        if count < AT_ONCE:
            return pruned
