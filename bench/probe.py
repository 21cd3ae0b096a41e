"""`python -m bench.probe NAME`: a process that measures when it is asked.

NAME is that of the mailbox; what comes before a dash is the module of `bench.probes` to serve.
"""

import os
import sys
from importlib import import_module

from bench import profiling
from bench.mailbox import Handler, serve


def main() -> None:
    name = sys.argv[1]
    handlers: dict[str, Handler] = import_module(f"bench.probes.{name.partition('-')[0]}").HANDLERS
    handlers = {**handlers, "profile": profiling.profiled(handlers)}
    serve(name, handlers, url=os.environ["REDIS_URL"])


if __name__ == "__main__":
    main()
