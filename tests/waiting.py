"""Waiting for what comes, without a guess at how long it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def until(true: Callable[[], object], seconds: float = 20, pause: float = 0.02) -> None:
    """Wait until it is true; the test has failed when it is not, however slow the machine is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} seconds in vain"
        time.sleep(pause)
