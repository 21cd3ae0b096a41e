"""Which tables are watched, and whether as the migrations declare it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from subscriptions.capture.operations import AttachEventTrigger
from subscriptions.errors import CannotWatch

_WATCHED = """
SELECT t."table", t.company, t.capture, t.exclude, t.interceptors, t.after_interceptors, t.enabled,
    t.null_company_rows, (
        SELECT count(*) FROM event_system_subscription s
        WHERE s."table" = t."table" AND s.active)
FROM event_system_trigger t ORDER BY t."table"
"""


@dataclass(frozen=True)
class Watch:
    """One watched table: `company` is its column, None if it has none; `enabled` says that its
    triggers are all there and fire.
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


@dataclass(frozen=True)
class Drift:
    """A table that is not watched as the migrations that were applied declare it."""

    table: str
    problem: str


def drift() -> list[Drift]:
    """Compare what is declared with what is installed.

    Tables that only SQL attached are as good as declared ones; of them only broken triggers count.
    """
    installed = {found.table: found for found in watched()}
    declared = _declared()
    problems = [
        Drift(table, problem)
        for table, operation in sorted(declared.items())
        for problem in _differences(operation, installed.get(table))
    ]
    broken = [
        Drift(table, "its triggers are disabled or incomplete: watch it again")
        for table, found in installed.items()
        if not found.enabled
    ]
    return sorted([*problems, *broken], key=lambda one: one.table)


def _declared() -> dict[str, AttachEventTrigger]:
    """Return the last operation on each table in the migrations that were applied."""
    loader = MigrationExecutor(connection).loader
    found: dict[str, AttachEventTrigger] = {}
    for key in loader.applied_migrations:
        if key not in loader.graph.nodes:
            continue
        for operation in loader.graph.nodes[key].operations:
            if isinstance(operation, AttachEventTrigger):
                found[operation.table] = operation
    return found


def _differences(declared: AttachEventTrigger, installed: Watch | None) -> Iterator[str]:
    if installed is None:
        yield "is declared by a migration and not watched: watch it, or detach it in a migration"
        return
    for name in ("capture", "exclude", "interceptors", "after_interceptors"):
        wanted, found = getattr(declared, name), getattr(installed, name)
        if name == "exclude":
            wanted, found = sorted(wanted), sorted(found)
        if wanted != found:
            yield f"{name} is {found!r}; the migration declares {wanted!r}"
    # None leaves the choice of the column to the function.
    if declared.company is not None and (declared.company or None) != installed.company:
        yield f"company is {installed.company!r}; the migration declares {declared.company!r}"
