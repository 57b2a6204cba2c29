"""Writes reports: a file is complete or absent, and a write error becomes a message."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

STDOUT = "-"
"""The name that stands for standard output."""


def check_targets(targets: Mapping[str, str | None]) -> None:
    """Check before the run that all reports can be written and no two have the same name.

    Args:
        targets: Option → the file that it names; None if it is not given.

    Raises:
        UsageError: As in `check_target`, or one report would overwrite another.
    """
    taken: dict[str, tuple[str, str]] = {}
    for option, name in targets.items():
        if name is None:
            continue
        check_target(option, name)
        other, spelled = taken.setdefault(name if name == STDOUT else str(Path(name).absolute()), (option, name))
        if other != option and not name.startswith("/dev/"):
            raise UsageError(f"{other} and {option} both name {spelled}; one would overwrite the other")


def check_target(option: str, name: str) -> None:
    """Check before the run that a report can be written afterwards.

    Raises:
        UsageError: The folder is missing, the name is that of a folder, or writing is not permitted.
    """
    if name == STDOUT:
        return
    path = _target(name)
    if _is_a(stat.S_ISDIR, path):
        raise UsageError(f"{option} {name}: this is a folder; name a file")
    if not _is_a(stat.S_ISDIR, path.parent):
        raise UsageError(f"{option} {name}: the folder {path.parent} does not exist; create it, or name another file")
    if not os.access(path if _is_special(path) else path.parent, os.W_OK):
        raise UsageError(f"{option} {name}: no permission to write there; name another file")


def write(name: str, text: str) -> None:
    """Write to a file or to standard output.

    An ordinary file appears, or replaces the old one, once it is completely on disk; on a device or a pipe
    (``/dev/stderr``, ``>(command)``) the text is simply written.

    Raises:
        HarnessError: It cannot be written; no partial file is left.
    """
    if name == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    path = _target(name)
    with sentence(f"{name} was not written"):
        if _is_special(path):
            with path.open("w", encoding="utf-8") as stream:
                stream.write(text)
        else:
            _replace(path, text)


def problems_of_writing(name: str, text: str) -> list[str]:
    """Write a report like `write`, but return the problems instead, so that other reports are still written."""
    try:
        write(name, text)
    except HarnessError as error:
        return [str(error)]
    return []


@contextlib.contextmanager
def sentence(what: str) -> Iterator[None]:
    """Turn an error of the operating system into a sentence.

    Raises:
        HarnessError: Something cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise HarnessError(f"{what}: {error.strerror or error}") from None


def _target(name: str) -> Path:
    """The file to write: the target of a symbolic link, so that the link stays."""
    return Path(os.path.realpath(Path(name).expanduser()))


def _is_special(path: Path) -> bool:
    return _is_a(lambda mode: not stat.S_ISREG(mode), path)


def _is_a(kind: Callable[[int], bool], path: Path) -> bool:
    """Whether the path is of this kind; False if it does not exist or cannot be examined."""
    try:
        return kind(path.stat().st_mode)
    except OSError:
        return False


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name[:64]}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            if path.exists():
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            stream.write(text)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
