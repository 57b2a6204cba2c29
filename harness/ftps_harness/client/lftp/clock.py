"""Change the time for lftp alone: libfaketime, preloaded, and never a frozen clock (docs/lftp.md, "Time")."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from ftps_harness.client.lftp.binary import Lftp

_PLACES = (
    "/usr/lib/*/faketime/libfaketime.so.1",  # Debian, Ubuntu
    "/usr/lib*/faketime/libfaketime.so.1",  # Fedora, Arch, openSUSE
    "/usr/local/lib/faketime/libfaketime.so.1",
    "/opt/homebrew/lib/faketime/libfaketime.1.dylib",
    "/usr/local/lib/faketime/libfaketime.1.dylib",
)
_TRY_SECONDS = 10.0


@functools.cache
def _library(lftp: Lftp) -> str | None:
    """The library's path on the machine that runs lftp."""
    look = f'for place in {" ".join(_PLACES)}; do [ -e "$place" ] && echo "$place"; done; :'
    found = lftp.start(["/bin/sh", "-c", look], env={}, cwd=Path("/"), timeout=_TRY_SECONDS).stdout.decode().split("\n")
    return found[0] or None


def clock_environment(lftp: Lftp, clock: str) -> dict[str, str]:
    """The variables that run a process at another time.

    Args:
        lftp: The build to run with them.
        clock: An offset from now in libfaketime's syntax, such as ``+366d`` or ``-2h``.

    Raises:
        HarnessError: libfaketime is not installed here.
    """
    library = _library(lftp)
    if library is None:
        raise HarnessError("running lftp at another time needs libfaketime: apt install faketime")
    preload = "DYLD_INSERT_LIBRARIES" if library.endswith(".dylib") else "LD_PRELOAD"
    # Timeouts use the monotonic clock, which stays the machine's.
    return {preload: library, "FAKETIME": clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def could_not_preload(stderr: bytes) -> bool:
    """Whether the dynamic linker reported that it could not load the library (ld.so then continues without it)."""
    return b"libfaketime" in stderr and b"cannot be preloaded" in stderr


@functools.cache
def why_no_clock(lftp: Lftp) -> str | None:
    """Why this lftp cannot run at another time, as a sentence for a skipped scenario; None if it can."""
    try:
        variables = clock_environment(lftp, "+1d")
    except HarnessError as error:
        return str(error)
    variables |= {"HOME": "/nonexistent", "LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    try:
        answer = lftp.start([str(lftp.path), "--version"], env=variables, cwd=Path("/"), timeout=_TRY_SECONDS)
    except (HarnessError, UsageError) as error:
        return str(error)
    if could_not_preload(answer.stderr) or answer.exit_code != 0:
        return f"{lftp.path} cannot be run at another time: it does not load {_library(lftp)}"
    return None
