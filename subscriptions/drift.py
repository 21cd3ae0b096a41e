"""Where the installed triggers differ from what the migrations that were applied declare, and what
cannot be captured here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from subscriptions.capture.operations import AttachEventTrigger, DetachEventTrigger
from subscriptions.watching import Watch, watched

# Watched tables that are gone, subscriptions without a watched table, statement triggers that miss
# rows: what becomes of tables behind the event triggers' back, or without them.
_BROKEN = """
SELECT w."table", 'was dropped while watched: SELECT detach_event_trigger(' || quote_literal(w."table") || ')'
FROM event_system_watch w WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.relation)
UNION ALL
SELECT s."table", 'has ' || count(*) || ' active subscriptions and is not watched: watch it, or delete them'
FROM event_system_subscription s
WHERE s.active AND NOT EXISTS (SELECT FROM event_system_trigger t WHERE t."table" = s."table")
    AND s."table" IS NOT NULL
GROUP BY s."table"
UNION ALL
SELECT w."table", 'has got partitions or inheriting tables, whose rows capture by statement misses:'
    ' watch it with --capture row'
FROM event_system_watch w
WHERE w.capture = 'statement'
    AND EXISTS (SELECT FROM pg_inherits i WHERE w.relation IN (i.inhrelid, i.inhparent))
"""  # noqa: E501 - what the operator reads, in one piece

_EVENT_TRIGGERS = """
SELECT array_agg(name ORDER BY name) FROM unnest(ARRAY[
    'event_system_schema_altered', 'event_system_table_altered', 'event_system_table_altering',
    'event_system_table_dropped'
]) AS name
WHERE NOT EXISTS (
    SELECT FROM pg_event_trigger e WHERE e.evtname = name AND e.evtenabled IN ('O', 'A'))
"""


@dataclass(frozen=True)
class Drift:
    """A table that is not watched as the migrations that were applied declare it."""

    table: str
    problem: str


def drift() -> list[Drift]:
    """Compare what is declared with what is installed.

    Tables that only SQL attached are as good as declared ones; of them only what is broken counts.
    """
    found = watched()
    installed = {name: one for one in found for name in (*one.former_names, one.table)}
    problems = [
        Drift(table, problem)
        for table, operation in sorted(_declared().items())
        for problem in _differences(operation, installed.get(table))
    ]
    disabled = [
        Drift(one.table, "its triggers are disabled or incomplete: watch it again")
        for one in found
        if not one.enabled
    ]
    return sorted([*problems, *disabled, *_broken()], key=lambda one: one.table)


def limits() -> list[str]:
    """Return, a sentence each, what this database does not capture whatever is watched."""
    with connection.cursor() as cursor:
        cursor.execute(_EVENT_TRIGGERS)
        (missing,) = cursor.fetchone()
    found = [
        "Writes under session_replication_role = replica (logical replication, restores) fire no"
        " triggers: they are not captured."
    ]
    if missing:
        found.append(
            f"The event triggers {', '.join(missing)} are missing or disabled: after ALTER TABLE of"
            " a watched table watch it again, and before DROP TABLE unwatch it."
        )
    return found


def _broken() -> list[Drift]:
    with connection.cursor() as cursor:
        cursor.execute(_BROKEN)
        return [Drift(*row) for row in cursor.fetchall()]


def _declared() -> dict[str, AttachEventTrigger]:
    """Return the last operation that attaches each table, in the order migrations are applied."""
    executor = MigrationExecutor(connection)
    applied = executor.loader.applied_migrations
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    found: dict[str, AttachEventTrigger] = {}
    for migration, _ in plan:
        if (migration.app_label, migration.name) in applied:
            _follow(migration.operations, found)
    return found


def _follow(operations: Sequence[object], found: dict[str, AttachEventTrigger]) -> None:
    for operation in operations:
        if isinstance(operation, DetachEventTrigger):
            found.pop(operation.table, None)
        elif isinstance(operation, AttachEventTrigger):
            found[operation.table] = operation


def _differences(declared: AttachEventTrigger, installed: Watch | None) -> Iterator[str]:
    if installed is None:
        yield "is declared by a migration and not watched: watch it, or add DetachEventTrigger"
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
