"""Where lftp reads its rc and where the pins go: below HOME, or in LFTP_HOME."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.errors import HarnessError
from ftps_harness.pinning.tool import pins
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNREADABLE: Final = frozenset(" \t\n\"';&|>\r\v\f\\")
"""lftp does not read an rc whose path has one of these (docs/lftp.md, "The rc"); the last few were not measured."""

SYSTEM_RC: Final = Path("/etc/lftp.conf")


@dataclass(frozen=True, slots=True)
class Places:
    """The user's lftp files.

    Attributes:
        home: HOME.
        folder: The folder in which lftp looks for its rc.
        borders: The only folders in which anything is written.
    """

    home: Path
    folder: Path
    borders: tuple[Path, ...]

    @property
    def rc(self) -> Path:
        """The rc for our lines: the last one that lftp reads."""
        return self.folder / "rc"

    @property
    def pins(self) -> Path:
        """The file of pins."""
        return self.folder / pins.NAME

    @property
    def first_rc(self) -> Path:
        """The rc that lftp reads before the other one."""
        return self.home / ".lftprc"

    def shown(self, path: Path) -> str:
        """A path as a person writes it, with ``~``; safe to print."""
        if path.is_relative_to(self.home):
            return harmless(f"~/{path.relative_to(self.home)}")
        return harmless(str(path))


def find(environment: Mapping[str, str]) -> Places:
    """Find where this user's lftp looks.

    Raises:
        HarnessError: The folder does not exist, or lftp would not read an rc in it.
    """
    home = Path(environment.get("HOME", ""))
    if not home.is_absolute() or not home.is_dir():
        raise HarnessError("HOME must be the absolute path of your home folder: lftp looks for its rc there")
    borders = [home]
    if named := environment.get("LFTP_HOME"):
        folder = Path(named)
        if not folder.is_absolute() or not folder.is_dir():
            raise HarnessError(
                f"LFTP_HOME={harmless(named)}: must be the absolute path of an existing folder, because lftp looks "
                f"for its rc there; create the folder, or unset LFTP_HOME"
            )
        borders.append(folder)
    else:
        folder = _folder(home, environment, borders)
    if bad := sorted(_UNREADABLE.intersection(str(folder))):
        which = ", ".join(map(_name, bad))
        raise HarnessError(
            f"{harmless(str(folder))}: lftp reads no rc from a folder whose path contains {which}, so a pin there "
            f"would protect nothing. Nothing was written. Set LFTP_HOME to another folder, for this command and for "
            f"lftp"
        )
    return Places(home, folder, tuple(Path(os.path.realpath(each)) for each in borders))


def _folder(home: Path, environment: Mapping[str, str], borders: list[Path]) -> Path:
    """``~/.lftp`` if it exists or nothing else does; it hides lftp's files in the XDG folders."""
    dotted = home / ".lftp"
    if dotted.is_dir():
        return dotted
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share")
    if config.is_absolute() and ((config / "lftp").is_dir() or (data / "lftp").is_dir()):
        if "XDG_CONFIG_HOME" in environment:
            borders.append(config)
        return config / "lftp"
    return dotted


def target_of(places: Places, path: Path) -> Path:
    """The file itself, if a path is a symbolic link.

    Raises:
        HarnessError: It leads nowhere, outside the user's folders, or to something that must not be written.
    """
    shown = places.shown(path)
    real = Path(os.path.realpath(path))
    if path.is_symlink() and not real.exists():
        raise HarnessError(f"{shown}: a symbolic link to a missing file")
    # A parent folder may also be a link.
    if not any(real.is_relative_to(border) for border in places.borders):
        raise HarnessError(
            f"{shown}: a symbolic link that leads out of your home folder; this command writes only inside it"
        )
    try:
        status = real.stat()
    except FileNotFoundError:
        return real
    if not stat.S_ISREG(status.st_mode):
        raise HarnessError(f"{shown}: not a regular file")
    return real


def require_writable(places: Places, path: Path) -> None:
    """Check an existing file's own mode, because root may write everything.

    Raises:
        HarnessError: It is read-only.
    """
    real = Path(os.path.realpath(path))
    if real.exists() and not (real.stat().st_mode & stat.S_IWUSR and os.access(real, os.W_OK)):
        raise HarnessError(f"{places.shown(path)}: read-only, so it was not replaced. Run chmod u+w on it first")


def _name(letter: str) -> str:
    return {" ": "a space", "\t": "a tab", "\n": "a line feed"}.get(letter, repr(letter) if letter < " " else letter)
