"""Counterpoint itself on the embedded services: its database, queues, processes and a local login.

Everything here reads Django's settings, which must come from the services' environment: `prepare`
puts it in place and has to be the first call.
"""

import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path

from counterpoint.embedded.errors import EmbeddedError
from counterpoint.embedded.ports import HOST
from counterpoint.embedded.services import EmbeddedServices

ROOT = Path(__file__).resolve().parents[3]
ADMIN = "admin"
READY_SECONDS = 60.0
POLL_SECONDS = 0.1


def prepare(services: EmbeddedServices) -> None:
    """Point this process at the services, migrate the database and create the queues."""
    os.environ.update(services.environment)
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    call_command("ensure_queues", verbosity=0)


def set_admin_password() -> str:
    """Give the local user `admin`, created if need be, a new random password and return it."""
    from django.contrib.auth import get_user_model

    password = secrets.token_urlsafe(12)
    admin, _ = get_user_model()._default_manager.get_or_create(username=ADMIN)
    admin.is_staff = admin.is_superuser = admin.is_active = True
    admin.set_password(password)
    admin.save()
    return password


def procfile(path: Path = ROOT / "Procfile") -> dict[str, str]:
    """Return the shell command of each process, in the file's order."""
    lines = (line.strip() for line in path.read_text().splitlines())
    entries = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name.strip(): command.strip() for name, _, command in entries}


def start_processes(
    services: EmbeddedServices,
    *,
    only: Collection[str] = (),
    env: Mapping[str, str] | None = None,
) -> list[str]:
    """Start the Procfile's processes, or the named ones, and return their names."""
    # Found as in an activated virtual environment.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    commands = {name: c for name, c in procfile().items() if not only or name in only}
    unknown = set(only) - set(commands)
    if unknown:
        raise EmbeddedError(f"the Procfile has no process {', '.join(sorted(unknown))}")
    for name, command in commands.items():
        argv = ["/bin/sh", "-c", f"exec {command}"]
        services.start_process(name, argv, {"PATH": path, "PYTHONUNBUFFERED": "1", **(env or {})})
    return list(commands)


def wait_until_ready(services: EmbeddedServices, *names: str) -> None:
    """Wait until the web process says it is ready; raise if a named process ends before that."""
    url = f"http://{HOST}:{services.ports.web}/readyz"
    deadline = time.monotonic() + READY_SECONDS
    while True:
        services.processes.require(*names)
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as error:
            problem = error.read().decode(errors="replace")
            error.close()
        except OSError as error:
            problem = str(error)
        else:
            return
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{url} is not ready: {problem}")
        time.sleep(POLL_SECONDS)
