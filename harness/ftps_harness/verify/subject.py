"""The subject under test: an rc file, a folder such as ~/.lftp, or an lftp script; read once and never written."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RC: Final = ".lftp/rc"
"""Where lftp looks first (docs/lftp.md, "The rc")."""

XDG: Final = ".config/lftp/"
"""Where lftp looks when there is no ~/.lftp (docs/lftp.md, "The rc")."""

_FOLDERS: Final = {".lftp": ".lftp", "lftp": ".config/lftp"}
"""The name of an lftp folder → its place below HOME; a folder with any other name counts as a copy of ~/.lftp."""

_RC_NAME: Final = re.compile(r"(rc|\.conf)$", re.IGNORECASE)
"""The names of rc files. Any other file is a script if lftp connects to something when it reads the file."""

_LARGEST: Final = 16 << 20
"""Maximum number of bytes to read from one folder."""
_MOST: Final = 2_000
"""Maximum number of files to read from one folder."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the setup.

    Attributes:
        path: Where the user has it.
        data: Its content.
        mode: Its permission bits.
        owner: Its owner's user id.
    """

    path: Path
    data: bytes
    mode: int
    owner: int


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject under test.

    Attributes:
        given: The user's argument, as on a command line; passwords in it are masked.
        rc: The rc's name below HOME, a key of `files`; None for a command.
        files: Name below HOME → the file in the copy. A name that ends in / is a folder.
        real_home: The user's HOME; the copy has the same path.
        outside: Absolute path → a single file outside HOME that is copied too.
        folders: Absolute path of a folder → the files in its copy, by their names below it.
        argv: The command; empty for an rc.
        cwd: Where the command is started.
        is_path: The user named a file, not a command.
        may_be_script: It may be an lftp script (`lftp -f`); only running lftp shows whether it is one.
    """

    given: str
    rc: str | None
    files: Mapping[str, File]
    real_home: Path
    outside: Mapping[str, File] = field(default_factory=dict)
    folders: Mapping[str, Mapping[str, File]] = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    cwd: Path = Path("/")
    is_path: bool = True
    may_be_script: bool = False

    @property
    def hidden(self) -> bool:
        """Whether lftp ignores this rc: a folder ~/.lftp hides XDG's folder."""
        return self.reads_xdg and (self.real_home / ".lftp").is_dir()

    @property
    def reads_xdg(self) -> bool:
        """Whether the rc is the one in XDG's folder."""
        return self.rc is not None and self.rc.startswith(XDG)

    @property
    def rc_file(self) -> File | None:
        """The rc; None for a command."""
        return None if self.rc is None else self.files[self.rc]

    @property
    def everything(self) -> dict[Path, File]:
        """Every file of the setup, by its path."""
        found = {self.real_home / name: file for name, file in self.files.items() if not name.endswith("/")}
        found |= {Path(path): file for path, file in self.outside.items()}
        return found | {Path(at, name): file for at, files in self.folders.items() for name, file in files.items()}

    def changed(self, change: Callable[[File], File]) -> Subject:
        """The same subject with every file changed."""
        return replace(
            self,
            files={name: change(file) for name, file in self.files.items()},
            outside={path: change(file) for path, file in self.outside.items()},
            folders={at: {name: change(f) for name, f in files.items()} for at, files in self.folders.items()},
        )


def load(given: str, home: Path) -> Subject:
    """Read the subject that the user named.

    Args:
        given: An rc file, or a folder that holds one called ``rc``.
        home: The user's HOME.

    Raises:
        UsageError: It does not exist, cannot be read, or holds no rc; the message says how to correct it.
    """
    if not given.strip():  # a script's unset variable, which never means the current folder
        raise UsageError(f'"{given}" is not a path; omit it to verify ~/.lftp')
    path = Path(given).expanduser().absolute()
    own = _status(path, given)
    if stat.S_ISDIR(own.st_mode):
        return _of_folder(given, path, home)
    if not stat.S_ISREG(own.st_mode):
        raise UsageError(f"{given}: neither a file nor a folder; name an rc file, or a folder that contains one")
    file = _read(path)
    if file.data.startswith(b"#!"):
        raise UsageError(f"{given}: a script, not an rc; to verify it, write `ftps-lab verify -- {given}`")
    if path.name == "rc":
        return _of_folder(given, path.parent, home)
    if path.name == ".lftprc":
        files = {**_beside(home, ".lftp"), ".lftprc": file}
        if path == home / ".lftprc" and (other := read_outside(home / RC)) is not None:
            files[RC] = other  # lftp reads it too, after this one
        return Subject(given, ".lftprc", files, home)
    files = {**_beside(home, ".lftp"), RC: file}
    return Subject(given, RC, files, home, may_be_script=not _RC_NAME.search(path.name))


