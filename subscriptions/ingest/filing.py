"""A batch of messages into inbox, outbox and dead letters: one transaction, one statement for all
events of it.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog
from django.db import DataError, Error, connection, transaction

from subscriptions.ingest import envelopes
from subscriptions.ingest.companies import Companies
from subscriptions.ingest.envelopes import Incoming, Refusal
from subscriptions.ingest.message import Message
from subscriptions.statements import execute, execute_prepared

log = structlog.get_logger(__name__)

# The ids that are new become events; what is there already, or is being taken in by another
# process, does not. Sorted, so that two processes with the same ids do not wait for each other in
# a circle. The cast to jsonb refuses what filters and runs could not read. One parameter: to make
# arrays of the columns would take Python as long as all the rest.
FILE = """
WITH given AS (
    SELECT * FROM json_to_recordset(%s::json) AS given (company text, source text, source_id text,
        queue text, message_id text, attempts integer, receive_count integer, type text,
        version integer, payload text, "timestamp" timestamptz, key text, correlation_id text,
        place integer)
), taken AS (
    INSERT INTO event_system_inbox
        (company, source, source_id, queue, message_id, attempts, receive_count)
    SELECT company, source, source_id, queue, message_id, attempts, receive_count
    FROM given ORDER BY source_id, source, company
    ON CONFLICT DO NOTHING
    RETURNING event_id, company, source, source_id
)
INSERT INTO event_system_event (id, source, source_id, company, type, version, payload,
    "timestamp", key, correlation_id, depth)
SELECT taken.event_id, given.source, given.source_id, given.company, given.type, given.version,
    given.payload::json, given."timestamp", given.key, given.correlation_id, 0
FROM taken JOIN given USING (company, source, source_id)
WHERE given.payload::jsonb IS NOT NULL
ORDER BY given.place
"""

# Of a message whose event was taken in before, say under an older contract, nothing is left to do.
BURY = """
INSERT INTO event_system_dead_letter AS dead (company, source, source_id, type, queue, message_id,
    reason, problem, body, attributes, receive_count, sent_at)
SELECT %(company)s::text, %(source)s, %(source_id)s, %(type)s, %(queue)s, %(message_id)s,
    %(reason)s, %(problem)s, %(body)s, %(attributes)s, %(receive_count)s, %(sent_at)s
WHERE NOT EXISTS (
    SELECT FROM event_system_inbox WHERE company = %(company)s::text AND source = %(source)s
        AND source_id = %(source_id)s AND message_id = %(message_id)s)
ON CONFLICT (source, source_id, sha256(body)) DO UPDATE SET
    last_seen_at = clock_timestamp(),
    receive_count = CASE WHEN dead.message_id = EXCLUDED.message_id
        THEN greatest(dead.receive_count, EXCLUDED.receive_count)
        ELSE dead.receive_count + EXCLUDED.receive_count END
"""

LONGEST_PROBLEM = 1000  # characters
# Data that PostgreSQL does not take (22), and more of it than it can handle (54).
DATA_STATES = ("22", "54")


@dataclass
class Filed:
    """What became of a batch: `events` are new, `known` were taken in before."""

    events: int = 0
    known: int = 0
    dead: list[Refusal] = field(default_factory=list)


def file(messages: Sequence[Message], companies: Companies) -> Filed:
    """Write what the messages are, in one transaction: when this returns, they may be deleted.

    Raises django.db.Error for what is no message's fault.
    """
    read = [envelopes.read(message, companies) for message in messages]
    events = [one for one in read if isinstance(one, Incoming)]
    refusals = [one for one in read if isinstance(one, Refusal)]
    try:
        filed = _file_at_once(events, refusals)
    except Error as error:
        if not is_of_data(error):
            raise
        filed = _file(events, refusals, insert_halves)
    for refusal in filed.dead:
        log.info("dead_letter", reason=refusal.reason, message_id=refusal.message.id)
    return filed


def _file_at_once(events: Sequence[Incoming], refusals: Sequence[Refusal]) -> Filed:
    """File what is mostly so: events alone. One statement is a transaction without our saying."""
    if refusals or connection.in_atomic_block:
        return _file(events, refusals, insert)
    return insert(events)


def _file(
    events: Sequence[Incoming],
    refusals: Sequence[Refusal],
    insert_all: Callable[[Sequence[Incoming]], Filed],
) -> Filed:
    with transaction.atomic():
        filed = insert_all(events)
        filed.dead += refusals
        for refusal in filed.dead:
            bury(refusal)
    return filed


def insert(events: Sequence[Incoming]) -> Filed:
    """Insert events that were not taken in before. One statement."""
    fresh: dict[tuple[str, str, str], Incoming] = {}
    for event in events:
        fresh.setdefault(event.identity, event)
    if not fresh:
        return Filed()
    found = execute_prepared(FILE, [_document(fresh.values())])
    return Filed(events=found, known=len(events) - found)


def insert_halves(events: Sequence[Incoming]) -> Filed:
    """Insert events of which the database refuses some: those are found by savepoints."""
    try:
        with transaction.atomic():
            return insert(events)
    except Error as error:
        if not is_of_data(error):
            raise
        if len(events) == 1:
            return Filed(dead=[envelopes.refused(events[0], _told(error))])
    middle = len(events) // 2
    first, second = insert_halves(events[:middle]), insert_halves(events[middle:])
    return Filed(first.events + second.events, first.known + second.known, first.dead + second.dead)


def bury(refusal: Refusal) -> None:
    """Insert the message's dead letter, or note that the message has come again."""
    message, sketch = refusal.message, refusal.sketch
    execute(
        BURY,
        {
            "company": sketch.company,
            "source": sketch.source,
            "source_id": sketch.source_id,
            "type": sketch.type,
            "queue": message.queue,
            "message_id": message.id,
            "reason": refusal.reason,
            "problem": printable(refusal.problem),
            "body": message.body_bytes,
            "attributes": json.dumps(message.attributes),
            "receive_count": message.receive_count,
            "sent_at": message.sent_at,
        },
    )


def is_of_data(error: Error) -> bool:
    """Whether it is about what was to be stored, and not about the database."""
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return isinstance(error, DataError) or state.startswith(DATA_STATES)


def printable(text: str) -> str:
    """Return the text as PostgreSQL can hold it, and as a page can show it."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text[:LONGEST_PROBLEM]
    )


def _document(events: Iterable[Incoming]) -> str:
    """Return events as JSON text, a payload as a text in it: no digit of it is looked at."""
    rows = [
        {
            "company": event.company,
            "source": event.source,
            "source_id": event.source_id,
            "queue": event.message.queue,
            "message_id": event.message.id,
            "attempts": event.attempts,
            "receive_count": event.message.receive_count,
            "type": event.type,
            "version": event.version,
            "payload": event.payload_text,
            "timestamp": event.timestamp.isoformat(),
            "key": event.key,
            "correlation_id": event.correlation_id,
            "place": place,
        }
        for place, event in enumerate(events)
    ]
    return json.dumps(rows, ensure_ascii=False)


def _told(error: Error) -> str:
    """Return PostgreSQL's words, without the lines of context."""
    return str(error).partition("\n")[0]
