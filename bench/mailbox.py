"""How the main process asks its probes: lists in Redis, one request at a time.

The guard's processes have no standard input to write to, and Redis is there anyway. A probe that
waits for a request uses no processor time.
"""

import json
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import redis

from bench.errors import ProbeFailed
from counterpoint.embedded.processes import GuardedProcesses

LOOK_SECONDS = 1.0  # of waiting at a time; the client gives up after some seconds

Handler = Callable[..., Any]


def _boxes(name: str) -> tuple[str, str]:
    return f"bench:{name}:requests", f"bench:{name}:answers"


def serve(name: str, handlers: Mapping[str, Handler], *, url: str) -> None:
    """Answer requests until dismissed; an exception is an answer too. JSON in, JSON out."""
    requests, answers = _boxes(name)
    with redis.Redis.from_url(url) as client:
        while True:
            found = client.blpop([requests], timeout=LOOK_SECONDS)
            if found is None:
                continue
            request = json.loads(found[1])
            if request is None:
                return
            try:
                answer = {"value": handlers[request["do"]](**request["with"])}
            except Exception as error:  # it is the asker's to handle, and this must go on
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}
            client.rpush(answers, json.dumps(answer))


class Mailbox:
    """The asking end for one probe; requests left by an earlier one of its name are dropped."""

    def __init__(self, name: str, *, url: str, processes: GuardedProcesses) -> None:
        self.name = name
        self._client = redis.Redis.from_url(url)
        self._processes = processes
        self._client.delete(*_boxes(name))

    def ask(self, do: str, *, seconds: float = 300.0, **arguments: Any) -> Any:
        """Return what the probe's handler `do` returned for these arguments.

        Raises ProbeFailed if it raised or took longer than `seconds`, and ProcessEnded if the probe
        is gone.
        """
        requests, answers = _boxes(self.name)
        self._client.rpush(requests, json.dumps({"do": do, "with": arguments}))
        deadline = time.monotonic() + seconds
        while True:
            found = self._client.blpop([answers], timeout=LOOK_SECONDS)
            if found is not None:
                break
            self._processes.require(self.name)
            if time.monotonic() > deadline:
                raise ProbeFailed(f"{self.name}.{do} gave no answer within {seconds:g} s")
        answer = json.loads(found[1])
        if "error" in answer:
            raise ProbeFailed(f"{self.name}.{do}: {answer['error']}")
        return answer["value"]

    def dismiss(self) -> None:
        """Tell the probe to end."""
        self._client.rpush(_boxes(self.name)[0], json.dumps(None))
        self._client.close()
