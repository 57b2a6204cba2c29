"""Whether other users of this machine can read a password that a client sends among a process's arguments (`ps`).

This works only if the lab's agent has its own PID namespace, where all processes belong to the run and are few.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from urllib.parse import quote

WATCH = "FTPS_LAB_WATCHES_PROCESSES"
"""The variable that says that all processes here belong to the run."""

_SHORTEST = 4
"""Minimum characters of a password to look for: a shorter one occurs in many words."""


def among_arguments(password: str, proc: Path = Path("/proc")) -> bool:
    """Whether a process now has a password among its arguments, plain or URL-encoded; only in a watched namespace.

    While a client waits for the reply to its PASS, it still runs, and so does the program that started it and waits.
    """
    if os.environ.get(WATCH) != "1" or len(password) < _SHORTEST:
        return False
    forms = "|".join(re.escape(each) for each in {password, quote(password), quote(password, safe="")})
    pattern = re.compile(rf"(?<![^\W_])(?:{forms})(?![^\W_])".encode("utf-8", "surrogateescape"))
    for number in filter(str.isdigit, os.listdir(proc)):  # noqa: PTH208 - a glob costs a millisecond at each login
        with contextlib.suppress(OSError):  # the process has ended
            if pattern.search((proc / number / "cmdline").read_bytes()):
                return True
    return False
