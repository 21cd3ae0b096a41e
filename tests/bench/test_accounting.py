"""Who used the processor."""

import os
import subprocess
import sys

from bench.accounting import TICK, usage

WORK = """
import time
while time.process_time() < 0.3: pass
print(flush=True)
input()
"""


def test_the_processor_time_of_descendants_is_counted_by_kind() -> None:
    before = usage(os.getpid())
    argv = [sys.executable, "-c", WORK, "redis-server"]  # named as one of the services
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()

        used = usage(os.getpid()) - before

        child.communicate(b"\n")
    assert used["Redis"] >= 0.25 * TICK