def _status(path: Path, given: str) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise UsageError(
            f"{given}: {error.strerror}; name an rc file, a folder that contains one (such as ~/.lftp), or write `-- "
            f"COMMAND` for a command"
        ) from None


def _of_folder(given: str, folder: Path, home: Path) -> Subject:
    base = _FOLDERS.get(folder.name, ".lftp")
    files = {f"{base}/{name}": file for name, file in _below(folder)}
    if f"{base}/rc" not in files:
        raise UsageError(f"{given}: no file called rc in this folder; name the rc file itself")
    if folder == home / base and (first := read_outside(home / ".lftprc")) is not None:
        files[".lftprc"] = first  # lftp reads it too, before this one
    return Subject(given, f"{base}/rc", files, home)


_OWN: Final = (".lftp", ".lftprc", ".netrc", ".config/lftp", ".local/share/lftp")
"""The files in HOME that lftp always reads."""

_SKIPPED: Final = frozenset({".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".tox", ".cache"})
"""Folders that never hold a script's setup."""

_CUT: Final = 256 << 10
"""Bytes to copy of a file in a command's folder: a longer file is payload, and only its receiver matters."""
_MOST_IN_TREE: Final = 5_000
_LARGEST_TREE: Final = 64 << 20


def own_files(home: Path) -> Iterator[tuple[str, File]]:
    """lftp's files in HOME, by their names below it."""
    for name in _OWN:
        path = home / name
        if path.is_dir():
            yield f"{name}/", File(path, b"", stat.S_IMODE(path.stat().st_mode), path.stat().st_uid)
            yield from ((f"{name}/{each}", file) for each, file in _below(path))
        elif (file := read_outside(path)) is not None:
            yield name, file


def tree(folder: Path) -> Iterator[tuple[str, File]]:
    """The files of a command's folder, long ones truncated, without folders such as those of version control.

    Raises:
        UsageError: There are too many.
    """
    count = size = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - _SKIPPED)
        for name in sorted(names):
            path = Path(where, name)
            try:
                own = path.stat()
                if not stat.S_ISREG(own.st_mode):
                    continue
                with path.open("rb") as file:
                    data = file.read(_CUT)
            except OSError:
                continue
            count, size = count + 1, size + len(data)
            if count > _MOST_IN_TREE or size > _LARGEST_TREE:
                raise UsageError(
                    f"{folder}: too large to copy (more than {_MOST_IN_TREE} files or {_LARGEST_TREE >> 20} MiB): "
                    "start the command in a smaller folder"
                )
            yield str(path.relative_to(folder)), File(path, data, stat.S_IMODE(own.st_mode), own.st_uid)


def _beside(home: Path, name: str) -> dict[str, File]:
    """The other files in the user's folder beside the rc: mostly pins."""
    folder = home / name
    if not folder.is_dir():
        return {}
    skipped = {"rc", "cwd_history", "rl_history", "transfer_log", "log"}
    return {f"{name}/{each}": file for each, file in _below(folder) if each.partition("/")[0] not in skipped}


def _below(folder: Path) -> Iterator[tuple[str, File]]:
    """Every readable file below a folder, following links, up to `_MOST` files and `_LARGEST` bytes.

    Raises:
        UsageError: The folder exceeds a limit.
    """
    count = size = 0
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            try:
                if not stat.S_ISREG(path.stat().st_mode):
                    continue
                file = _read(path)
            except (OSError, UsageError):
                if str(path.relative_to(folder)) == "rc":
                    raise
                continue
            count, size = count + 1, size + len(file.data)
            if count > _MOST or size > _LARGEST:
                raise UsageError(
                    f"{folder}: more than {_MOST} files or {_LARGEST >> 20} MiB; name a folder with only an rc and "
                    f"its pins"
                )
            yield str(path.relative_to(folder)), file


def _read(path: Path) -> File:
    try:
        own = path.stat()
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise UsageError(f"{path}: larger than {_LARGEST >> 20} MiB, too large for a file of an lftp setup")
    return File(path, data, stat.S_IMODE(own.st_mode), own.st_uid)


def read_outside(path: Path) -> File | None:
    """Read a file that the setup names outside HOME and the system's trust store; None if it cannot be read."""
    try:
        return _read(path) if path.is_file() else None
    except (OSError, UsageError):
        return None
