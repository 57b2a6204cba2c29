"""The sealed HOME: a private folder in which lftp finds the scenario's rc and pins, and none of the user's files.

ROOT/home/.lftp/rc      read by lftp on start-up
ROOT/home               HOME
ROOT/elsewhere          an empty folder to start lftp in
ROOT/downloads, uploads the files that tasks download and upload
ROOT/log                debug logs: outside everything that lftp reads
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ftps_harness.errors import HarnessError
from ftps_lab import disk, temporary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ftps_harness.words import Folder

_FOLDERS = ("home", "home/.lftp", "elsewhere", "downloads", "uploads", "log", "tmp", "shm")
_WRITTEN = 1_767_225_600
"""The time of all files that we write, 2026-01-01 in UTC: a file's age must not show a program which run it is in."""

_COPIED = ("home", "elsewhere", "uploads")
"""The folders that a control copies from its step; it has its own downloads and logs."""


class Home:
    """A sealed HOME on disk. The creator must end it: use it as a context manager, or `close` it.

    Attributes:
        root: The private folder (0700) that holds everything.
        inside: `root` as lftp sees it: a different path in a sandbox.
        home: The value of HOME for lftp.
        dot_lftp: ``~/.lftp`` in it.
        elsewhere: An empty folder outside HOME.
        downloads: Where tasks store downloads.
        uploads: Where tasks read uploads.
        private: The folders that a sandbox shows as /tmp and /dev/shm.
        shown: Further absolute paths at which a sandbox shows parts of `root`, by their names in it: for a HOME at the
            same path as the user's own.
        logs: Where debug logs are written.
    """

    def __init__(self, parent: Path | None = None, inside: Path | None = None) -> None:
        """Create the folders.

        Args:
            parent: The folder to create it in; None for the system's folder for temporary files (TMPDIR).
            inside: The path at which lftp sees it; None for the same path.

        Raises:
            HarnessError: The folder is not writable.
            LabError: No location for HOME is available.
        """
        where = parent or temporary.place()
        with _sentence(f"cannot create a private folder below {where}"):
            self._folder = temporary.Folder("home", where)
        self.root = self._folder.path
        self.inside = inside or self.root
        self.home = self.root / "home"
        self.dot_lftp = self.home / ".lftp"
        self.elsewhere = self.root / "elsewhere"
        self.downloads = self.root / "downloads"
        self.uploads = self.root / "uploads"
        self.private = (self.root / "tmp", self.root / "shm")
        self.shown: dict[str, str] = {}
        self.logs = self.root / "log"
        try:
            with _sentence(f"cannot create a private folder below {where}"):
                for name in _FOLDERS:
                    (self.root / name).mkdir(mode=0o700)
        except BaseException:
            self.close()
            raise

    def folder(self, cwd: Folder) -> Path:
        """The folder to start lftp in for a step's `cwd`."""
        return {"lftp": self.dot_lftp, "home": self.home, "elsewhere": self.elsewhere}[cwd]

    def write_rc(self, text: str) -> Path:
        """Replace ``~/.lftp/rc``. The text is written exactly, line endings included.

        Raises:
            HarnessError: It cannot be written.
        """
        return self._write(self.dot_lftp / "rc", text.encode("utf-8", "surrogateescape"), private=False)

    def put_file(self, name: str, data: bytes, *, private: bool = False, folder: Folder = "lftp") -> Path:
        """Write a file, replacing one of the same name.

        Args:
            name: A plain name, or a path below the folder; `scenario.files.destination` explains ``cwd/``.
            data: The content.
            private: For keys: readable only by the owner (0600).
            folder: The folder to write to.

        Raises:
            HarnessError: It cannot be written, or the name leads out of the folder.
        """
        base = self.folder(folder)
        target = Path(os.path.normpath(base / name))
        if base not in target.parents:
            raise HarnessError(f"cannot write {name!r}: the path escapes {base}")
        return self._write(target, data, private=private)

    def leads_out(self, path: Path) -> bool:
        """Whether a path of ours leads out of the private folder, through a symbolic link in it."""
        if path.is_relative_to(self.root) and not _has_link(self.root, path):
            return False
        return not path.resolve().is_relative_to(self.root.resolve())

    def put_upload(self, name: str, data: bytes) -> Path:
        """Write a file for a task to upload.

        Raises:
            HarnessError: It cannot be written.
        """
        return self._write(self.uploads / name, data, private=False)

    def fill(self, folder: Path) -> None:
        """Make HOME a copy of a folder: files, modes, times and links; the previous content of HOME is removed.

        Raises:
            HarnessError: It cannot be read or written.
            LabError: A folder in it cannot be opened.
        """
        disk.remove(self.home)
        with _sentence(f"cannot copy {folder} to {self.home}"):
            disk.copy(folder, self.home)
            self.home.chmod(0o700)
            self.dot_lftp.mkdir(mode=0o700, exist_ok=True)

    def seen(self, path: Path) -> Path:
        """Translate one of our paths to the path that lftp sees."""
        for at, part in self.shown.items():
            if path.is_relative_to(self.root / part):
                return Path(at) / path.relative_to(self.root / part)
        return self.inside / path.relative_to(self.root)

    def next_log(self) -> Path:
        """Create an empty file for the next debug log.

        The path is always the same, because an rc could use a different one to recognize the control.
        """
        path = self.logs / "lftp.log"
        if sys.platform == "linux":
            self._make_empty(path)
        else:
            self._write(path, b"", private=True)
        os.utime(path, (0, 0))  # the same goes for its time: lftp reads the rc before it writes here
        return path

    @staticmethod
    def _make_empty(path: Path) -> None:
        """Create an empty file without opening it (mknod(2)).

        A process that another thread starts meanwhile would inherit the descriptor until it executes its program, and
        closing that copy would look like a write to the file (`watching`).
        """
        with _sentence(f"cannot write {path}"):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            os.mknod(path, 0o600 | stat.S_IFREG)

    @property
    def reach(self) -> tuple[Path, ...]:
        """Every folder that lftp may write to, except the one for logs."""
        shown = (self.root / part for part in self.shown.values())
        more = (path for path in shown if path != self.home and path.is_dir())
        return self.home, self.elsewhere, self.downloads, self.uploads, *self.private, *more

    def clear(self) -> None:
        """Empty the folders for downloads, temporary files and logs, so that each run begins without any.

        Raises:
            HarnessError: A folder cannot be created again.
            LabError: Something in a folder cannot be read or removed.
        """
        for folder in (self.downloads, self.logs, *self.private):
            with _sentence(f"cannot empty {folder}"):
                if not any(disk.below(folder)):
                    continue
            disk.remove(folder)
            with _sentence(f"cannot create {folder}"):
                folder.mkdir(mode=0o700)

    def reopen(self) -> None:
        """Restore our access to its folders, because the client may have changed their permissions.

        Where it put a link in place of one, this makes a new folder: for us, outside a sandbox, the link could lead to
        any folder of this machine, whose content `clear` would remove.

        Raises:
            HarnessError: The file system does not allow it.
        """
        with _sentence(f"cannot open {self.root}"):
            disk.open_folder(self.root)
            for name in _FOLDERS:
                folder = self.root / name
                if "/" not in name and folder.is_symlink():
                    folder.unlink()
                    folder.mkdir(mode=0o700)
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # the client may have removed it
                    disk.open_folder(folder)

    def clone(self) -> Home:
        """Return an independent copy for a control: the current HOME and uploads, no downloads, no logs.

        Raises:
            HarnessError: It cannot be written.
        """
        copy = Home(self.root.parent, None if self.inside == self.root else self.inside)
        try:
            with _sentence(f"cannot copy {self.root} to {copy.root}"):
                copy.dot_lftp.rmdir()  # an extra one would hide ~/.config/lftp/rc (docs/lftp.md, "The rc")
                for name in _COPIED:
                    disk.copy(self.root / name, copy.root / name)
        except BaseException:
            copy.close()
            raise
        return copy

    def close(self) -> None:
        """Remove everything; a second call does nothing.

        Raises:
            LabError: Something cannot be removed.
        """
        self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, path: Path, data: bytes, *, private: bool) -> Path:
        mode = 0o600 if private else 0o644
        if self.leads_out(path.parent):
            raise HarnessError(f"cannot write {path}: a symbolic link in this path leads out of {self.root}; remove it")
        with _sentence(f"cannot write {path}"):
            path.unlink(missing_ok=True)  # never write through a link or keep an old file's mode
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            except FileNotFoundError:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.utime(path, (_WRITTEN, _WRITTEN))
        return path


@contextlib.contextmanager
def _sentence(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # shutil.Error is an OSError without strerror
        why = error.strerror or str(error)
        raise HarnessError(
            f"{what}: {why}; free disk space or grant write permission there, or set TMPDIR to a writable folder"
        ) from error


def _has_link(root: Path, path: Path) -> bool:
    """Whether there may be a symbolic link on the way from a folder to a path below it.

    This looks only at the few folders of ours: resolving both paths from / takes four times as long.
    """
    parts = path.parts[len(root.parts) :]
    at = os.fspath(root)
    for part in parts:
        at = f"{at}/{part}"
        try:
            if part == ".." or stat.S_ISLNK(os.lstat(at).st_mode):
                return True
        except FileNotFoundError:
            return False
        except OSError:
            return True
    return False
