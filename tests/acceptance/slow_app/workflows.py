"""`slow/three`: the middle step says that it runs, then waits for `go` or dies for `die`.

`slow/late` sleeps past its step's timeout, `slow/stubborn` swallows whatever interrupts it.
"""

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

from jobs import Context, step, workflow

PATIENCE_SECONDS = 60


@step(name="slow-before")
def before(ctx: Context, folder: str) -> str:
    return folder


@step(name="slow-wait")
def wait(ctx: Context, folder: str) -> int:
    Path(folder, f"attempt-{ctx.attempt}").touch()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not Path(folder, "go").exists():
        if ctx.attempt == 1 and Path(folder, "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError("nobody said go")
        time.sleep(0.02)
    return ctx.attempt


@step(name="slow-after")
def after(ctx: Context, attempt: int) -> int:
    return attempt


@workflow(name="slow/three", queue="orders")
def three(folder: str) -> int:
    return after(wait(before(folder)))


@step(name="slow-late", attempts=1, timeout=timedelta(seconds=1))
def late(ctx: Context, folder: str) -> int:
    time.sleep(PATIENCE_SECONDS)
    return 0


@workflow(name="slow/late", queue="orders")
def late_flow(folder: str) -> int:
    return late(before(folder))


@step(name="slow-stubborn", attempts=1, timeout=timedelta(seconds=1))
def stubborn(ctx: Context, folder: str) -> int:
    while True:
        try:
            time.sleep(PATIENCE_SECONDS)
        except:  # noqa: E722 - what authors write
            Path(folder, "swallowed").touch()


@workflow(name="slow/stubborn", queue="orders")
def stubborn_flow(folder: str) -> int:
    return stubborn(before(folder))
