"""Fill the engine's tables with finished runs: copies of one that really ran, made by SQL.

What the tables are is asked of Django: the run's own, those that refer to it, and those that refer
to these. Copies are a second apart and older than their model, as are their UUIDv7s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connection
from django.db.models import BigAutoField, DateTimeField, Field, ForeignKey, Model

from jobs.models import Run

# A UUIDv7 of the time at which copy n of the run was created, unique by n.
COPY_ID = (
    "(lpad(to_hex((extract(epoch from r.created_at) * 1000)::bigint - (%(count)s - n + 1) * 1000),"
    " 12, '0') || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid"
)
AGE = "(%(count)s - n + 1) * interval '1 second'"


@dataclass(frozen=True)
class _Table:
    """The model's rows of the run to copy; `base` is below every id that the copies get."""

    model: type[Model]
    ids: list[int]
    base: int


def copies(run_id: UUID, count: int) -> int:
    """Insert `count` copies of the run with all that belongs to it; return how many rows.

    Constraints between the tables are not checked while it works: needs a superuser. Some minutes
    for a million.
    """
    done: dict[type[Model], _Table] = {}
    rows = 0
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        rows += _copy(cursor, Run, run_id, count, done)
        for model in _belonging():
            found = _rows_of(cursor, model, run_id, done)
            if found.ids:
                done[model] = found
                rows += _copy(cursor, model, run_id, count, done)
                cursor.execute(
                    f"SELECT setval(pg_get_serial_sequence('{model._meta.db_table}', 'id'),"
                    f" (SELECT max(id) FROM {model._meta.db_table}))"
                )
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")
    return rows


def _belonging() -> list[type[Model]]:
    """Return the models below the run, those first that others refer to."""
    models = [m for m in apps.get_app_config("jobs").get_models() if m is not Run]
    found: list[type[Model]] = []
    while more := [m for m in models if m not in found and _parents(m) & {Run, *found}]:
        found += more
    return found


def _parents(model: type[Model]) -> set[Any]:
    return {field.related_model for field in _keys(model)}


def _keys(model: type[Model]) -> Iterator["ForeignKey[Any, Any]"]:
    for field in model._meta.concrete_fields:
        if isinstance(field, ForeignKey):
            yield field


def _rows_of(cursor: Any, model: type[Model], run_id: UUID, done: dict[Any, _Table]) -> _Table:
    """Return which of the model's rows belong to the run; most models have none of a plain run."""
    table, name = model._meta.db_table, model._meta.pk.column
    key = next(key for key in _keys(model) if key.related_model is Run or key.related_model in done)
    wanted = [run_id] if key.related_model is Run else done[key.related_model].ids
    cursor.execute(
        f"SELECT {name} FROM {table} WHERE {key.column} = ANY(%s) ORDER BY {name}", [wanted]
    )
    ids = [id_ for (id_,) in cursor.fetchall()]
    if ids and not isinstance(model._meta.pk, BigAutoField):
        raise NotImplementedError(f"{model.__name__} has rows of the run and no BigAutoField")
    if not ids:
        return _Table(model, [], 0)
    cursor.execute(f"SELECT max({name}) FROM {table}")
    return _Table(model, ids, cursor.fetchone()[0])


def _copy(
    cursor: Any, model: type[Model], run_id: UUID, count: int, done: dict[Any, _Table]
) -> int:
    fields = model._meta.concrete_fields
    columns = ", ".join(str(field.column) for field in fields)
    values = ", ".join(_value(field, model, done) for field in fields)
    table = model._meta.db_table
    chosen = "t.id = %(run)s" if model is Run else "t.id = ANY(%(ids)s)"
    cursor.execute(
        f"INSERT INTO {table} ({columns}) SELECT {values}"
        f" FROM generate_series(1, %(count)s) AS n, {table} AS t, jobs_run AS r"
        f" WHERE r.id = %(run)s AND {chosen} ORDER BY n",
        {"run": run_id, "count": count, "ids": done[model].ids if model in done else []},
    )
    return int(cursor.rowcount)


def _value(field: "Field[Any, Any]", model: type[Model], done: dict[Any, _Table]) -> str:
    """Return the SQL of a copy's column; `t` is the row to copy, `r` its run, `n` the copy's
    number.
    """
    target = field.related_model if isinstance(field, ForeignKey) else None
    if target is Run or (model is Run and field.primary_key):
        return COPY_ID
    if target in done:
        return _number(f"t.{field.column}", done[target])
    if field.primary_key:
        return _number("t.id", done[model])
    if isinstance(field, DateTimeField):
        return f"t.{field.column} - {AGE}"
    return f"t.{field.column}"


def _number(column: str, table: _Table) -> str:
    """Return the SQL of the id that copy n of the row gets."""
    cases = " ".join(f"WHEN {id_} THEN {place}" for place, id_ in enumerate(table.ids, 1))
    return f"{table.base} + (n - 1) * {len(table.ids)} + CASE {column} {cases} END"
