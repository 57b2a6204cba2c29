"""Waiting for what comes, without a guess at how long it takes."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def until(true: Callable[[], object], seconds: float = 20, pause: float = 0.02) -> None:
    """Wait until it is true; the test has failed when it is not, however slow the machine is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} seconds in vain"
        time.sleep(pause)


@contextlib.contextmanager
def started(*command: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A program with its output and its errors in pipes, over after this block.

    ``with Popen`` alone waits for its end, also for that of a program which a test that has failed did not end.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # it may have children of its own to end
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
