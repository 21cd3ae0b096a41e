"""`manage.py event_schemas`."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscriptions.compatibility import breaking_changes
from subscriptions.event_schemas import ASYNCAPI, documents, text

REMEDY = (
    "Declare a new version beside it (@event(name, version=n + 1)), with an @upcaster if consumers"
    " shall see one version. If nobody has used this one yet, delete its file and write it anew."
)


class Command(BaseCommand):
    help = (
        "Write the JSON Schema of every version of every declared event, and one AsyncAPI document"
        " of them all. Refused if a version that is written there changed so that it breaks its"
        " producers or consumers."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="write nothing; exit code 1 if a change breaks, or the files are out of date",
        )
        parser.add_argument(
            "--directory",
            type=Path,
            default=Path("schemas") / "events",
            help="default: %(default)s",
        )

    def handle(self, *args: Any, check: bool, directory: Path, **options: Any) -> None:
        made = {directory / path: text(document) for path, document in documents().items()}
        written = sorted(directory.glob("*/*.json"))
        broken = [problem for path in written for problem in _broken(path, made.get(path))]
        if broken:
            raise CommandError("\n".join([*broken, REMEDY]))
        changed = [path for path, content in made.items() if _content(path) != content]
        if check and changed:
            names = ", ".join(str(path.relative_to(directory)) for path in changed)
            raise CommandError(f"out of date: {names}; run manage.py event_schemas and commit it")
        for path in changed:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
        versions = len(made) - 1
        self.stdout.write(f"{versions} versions and {ASYNCAPI}: {len(changed)} files changed")


def _broken(path: Path, made: str | None) -> list[str]:
    name = f"{path.parent.name} version {path.stem}"
    if made is None:
        return [f"{name}: is no longer declared"]
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"{name}: its file holds no JSON: {error}"]
    return [f"{name}: {change}" for change in breaking_changes(before, json.loads(made))]


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
