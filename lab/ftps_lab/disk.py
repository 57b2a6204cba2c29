"""Lists, reads and removes what lftp leaves on the disk, even if lftp removed the permission to read it.

lftp gives files and folders the modes that the server names (`mirror`), or a step does it (``!chmod 0 x``). Root can
read them anyway; other users must restore the permission first. Only our own files are changed, never through a
symbolic link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator


_OF_THE_KERNEL = (("/", "proc"), ("/", "sys"), ("/", "dev"))


def below(*folders: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every path below some folders, with its own state; links are not followed. Folders stay readable afterwards.

    Raises:
        LabError: Something cannot be inspected, so its content is unknown.
    """
    waiting = list(folders)
    while waiting:
        folder = waiting.pop()
        for path in _entries(folder):
            try:
                state = os.lstat(path)  # pathlib costs more than this call, and a run inspects hundreds
            except FileNotFoundError:
                continue
            yield path, state
            if stat.S_ISDIR(state.st_mode):
                waiting.append(path)


def target(path: Path, own: os.stat_result) -> os.stat_result | None:
    """The state of the regular file that a path leads to, also through links; None if it leads to no such file.

    The kernel's files look regular, but reading one can wait, fail or never end.

    Args:
        path: The path.
        own: Its own state, as `below` returns it.
    """
    if not stat.S_ISLNK(own.st_mode):
        return own if stat.S_ISREG(own.st_mode) else None
    with contextlib.suppress(OSError):  # a dangling link
        if path.resolve().parts[:2] in _OF_THE_KERNEL:
            return None
        state = path.stat()
        return state if stat.S_ISREG(state.st_mode) else None
    return None


def copy(source: Path, destination: Path) -> None:
    """Copy a folder's content into another folder, with modes, times and links; the source's files stay unchanged.

    Raises:
        LabError: Something cannot be inspected.
        OSError: Something cannot be read or written.
    """
    for _ in below(source):  # makes the folders readable
        pass
    shutil.copytree(source, destination, symlinks=True, dirs_exist_ok=True, copy_function=_copy_file)


def read(path: Path) -> bytes:
    """A file's content; its mode stays unchanged.

    Raises:
        LabError: It cannot be read.
    """
    try:
        try:
            return path.read_bytes()
        except PermissionError:
            with _opened(path):
                return path.read_bytes()
    except OSError as error:
        raise LabError(
            f"cannot read {path}: {error.strerror}; make it readable, because the verdict depends on its content"
        ) from error


def read_own(path: Path, limit: int = 64 << 20) -> bytes | None:
    """A regular file's content up to a limit; None if it is missing, unreadable, or something else.

    Unlike `read`, for a file that we expect at this path and a client may have replaced: opening a FIFO would wait
    forever, and a link may lead anywhere.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)


def is_file(path: Path) -> bool:
    """Whether a file exists, even in a folder whose permissions must be restored first.

    Raises:
        LabError: That cannot be determined.
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except PermissionError:
        return path in _entries(path.parent) and stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def remove(folder: Path) -> None:
    """Remove a folder and everything in it.

    Raises:
        LabError: Something cannot be removed.
    """
    try:
        if not folder.exists():
            return
        folders = [folder]
        for path, state in below(folder):
            if stat.S_ISDIR(state.st_mode):
                folders.append(path)
            else:
                path.unlink(missing_ok=True)
        for each in reversed(folders):  # inner folders come after outer ones
            with contextlib.suppress(FileNotFoundError):
                each.rmdir()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG and _remove_deep(folder):
            return
        raise LabError(f"cannot remove {folder}: {error.strerror}; remove it by hand") from error


def _remove_deep(folder: Path) -> bool:
    """Remove a folder in which paths exceed the limit for a path: rm(1) goes from folder to folder."""
    import subprocess

    done = subprocess.run(["rm", "-rf", "--", folder], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def open_folder(folder: Path) -> None:
    """Give this process permission to list its own folder and to change its content.

    Raises:
        OSError: The folder is gone, or its file system does not allow that.
    """
    state = os.lstat(folder)
    closed = state.st_mode & stat.S_IRWXU != stat.S_IRWXU
    if closed and stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid():
        folder.chmod(stat.S_IMODE(state.st_mode) | stat.S_IRWXU)


def _entries(folder: Path) -> list[Path]:
    """A folder's content, its permissions restored if necessary; nothing if it is gone."""
    try:
        open_folder(folder)
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise LabError(f"cannot list the folder {folder}: {error.strerror}") from error


def _copy_file(source: str, destination: str) -> None:
    """`shutil.copy2` for a file that may be unreadable."""
    mode = stat.S_IMODE(os.lstat(source).st_mode)
    with _opened(Path(source)):
        shutil.copy2(source, destination)
    os.chmod(destination, mode)  # noqa: PTH101 - shutil's paths are strings


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[None]:
    """Make our own file readable for a moment."""
    state = path.lstat()
    readable = state.st_mode & stat.S_IRUSR
    if readable or not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
        yield
        return
    path.chmod(stat.S_IMODE(state.st_mode) | stat.S_IRUSR)
    try:
        yield
    finally:
        path.chmod(stat.S_IMODE(state.st_mode))
