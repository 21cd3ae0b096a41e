"""`python -m counterpoint.embedded up`: everything on this machine, until Ctrl-C."""

import argparse
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from counterpoint import env
from counterpoint.embedded import application
from counterpoint.embedded.credentials import write_private
from counterpoint.embedded.errors import EmbeddedError
from counterpoint.embedded.ports import HOST, Ports
from counterpoint.embedded.services import EmbeddedServices
from counterpoint.exits import EXIT_CODE, one_line_errors

POLL_SECONDS = 0.25
# What decides which code and queues there are: a command on what runs needs it too.
GIVEN = ("EXTRA_APPS", "EXTRA_QUEUES", "PYTHONPATH", "SQS_QUEUE_PREFIX")
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """The user wants it to end."""


def stop(*_: object) -> NoReturn:
    """End what runs, once: while it is ending, further signals change nothing."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def export(path: Path, environment: dict[str, str]) -> None:
    """Write the environment as a file for `. var/services.env`, for its owner only."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
    write_private(path, "".join(lines))


def summary(services: EmbeddedServices, password: str) -> Table:
    """Return what a user needs to know: where everything is and how to log in."""
    ports = services.ports
    table = Table(title="Counterpoint runs on this machine; Ctrl-C ends it", show_header=False)
    table.add_row("admin", f"http://{HOST}:{ports.web}/admin/")
    table.add_row("workers and tasks (Flower)", f"http://{HOST}:{ports.flower}/")
    table.add_row("login for both, this run", f"{application.ADMIN} / {password}")
    table.add_row("PostgreSQL, Redis, SQS", f"ports {ports.postgres}, {ports.redis}, {ports.sqs}")
    table.add_row("their URLs", f". {services.directory / 'services.env'}")
    table.add_row("logs", str(services.directory / "logs"))
    return table


def up(directory: Path, only: list[str], console: Console) -> None:
    """Run services and processes until a signal or until one of them ends, which is an error."""
    ports = Ports.from_environment()
    ports.require_free("web", "flower")
    with console.status("starting PostgreSQL, Redis and SQS") as status:
        services = EmbeddedServices(directory, ports=ports)
        exported = services.directory / "services.env"
        with services:
            try:
                given = {name: os.environ[name] for name in GIVEN if os.environ.get(name)}
                export(exported, {**given, **services.environment})
                status.update("migrating the database and creating the queues")
                application.prepare(services)
                password = application.set_admin_password()
                status.update("starting the processes")
                login = {"FLOWER_BASIC_AUTH": f"{application.ADMIN}:{password}"}
                names = application.start_processes(services, only=only, env=login)
                if "web" in names:
                    application.wait_until_ready(services, *names)
                console.print(summary(services, password))
                status.update(f"running: {', '.join(names)}")
                while True:
                    services.processes.require(*names, "postgres", "redis", "sqs")
                    time.sleep(POLL_SECONDS)
            finally:
                status.update("stopping")
                exported.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m counterpoint.embedded", description=__doc__)
    parser.add_argument("command", choices=["up"])
    parser.add_argument("processes", nargs="*", help="of the Procfile; none named: all of them")
    options = parser.parse_args()
    for number in STOPPING:
        signal.signal(number, stop)
    console = Console()
    with one_line_errors():
        try:
            directory = Path(env.text("EMBEDDED_DIRECTORY", str(application.ROOT / "var")))
            up(directory, options.processes, console)
        except Stopped:
            console.print("stopped")
        except EmbeddedError as error:
            sys.stderr.write(f"{error}\n")
            return EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main())
