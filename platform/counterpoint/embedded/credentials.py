"""The random secrets of one directory of embedded services, kept there between runs."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


@dataclass(frozen=True)
class Secrets:
    """Passwords and keys without special characters, so that they need no quoting in URLs."""

    secret_key: str
    postgres_password: str
    redis_password: str

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Return the directory's secrets, made at the first call."""
        path = directory / "secrets.json"
        if path.exists():
            return cls(**json.loads(path.read_text()))
        made = cls(*(secrets.token_urlsafe(48) for _ in range(3)))
        write_private(path, json.dumps(asdict(made)))
        return made
