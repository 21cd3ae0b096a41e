"""The benchmark's table for the terminal."""

from collections.abc import Iterable

from rich.table import Table

from bench.rows import Row


def number(value: float | None) -> str:
    """Return three digits that matter, never an exponent; nothing for None."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def summary(row: Row) -> str:
    """Return the row as a line of plain text."""
    if row.value is None:
        return f"{row.name}: {row.note}"
    ratio = f", {number(row.ratio)} x {row.beside}" if row.ratio is not None else ""
    return f"{row.name}: {number(row.value)} {row.unit}{ratio}"


def verdict(row: Row) -> str:
    """Return what the last column says, with rich's markup."""
    if row.value is None:
        return "[yellow]skipped[/]"
    if row.met is None:
        return ""
    return "[green]met[/]" if row.met else "[bold red]NOT MET[/]"


def table(rows: Iterable[Row], *, title: str) -> Table:
    """Return the rows as a table; a note stands below its row's name."""
    made = Table(title=title, title_justify="left")
    made.add_column("what", ratio=1)
    for column in ("value", "unit", "beside", "beside's", "ratio", "A against A", "limit", "goal"):
        made.add_column(column, justify="left" if column in ("unit", "beside") else "right")
    made.add_column("")
    for row in rows:
        made.add_row(
            f"{row.name}\n[dim]{row.note}[/]" if row.note else row.name,
            number(row.value),
            row.unit,
            row.beside or "",
            number(row.beside_value),
            f"{number(row.ratio)} x" if row.ratio is not None else "",
            f"± {row.noise:.0%}" if row.noise is not None else "",
            number(row.limit),
            row.goal or "",
            verdict(row),
        )
    return made
