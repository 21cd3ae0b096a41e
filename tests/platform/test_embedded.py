"""The embedded services: what they keep, and what they refuse in one line."""

import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import psycopg
import pytest

from counterpoint.embedded import EmbeddedError, EmbeddedServices, Ports, binaries
from counterpoint.embedded.ports import HOST, SETTINGS


def test_data_and_secrets_are_kept_between_runs(tmp_path: Path) -> None:
    with EmbeddedServices(tmp_path, durable=False) as first:
        with psycopg.connect(first.environment["DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        first.processes.kill("postgres")  # it leaves its postmaster.pid behind

    with EmbeddedServices(tmp_path, durable=False) as second:
        with psycopg.connect(second.environment["DATABASE_URL"]) as connection:
            row = connection.execute("SELECT answer FROM kept").fetchone()

        assert row == (42,)
        assert second.environment["SECRET_KEY"] == first.environment["SECRET_KEY"]


def test_a_temporary_directory_is_gone_at_the_end(tmp_path: Path) -> None:
    directory = tmp_path / "services"

    with EmbeddedServices(directory, durable=False, temporary=True):
        assert directory.exists()

    assert not directory.exists()


def test_services_ask_for_a_password(services: EmbeddedServices) -> None:
    url = services.environment["DATABASE_URL"].replace(services.secrets.postgres_password, "wrong")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_secrets_are_for_their_owner_only(services: EmbeddedServices) -> None:
    for name in ("secrets.json", "redis.conf"):
        assert (services.directory / name).stat().st_mode & 0o077 == 0


def test_a_directory_belongs_to_one_run(services: EmbeddedServices) -> None:
    with pytest.raises(EmbeddedError, match=f"in use by another run .process {os.getpid()}"):
        EmbeddedServices(services.directory).__enter__()


@pytest.mark.parametrize("name", ["postgres", "redis", "sqs"])
def test_a_port_in_use_is_named_with_its_setting(name: str, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
        services = EmbeddedServices(tmp_path, ports=replace(Ports.free(), **{name: port}))

        with pytest.raises(EmbeddedError, match=rf"^{SETTINGS[name]}: port {port} ") as refused:
            services.__enter__()

    assert "\n" not in str(refused.value)


def up(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ports = {SETTINGS[name]: str(port) for name, port in asdict(Ports.free()).items()}
    return subprocess.run(
        [sys.executable, "-m", "counterpoint.embedded", "up", *arguments],
        env={**os.environ, **ports, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_up_ends_with_code_2_and_one_line_for_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])

        ended = up(WEB_PORT=port, EMBEDDED_DIRECTORY=str(tmp_path))

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"WEB_PORT: port {port} cannot be used")
    assert ended.stderr.count("\n") == 1


def test_up_ends_with_code_2_and_one_line_for_a_second_up(services: EmbeddedServices) -> None:
    ended = up(EMBEDDED_DIRECTORY=str(services.directory))

    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "EMBEDDED_DIRECTORY" in ended.stderr


def test_up_ends_with_code_2_and_one_line_for_a_port_that_is_none(tmp_path: Path) -> None:
    ended = up(EMBEDDED_REDIS_PORT="high", EMBEDDED_DIRECTORY=str(tmp_path))

    assert (ended.returncode, ended.stderr) == (2, "EMBEDDED_REDIS_PORT: 'high' is not a number\n")


def test_another_directory_of_postgres_programs_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "postgres"
    program.touch(mode=0o700)
    monkeypatch.setenv("EMBEDDED_POSTGRES_BIN", str(tmp_path))

    assert binaries.postgres("postgres") == str(program)
    with pytest.raises(EmbeddedError, match=r"^EMBEDDED_POSTGRES_BIN: .* holds no program initdb"):
        binaries.postgres("initdb")
