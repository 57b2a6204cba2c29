"""Whether other users of this machine can read a password that a client sends among a process's arguments (`ps`).

This works only if the lab's agent has its own PID namespace: there all processes belong to the run, and they are few.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from urllib.parse import quote

WATCH = "FTPS_LAB_WATCHES_PROCESSES"
"""The variable that says that all processes here are the run's own."""

_SHORTEST = 4
"""Characters of a password that is looked for: a shorter one is in many words."""


def among_arguments(password: str, proc: Path = Path("/proc")) -> bool:
    """Whether a process has a password among its arguments at this moment, as it is or as in a URL; only where watched.

    While a client waits for the reply to its PASS it runs, and so does what has started it and waits for it.
    """
    if os.environ.get(WATCH) != "1" or len(password) < _SHORTEST:
        return False
    forms = "|".join(re.escape(each) for each in {password, quote(password), quote(password, safe="")})
    pattern = re.compile(rf"(?<![^\W_])(?:{forms})(?![^\W_])".encode("utf-8", "surrogateescape"))
    for number in filter(str.isdigit, os.listdir(proc)):  # noqa: PTH208 - a glob costs a millisecond at each login
        with contextlib.suppress(OSError):  # it has ended
            if pattern.search((proc / number / "cmdline").read_bytes()):
                return True
    return False
