"""Empty the tables after a test that commits: those that hold something, not all of them.

A TRUNCATE makes new files for a table and each of its indexes; of the nearly two hundred that there
are with their partitions, a test fills a few.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.operations import DatabaseOperations

# Made once by the migrations' end; a test that changed them would have to put them back.
KEPT = {"django_content_type", "auth_permission"}

LEAVES = """
SELECT c.oid::regclass::text FROM pg_class r
CROSS JOIN LATERAL (
    SELECT t.relid FROM pg_partition_tree(r.oid) AS t WHERE t.isleaf
    UNION ALL SELECT r.oid WHERE r.relkind = 'r') AS leaf (oid)
JOIN pg_class c ON c.oid = leaf.oid
WHERE r.oid = ANY (%s::regclass[]) AND (r.relkind = 'p' OR leaf.oid = r.oid)
GROUP BY c.oid
"""


def truncate_filled(
    operations: DatabaseOperations, style: Any, tables: Iterable[str], **options: Any
) -> list[str]:
    """Return the statement that empties the tables, none if they are empty."""
    filled = _filled([operations.quote_name(table) for table in tables if table not in KEPT])
    return [f"TRUNCATE {', '.join(filled)} CASCADE"] if filled else []


def _filled(tables: list[str]) -> list[str]:
    if not tables:
        return []
    with connection.cursor() as cursor:
        cursor.execute(LEAVES, [tables])
        leaves = [name for (name,) in cursor.fetchall()]
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})"  # noqa: S608 - names of ours
                for name in leaves
            )
        )
        return [name for (name,) in cursor.fetchall()]


@pytest.fixture(scope="session", autouse=True)
def flushes_are_short() -> Iterable[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "sql_flush", truncate_filled)
        yield
