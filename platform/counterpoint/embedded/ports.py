"""The ports that the local processes listen on, all on loopback."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Self

from counterpoint import env
from counterpoint.embedded.errors import EmbeddedError

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """One port for each process that listens; `SETTINGS` names the variable of each."""

    postgres: int
    redis: int
    sqs: int
    web: int
    flower: int

    @classmethod
    def free(cls) -> Self:
        """Return ports that nothing listens on now; another process may still take one first."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in fields(cls)]
            for each in sockets:
                each.bind((HOST, 0))
            return cls(*(each.getsockname()[1] for each in sockets))

    @classmethod
    def from_environment(cls) -> Self:
        """Return the ports of `make up`: the defaults, or what the variables in SETTINGS say."""
        return cls(
            **{
                name: int(env.number(setting, default=DEFAULTS[name], minimum=1, maximum=65_535))
                for name, setting in SETTINGS.items()
            }
        )

    def require_free(self, *names: str) -> None:
        """Raise EmbeddedError for the first of the named ports that something listens on."""
        for name in names:
            port: int = getattr(self, name)
            with socket.socket() as probe:
                # As servers do: a connection that lingers in TIME_WAIT does not count as in use.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    raise EmbeddedError(
                        f"{SETTINGS[name]}: port {port} cannot be used ({error.strerror}); "
                        f"stop what listens there, or set {SETTINGS[name]} to a free port"
                    ) from None


SETTINGS = {
    "postgres": "EMBEDDED_POSTGRES_PORT",
    "redis": "EMBEDDED_REDIS_PORT",
    "sqs": "EMBEDDED_SQS_PORT",
    "web": "WEB_PORT",
    "flower": "FLOWER_PORT",
}
# Beside the services' usual ports, which a machine's own installations hold.
DEFAULTS = {"postgres": 15432, "redis": 16379, "sqs": 14566, "web": 8000, "flower": 5555}
