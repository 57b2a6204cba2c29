"""The harness's exceptions: whose fault it is decides the exit code (docs/reference.md, "Exit codes")."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

DEBUG = "FTPS_LAB_DEBUG"
"""If this variable is set to anything, unexpected errors show their traceback."""

_FEWER = "run fewer at a time (-j)"
_EXHAUSTED = {
    errno.EMFILE: f"too many open files: {_FEWER}, or raise the limit (ulimit -n)",
    errno.ENFILE: f"too many open files on this machine: {_FEWER}",
    errno.ENOMEM: f"out of memory: {_FEWER}, or raise the limit (ulimit -v)",
    errno.EAGAIN: f"too many processes or threads: {_FEWER}, or raise the limit (ulimit -u)",
}


class UsageError(Exception):
    """The user's input cannot be used (a file, a name, an option): exit code 2."""


class HarnessError(Exception):
    """The harness could not do its work (no lftp, no place to write): exit code 3, never a verdict."""


def sentence(error: BaseException) -> str:
    """Describe an error for a person; if the machine has run out of something, say what to do.

    With `DEBUG`, the traceback goes to standard error.
    """
    import traceback

    from ftps_lab.errors import LabError  # reading scenarios must not load the lab

    if isinstance(error, (UsageError, HarnessError, LabError)):
        return str(error)
    if os.environ.get(DEBUG):
        traceback.print_exception(error, file=sys.stderr)
    if short := exhausted(error):
        return short
    if isinstance(error, UnicodeEncodeError):
        return (
            f"cannot write {error.object!r} in this locale's encoding, {error.encoding}: use a UTF-8 locale, or unset "
            "PYTHONUTF8, so that Python uses UTF-8"
        )
    if isinstance(error, OSError):
        return f"{error.filename or 'a system call'}: {error.strerror or error}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return (
        f"unexpected {type(error).__name__}{where}: {error}\n"
        f"Please report it, with the traceback that {DEBUG}=1 in the environment shows"
    )


def exhausted(error: BaseException) -> str:
    """What this machine has run out of, and what to do about it; empty for any other error."""
    if isinstance(error, MemoryError):
        return _EXHAUSTED[errno.ENOMEM]
    if isinstance(error, RuntimeError) and str(error).startswith("can't start new thread"):
        return _EXHAUSTED[errno.EAGAIN]
    return _EXHAUSTED.get(error.errno or 0, "") if isinstance(error, OSError) else ""
