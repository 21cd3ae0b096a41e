"""PostgreSQL, Redis and SQS for one machine: from wheels, on loopback, under a guard."""

import contextlib
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import redis

from counterpoint.embedded import binaries
from counterpoint.embedded.credentials import Secrets, write_private
from counterpoint.embedded.directory import DirectoryLock, require_no_postgres
from counterpoint.embedded.errors import EmbeddedError
from counterpoint.embedded.ports import HOST, Ports
from counterpoint.embedded.processes import GuardedProcesses, Specification

POSTGRES = "postgres"
REDIS = "redis"
SQS = "sqs"
DATABASE = "counterpoint"
READY_SECONDS = 60.0
POLL_SECONDS = 0.02


class EmbeddedServices:
    """PostgreSQL, Redis, SQS and any further processes, running between enter and exit.

    `directory` holds PostgreSQL's data and the secrets, kept between runs, and logs. Nothing that
    is started here outlives this Python process, even if that is killed. `durable=False` lets
    PostgreSQL skip fsync, and `temporary=True` deletes the directory at the end: for tests.

    Raises EmbeddedError on enter for a port in use, a directory in use, or a service that does not
    start.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ports: Ports | None = None,
        durable: bool = True,
        temporary: bool = False,
        grace: float = 5.0,
    ) -> None:
        self.directory = directory.resolve()
        self.ports = ports or Ports.free()
        self._durable = durable
        self._temporary = temporary
        self._grace = grace
        self._processes: GuardedProcesses | None = None
        self._lock: DirectoryLock | None = None

    # Life -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.directory / "tmp").mkdir(exist_ok=True)
        self._lock = DirectoryLock(self.directory)
        try:
            self.ports.require_free(POSTGRES, REDIS, SQS)
            self.secrets = Secrets.of(self.directory)
            self._processes = GuardedProcesses(
                self.directory, grace=self._grace, held=self._lock.fd, remove=self._temporary
            )
            self._start_services()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._processes is not None:
            self._processes.close()
            self._processes = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def processes(self) -> GuardedProcesses:
        """The processes under the guard, the services' included (`postgres`, `redis`, `sqs`)."""
        if self._processes is None:
            raise EmbeddedError("the embedded services are not running")
        return self._processes

    # What others use ------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """The settings that point Counterpoint at these services."""
        return {
            "DATABASE_URL": self.database_url(DATABASE),
            "REDIS_URL": f"redis://:{self.secrets.redis_password}@{HOST}:{self.ports.redis}/0",
            "SQS_ENDPOINT_URL": f"http://{HOST}:{self.ports.sqs}",
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "SECRET_KEY": self.secrets.secret_key,
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "WEB_PORT": str(self.ports.web),
            "FLOWER_PORT": str(self.ports.flower),
        }

    def database_url(self, name: str) -> str:
        """Return the URL of a database of the embedded PostgreSQL, which need not exist."""
        password = self.secrets.postgres_password
        return f"postgresql://postgres:{password}@{HOST}:{self.ports.postgres}/{name}"

    def start_process(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> None:
        """Start a process under the guard; `env` goes over `environment`, over what is set here.

        Its output goes to `logs/NAME.log`. Stop, kill or restart it through `processes`.
        """
        merged = {**self._inherited, **self.environment, **(env or {})}
        self.processes.start(name, Specification(argv, merged))

    def restart(self, name: str) -> None:
        """Start a service or process again; a service serves when this returns."""
        self.processes.restart(name)
        if name in (POSTGRES, REDIS, SQS):
            self._wait_until_ready(name)

    @property
    def _inherited(self) -> dict[str, str]:
        """What is set here, and a place where killed processes may leave temporary files."""
        return {**os.environ, "TMPDIR": str(self.directory / "tmp")}

    # The services ---------------------------------------------------------------------------------

    def _start_services(self) -> None:
        self._start(REDIS, [binaries.redis_server(), str(self._redis_configuration())])
        self._start(SQS, binaries.ministack(), self._sqs_environment())
        self._start_postgres()
        for name in (POSTGRES, REDIS, SQS):
            self._wait_until_ready(name)
        with (
            contextlib.suppress(psycopg.errors.DuplicateDatabase),  # it has no IF NOT EXISTS
            psycopg.connect(self.database_url("postgres"), autocommit=True) as connection,
        ):
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def _start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        merged = {**self._inherited, **(env or {})}
        self.processes.start(name, Specification(argv, merged, stop_signal, is_service=True))

    def _start_postgres(self) -> None:
        data = self.directory / "postgres"
        data.mkdir(mode=0o700, exist_ok=True)
        prefix = binaries.unprivileged(data)
        cluster = data / "cluster"
        if not cluster.exists():
            self._make_cluster(cluster, prefix)
        require_no_postgres(cluster)
        # The lock says that no other run uses this directory, so the file is a killed run's.
        # PostgreSQL would refuse to start if any process now has the number in it, as happens in a
        # PID namespace.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        argv = [*prefix, binaries.postgres("postgres"), "-D", str(cluster)]
        # No socket file: its path would have to be short. 200 connections: every process has
        # several.
        argv += ["-h", HOST, "-p", str(self.ports.postgres), "-k", "", "-c", "max_connections=200"]
        # So that the tests can leave one open: the relay must not wait for it.
        argv += ["-c", "max_prepared_transactions=10"]
        if not self._durable:  # a killed PostgreSQL keeps its commits, a powerless machine does not
            argv += ["-c", "fsync=off", "-c", "full_page_writes=off"]
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
        self._start(POSTGRES, argv, stop_signal=signal.SIGINT)

    def _make_cluster(self, cluster: Path, prefix: Sequence[str]) -> None:
        """Run initdb beside the place and move the result: a killed one leaves no half cluster."""
        part, password = cluster.with_name("cluster.part"), cluster.with_name("password")
        write_private(password, self.secrets.postgres_password)
        if prefix and prefix[0] == "setpriv":
            os.chown(password, binaries.NOBODY, binaries.NOBODY)
        script = 'rm -rf "$1" && exec "$2" -D "$1" --pwfile="$3" -U postgres'
        script += " --auth=scram-sha-256 --encoding=utf8 --no-locale --no-sync"
        argv = [
            *prefix,
            "sh",
            "-c",
            script,
            "sh",
            str(part),
            binaries.postgres("initdb"),
            str(password),
        ]
        self._start("initdb", argv)
        if self.processes.wait("initdb", seconds=READY_SECONDS):
            self.processes.require("initdb")
        part.rename(cluster)
        password.unlink()

    def _redis_configuration(self) -> Path:
        """Write redis.conf: a password among the arguments would be everybody's to read."""
        path = self.directory / "redis.conf"
        write_private(
            path,
            f"bind {HOST}\nport {self.ports.redis}\nrequirepass {self.secrets.redis_password}\n"
            f'dir "{self.directory}"\nsave ""\nappendonly no\n',
        )
        return path

    def _sqs_environment(self) -> dict[str, str]:
        return {
            "GATEWAY_PORT": str(self.ports.sqs),
            "BIND_HOST": HOST,
            "SERVICES": "sqs,sns,cloudwatch,cloudformation,iam,sts",
            "IOT_MTLS_ENABLED": "0",  # else it takes a second, fixed port
            "LOG_LEVEL": "WARNING",
        }

    def _wait_until_ready(self, name: str) -> None:
        probes: dict[str, Callable[[], None]] = {
            POSTGRES: self._ping_postgres,
            REDIS: self._ping_redis,
            SQS: self._ping_sqs,
        }
        deadline = time.monotonic() + READY_SECONDS
        while True:
            self.processes.require(name)
            try:
                return probes[name]()
            except (
                psycopg.OperationalError,
                redis.RedisError,
                urllib.error.URLError,
                OSError,
            ) as error:
                if time.monotonic() > deadline:
                    raise EmbeddedError(f"{name} does not answer: {error}") from None
            time.sleep(POLL_SECONDS)

    def _ping_postgres(self) -> None:
        psycopg.connect(self.database_url("postgres"), connect_timeout=5).close()

    def _ping_redis(self) -> None:
        with redis.Redis.from_url(self.environment["REDIS_URL"], socket_timeout=5) as client:
            client.ping()

    def _ping_sqs(self) -> None:
        url = f"{self.environment['SQS_ENDPOINT_URL']}/_ministack/health"
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - always http
