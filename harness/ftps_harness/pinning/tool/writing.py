"""Atomic replacement of files, by one process at a time, with nothing left behind.

New content is written to a file beside the old one, synced to disk, and renamed over it in one step. The temporary name
is always the same: only the holder of the lock writes, and it first removes what a killed run left behind.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING, Final, Self

from ftps_harness.errors import HarnessError
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POLL_SECONDS: Final = 0.02
_FILE: Final = 0o600
_FOLDER: Final = 0o700


@contextlib.contextmanager
def lock(folder: Path, timeout: float) -> Iterator[None]:
    """Keep other `ftps-lab pin` processes out: lock the folder itself, which needs no file and ends with the process.

    Args:
        folder: An existing folder: HOME, or LFTP_HOME.
        timeout: Seconds to wait for another process.

    Raises:
        HarnessError: Another process does not end, or the file system does not support locks.
    """
    end = time.monotonic() + timeout
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in {errno.EWOULDBLOCK, errno.EINTR}:
                    why = error.strerror or str(error)
                    raise HarnessError(f"{harmless(str(folder))}: cannot lock the folder: {why}") from error
            if time.monotonic() > end:
                raise HarnessError(
                    f"another `ftps-lab pin` has held the lock on this folder for {timeout:g} s; try again later"
                )
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def read(path: Path) -> bytes | None:
    """A file's bytes; None if it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


class Replacement:
    """New content for a file, on disk beside it and ready to replace it. A context manager.

    Args:
        path: The file itself, not a link.
        data: Its new content; None to remove the file.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """

    def __init__(self, path: Path, data: bytes | None) -> None:
        self._path = path
        self._data = data
        self._temporary = path.with_name(f".{path.name}.ftps-lab-new")

    def __enter__(self) -> Self:
        try:
            if self._data is not None:
                self._write(self._data)
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def take_place(self) -> None:
        """Replace the file in one step."""
        if self._data is None:
            self._path.unlink(missing_ok=True)
        else:
            self._temporary.replace(self._path)
        _sync_folder(self._path.parent)

    def _write(self, data: bytes) -> None:
        self._clear()  # left by a killed run
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._temporary, flags, _FILE)
        try:
            _like(handle, self._path)
            with os.fdopen(os.dup(handle), "wb") as file:
                file.write(data)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _clear(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._temporary.unlink()


def _like(handle: int, path: Path) -> None:
    """Give a new file the owner, access list and mode of the file that it replaces; 0600 if there is no old file."""
    try:
        old = path.stat()
    except FileNotFoundError:
        os.fchmod(handle, _FILE)
        return
    new = os.fstat(handle)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(handle, old.st_uid, old.st_gid)
        except PermissionError as error:
            why = "belongs to another user or group, and the new file's owner could not be set to it"
            raise HarnessError(f"{harmless(str(path))}: {why}; nothing was written") from error
    for name in _attributes(path):
        os.setxattr(handle, name, os.getxattr(path, name))
    os.fchmod(handle, stat.S_IMODE(old.st_mode))


def _attributes(path: Path) -> list[str]:
    """The names of a file's access lists and user attributes; empty if the system has no such attributes."""
    try:
        return [name for name in os.listxattr(path) if name.startswith(("user.", "system.posix_acl"))]
    except (AttributeError, OSError):  # macOS; a file system without them
        return []


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot; the file is renamed anyway
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def made(folder: Path) -> Iterator[None]:
    """Create a folder (0700) and its parents; remove those that stay empty."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(new):
        each.mkdir(mode=_FOLDER)
    try:
        yield
    finally:
        for each in new:
            with contextlib.suppress(OSError):  # not empty: it is in use
                each.rmdir()
