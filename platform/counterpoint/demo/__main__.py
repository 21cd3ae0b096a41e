"""`python -m counterpoint.demo`: run the main job; exit 0 only if all is as it should be."""

import signal
import sys
import time
from typing import NoReturn

from rich.console import Console

from counterpoint.embedded import EmbeddedError, EmbeddedServices, application
from counterpoint.embedded.ports import HOST
from counterpoint.exits import EXIT_CODE, one_line_errors

DIRECTORY = "var/demo"
PING_SECONDS = 0.5
PROCESSES = ("web", "worker", "relay", "ingest", "beat", "flower")


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def wait_for_worker(services: EmbeddedServices) -> None:
    """Wait until a worker answers, so that the figures are of work and not of starting up."""
    from counterpoint.monitor import app

    while not app.control.ping(timeout=PING_SECONDS):
        services.processes.require(*PROCESSES)


def run(console: Console) -> bool:
    """Start everything, tell the story, print the table; return whether every line is right."""
    began = time.monotonic()
    with (
        console.status("starting PostgreSQL, Redis and SQS") as status,
        EmbeddedServices(application.ROOT / DIRECTORY) as services,
    ):
        status.update("migrating the database and creating the queues")
        application.prepare(services)
        login = (application.ADMIN, application.set_admin_password())
        admin_url = f"http://{HOST}:{services.ports.web}/admin/"
        flower_url = f"http://{HOST}:{services.ports.flower}"
        console.print(f"admin {admin_url} and Flower {flower_url}, for as long as this runs")
        console.print(f"login {login[0]} / {login[1]}")
        status.update(f"starting {', '.join(PROCESSES)}")
        application.start_processes(
            services, only=PROCESSES, env={"FLOWER_BASIC_AUTH": ":".join(login)}
        )
        application.wait_until_ready(services, *PROCESSES)
        wait_for_worker(services)
        console.print(f"everything runs after {time.monotonic() - began:.1f} s")
        status.update("writing rows with SQL and waiting for what follows")
        ok = _show(console, services, admin_url, flower_url, login)
        status.update("stopping everything")
    console.print(f"stopped; {time.monotonic() - began:.1f} s in all")
    return ok


def _show(
    console: Console,
    services: EmbeddedServices,
    admin_url: str,
    flower_url: str,
    login: tuple[str, str],
) -> bool:
    # These read Django's models, which exist only now.
    from counterpoint.demo import outside, report, scenario, surfaces
    from counterpoint.demo.receiver import Receiver

    with Receiver() as receiver:
        try:
            story = scenario.tell(services.environment["DATABASE_URL"], receiver)
            sent = outside.tell(receiver, story.company)
            found = list(report.lines(story, receiver))
            found += outside.lines(sent, receiver)
            found += surfaces.lines(story, admin_url=admin_url, flower_url=flower_url, login=login)
        except scenario.DemoTimeout as error:
            console.print(f"[bold red]{error}[/]")
            for name in PROCESSES:
                console.print(f"{name}: {services.processes.last_line(name)}")
            return False
    console.print(report.table(found))
    for line in found:
        if line.what in ("webhook of the order", "run restock/create of the order"):
            console.print(f"SQL commit to {line.what}: {line.seconds or 0:.3f} s")
    wrong = [line.what for line in found if not line.ok]
    if wrong:
        console.print(f"[bold red]not as it should be: {'; '.join(wrong)}[/]")
    else:
        console.print(f"[green]all {len(found)} lines are as they should be[/]")
    console.print(f"to look at it in the admin afterwards: EMBEDDED_DIRECTORY={DIRECTORY} make up")
    return not wrong


def main() -> int:
    signal.signal(signal.SIGTERM, interrupt)
    console = Console(width=None if sys.stdout.isatty() else 130)
    with one_line_errors():
        try:
            return 0 if run(console) else 1
        except KeyboardInterrupt:
            console.print("stopped")
            return 130
        except EmbeddedError as error:
            sys.stderr.write(f"{error}\n")
            return EXIT_CODE


if __name__ == "__main__":
    sys.exit(main())
