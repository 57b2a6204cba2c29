"""Another time for lftp alone: libfaketime, preloaded (FACTS.md: works on all builds; a frozen clock does not)."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness import process
from ftps_harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from ftps_harness.lftp.binary import Lftp

_PLACES = (
    "/usr/lib/*/faketime/libfaketime.so.1",  # Debian, Ubuntu
    "/usr/lib*/faketime/libfaketime.so.1",  # Fedora, Arch, openSUSE
    "/usr/local/lib/faketime/libfaketime.so.1",
    "/opt/homebrew/lib/faketime/libfaketime.1.dylib",
    "/usr/local/lib/faketime/libfaketime.1.dylib",
)
_TRY_SECONDS = 10.0


@functools.cache
def _library() -> Path | None:
    return next((found for place in _PLACES for found in sorted(Path("/").glob(place[1:]))), None)


def clock_environment(clock: str) -> dict[str, str]:
    """The variables that make a process live at another time.

    Args:
        clock: An offset from now as libfaketime knows it, such as ``+366d`` or ``-2h``.

    Raises:
        HarnessError: libfaketime is not here.
    """
    library = _library()
    if library is None:
        raise HarnessError("lftp cannot be run at another time without libfaketime: apt install faketime")
    preload = "DYLD_INSERT_LIBRARIES" if sys.platform == "darwin" else "LD_PRELOAD"
    # Timeouts are measured on the monotonic clock: that one stays the machine's.
    return {preload: str(library), "FAKETIME": clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def could_not_preload(stderr: bytes) -> bool:
    """Whether the dynamic linker said that it left the library out (ld.so goes on without it)."""
    return b"libfaketime" in stderr and b"cannot be preloaded" in stderr


def why_no_clock(lftp: Lftp) -> str | None:
    """Why this lftp cannot run at another time, as a sentence for a skipped scenario; None when it can."""
    return _why_no_clock(lftp.path)


@functools.cache
def _why_no_clock(path: Path) -> str | None:
    try:
        variables = clock_environment("+1d")
    except HarnessError as error:
        return str(error)
    variables |= {"HOME": "/nonexistent", "LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    try:
        answer = process.run([str(path), "--version"], env=variables, cwd=Path("/"), timeout=_TRY_SECONDS)
    except (HarnessError, UsageError) as error:
        return str(error)
    if could_not_preload(answer.stderr) or answer.exit_code != 0:
        return f"{path} cannot be run at another time: it does not load {_library()}"
    return None
