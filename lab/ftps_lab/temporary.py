"""Private folders for temporary files. The next process removes what a killed one left behind.

Each folder is locked (flock(2)) for as long as its process lives. The kernel releases the lock when the process ends,
even by SIGKILL, so a folder without a lock has no owner. If a file system does not support locks, nothing is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ftps_lab import disk
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "ftps-lab-run-"
"""The prefix of each folder's name: only folders with it are cleared."""

MOUNTS = Path("/proc/self/mountinfo")
"""The kernel's list of this process's mounts; each line's fifth word is a mount point (proc(5))."""

_PLAIN = re.compile(r"[\w/.,:=@%+~-]+")
"""Paths below which lftp can read its rc, and which need no quotes in its commands (docs/lftp.md, "The rc")."""

_ELSEWHERE = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - folders with names that nobody can guess go there

_CHOSEN = ("TMPDIR", "TEMP", "TMP")
"""The variables that the `tempfile` module reads."""
_MEMORY, _ROOM = Path("/dev/shm"), 1 << 30  # noqa: S108 - as above
"""The in-memory file system of every Linux, often 64 MiB in a container; ten scenarios at a time need 150 MiB."""


class Folder:
    """A private folder (0700) that is removed with its content. Use it as a context manager, or `close` it.

    Attributes:
        path: Its path, without symbolic links.

    Args:
        kind: A word for its name, such as ``home``.
        parent: The folder to create it in; None for `place`.

    Raises:
        OSError: It cannot be created.
        LabError: No place is suitable for it.
    """

    def __init__(self, kind: str, parent: Path | None = None) -> None:
        where = parent or place()
        clear_leftovers(where)
        self.path, self._lock = _make(kind, where)

    def close(self) -> None:
        """Remove the folder; a second call does nothing.

        Raises:
            LabError: Something in it cannot be removed.
        """
        try:
            disk.remove(self.path)
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def place() -> Path:
    """The place for temporary files: TMPDIR, or another place if lftp could not have its HOME in TMPDIR.

    Raises:
        LabError: No place is suitable.
    """
    wanted = wanted_place()
    if _PLAIN.fullmatch(str(wanted)):
        return wanted
    for other in _ELSEWHERE:
        if os.access(other, os.W_OK | os.X_OK):
            return Path(other).resolve()
    raise LabError(
        f"TMPDIR is {wanted}, but lftp reads no rc below a path with spaces, quotes or similar characters; set "
        f"TMPDIR to a folder without them"
    )


def wanted_place() -> Path:
    """TMPDIR, or the system's place for temporary files, whether or not lftp could have its HOME there.

    Raises:
        LabError: Nothing can be written anywhere.
    """
    try:
        return Path(tempfile.gettempdir()).resolve()
    except OSError as error:
        raise LabError(f"{error.strerror or error}; free disk space, or set TMPDIR to a writable folder") from None


def quick_place() -> Path:
    """The place for short-lived small files: memory, unless TMPDIR is set.

    Before ext4 without a journal creates a file, it checks every inode number freed in the last seconds: that was a
    sixth of the catalogue's processor time (measured).

    Raises:
        LabError: Nothing can be written anywhere.
    """
    wanted = wanted_place()
    chosen = wanted != Path(_ELSEWHERE[0]) or any(map(os.environ.get, _CHOSEN))
    return wanted if chosen or not _is_roomy(_MEMORY) else _MEMORY


def _is_roomy(folder: Path) -> bool:
    """Whether a folder can hold what a disk can: programs too, and files as large as scenarios need."""
    try:
        state = os.statvfs(folder)
    except OSError:
        return False
    room = state.f_bavail * state.f_frsize >= _ROOM and not state.f_flag & os.ST_NOEXEC
    return room and os.access(folder, os.W_OK | os.X_OK)


@functools.cache
def clear_leftovers(parent: Path) -> None:
    """Remove the folders of killed processes, once per process; folders that cannot be removed stay."""
    with contextlib.suppress(OSError):
        for path in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError, LabError), _abandoned(path) as abandoned:
                if abandoned:
                    disk.remove(path)


def _make(kind: str, parent: Path) -> tuple[Path, int | None]:
    """A new folder and its lock; None if the file system has no locks."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", dir=parent)).resolve()
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # removed as a leftover between the two calls
            continue
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # being removed as a leftover
            os.close(lock)
            continue
        except OSError:
            os.close(lock)
            return path, None
        if path.exists():
            return path, lock
        os.close(lock)


def _holds_a_mount(path: Path) -> bool:
    """Whether something is mounted below: in a container, a mount point that its engine made looks like a leftover."""
    try:
        lines = MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:  # not Linux
        return False
    points = [re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4]) for line in lines]
    return any(Path(point).is_relative_to(path) for point in points)


@contextlib.contextmanager
def _abandoned(path: Path) -> Iterator[bool]:
    """Whether a folder with our prefix has no owner; if it has none, it is locked against others meanwhile."""
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or _holds_a_mount(path):
        yield False
        return
    disk.open_folder(path)
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)
