"""Which tables are watched; to watch one, and to stop."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import DatabaseError, connection, transaction

from subscriptions.errors import CannotWatch

_WATCHED = """
SELECT t."table", t.company, t.capture, t.exclude, t.interceptors, t.after_interceptors, t.enabled,
    t.null_company_rows, (
        SELECT count(*) FROM event_system_subscription s
        WHERE s."table" = t."table" AND s.active), w.former_names
FROM event_system_trigger t JOIN event_system_watch w USING ("table") ORDER BY t."table"
"""


@dataclass(frozen=True)
class Watch:
    """One watched table: `company` is its column, None if it has none; `enabled` says that its
    triggers are all there and fire. `former_names` are those it had while watched.
    """

    table: str
    company: str | None
    capture: str
    exclude: list[str]
    interceptors: list[str]
    after_interceptors: list[str]
    enabled: bool
    null_company_rows: int
    subscriptions: int
    former_names: list[str]


def watched() -> list[Watch]:
    """Return the watched tables by name. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_WATCHED)
        return [Watch(*row) for row in cursor.fetchall()]


def watch(
    table: str,
    *,
    company: str | None = None,
    exclude: Sequence[str] = (),
    capture: str = "row",
    interceptors: Sequence[str] = (),
    after_interceptors: Sequence[str] = (),
) -> None:
    """Watch a table, or watch it anew; what each means is said at `AttachEventTrigger`.

    Raises CannotWatch with PostgreSQL's reason and hint.
    """
    with _refusals(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT attach_event_trigger(%s, %s::text[], %s, %s::text[], %s, %s::text[])",
            [table, list(interceptors), company, list(exclude), capture, list(after_interceptors)],
        )


def unwatch(table: str) -> None:
    """Stop watching a table; one that is not watched, or gone, is no error. Raises CannotWatch."""
    with _refusals(), connection.cursor() as cursor:
        cursor.execute("SELECT detach_event_trigger(%s)", [table])


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what PostgreSQL refuses into CannotWatch."""
    try:
        with transaction.atomic():
            yield
    except DatabaseError as error:
        said = getattr(error.__cause__, "diag", None)
        if said is None or said.message_primary is None:  # no answer of the server
            raise
        raise CannotWatch(
            " ".join(filter(None, [said.message_primary, said.message_hint]))
        ) from error
