"""Migration operations: SQL kept in `.sql` files, and the watching of a table.

Only Django's migration classes are imported here: `subscriptions/__init__` offers this module to
authors.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db.migrations.operations import RunSQL
from django.db.migrations.operations.base import Operation


def sql_file(folder: Path, *names: str) -> RunSQL:
    """Return an operation that runs `<name>.sql` in order, and `<first name>.reverse.sql` to undo
    it.
    """
    forward = "\n".join((folder / f"{name}.sql").read_text(encoding="utf-8") for name in names)
    backward = (folder / f"{names[0]}.reverse.sql").read_text(encoding="utf-8")
    return RunSQL(forward, backward)


class AttachEventTrigger(Operation):
    """Watch a table from this migration on; reversed, stop watching it.

    `table` is the name in the database. `company` names the column that holds the company; None
    takes the column called company, company_id or companyId if there is one, "" says that there is
    none. `capture` is row, statement (one call per statement: for tables that are bulk-loaded) or
    always (rows, whether anybody listens or not). Interceptors are SQL functions
    `(table text, operation text, new jsonb, old jsonb)`. Detaching a table that is gone by then is
    no error.
    """

    reduces_to_sql = True
    reversible = True
    elidable = False

    def __init__(
        self,
        table: str,
        *,
        company: str | None = None,
        interceptors: Sequence[str] = (),
        exclude: Sequence[str] = (),
        capture: str = "row",
        after_interceptors: Sequence[str] = (),
    ) -> None:
        self.table = table
        self.company = company
        self.interceptors = list(interceptors)
        self.exclude = list(exclude)
        self.capture = capture
        self.after_interceptors = list(after_interceptors)

    def attach(self, schema_editor: Any) -> None:
        schema_editor.execute(
            "SELECT public.attach_event_trigger(%s, %s::text[], %s, %s::text[], %s, %s::text[])",
            [
                self.table,
                self.interceptors,
                self.company,
                self.exclude,
                self.capture,
                self.after_interceptors,
            ],
        )

    def detach(self, schema_editor: Any) -> None:
        schema_editor.execute("SELECT public.detach_event_trigger(%s)", [self.table])

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Leave Django's state of the models as it is: a trigger is no part of it."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self.attach(schema_editor)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self.detach(schema_editor)

    def describe(self) -> str:
        return f"Watch table {self.table}"

    @property
    def migration_name_fragment(self) -> str:
        return f"watch_{self.table.lower()}"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        given = {
            "company": self.company,
            "interceptors": self.interceptors,
            "exclude": self.exclude,
            "after_interceptors": self.after_interceptors,
        }
        kwargs = {name: value for name, value in given.items() if value or value == ""}
        if self.capture != "row":
            kwargs["capture"] = self.capture
        return self.__class__.__name__, [self.table], kwargs


class DetachEventTrigger(AttachEventTrigger):
    """Stop watching a table from this migration on; reversed, watch it again as the options say.

    Subscriptions of the table stay and hear nothing. A table with active subscriptions must be
    detached before it is dropped.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self.detach(schema_editor)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self.attach(schema_editor)

    def describe(self) -> str:
        return f"Stop watching table {self.table}"

    @property
    def migration_name_fragment(self) -> str:
        return f"unwatch_{self.table.lower()}"
