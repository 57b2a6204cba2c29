"""Waiting for an event without guessing how long it takes."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def until(condition: Callable[[], object], seconds: float = 20, pause: float = 0.02) -> None:
    """Wait until the condition holds; fail the test after `seconds`, which suffice even on a slow machine."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} seconds in vain"
        time.sleep(pause)


@contextlib.contextmanager
def started(*command: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a program with stdout and stderr in pipes, and end it after this block.

    ``with Popen`` alone would wait for the program even if a failed test never ended it.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # it may have children to end
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()


def running(command: str) -> bool:
    """Whether a process with this command line is running."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command in path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"):
                return path.parent.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            continue
    return False
