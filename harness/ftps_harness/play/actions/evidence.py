"""What a request's proof rests on: what is looked at after a run, and the base of everything that can be requested."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_lab import disk

if TYPE_CHECKING:
    from ftps_harness.sandbox.secrets import Secrets
    from ftps_harness.verdict.observations import Task
    from ftps_lab.testimony import Testimony, Transfer


_TMP, _SHARED_MEMORY = Path("/tmp"), Path("/dev/shm")  # noqa: S108 - private ones


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is looked at afterwards.

    Attributes:
        stdout: lftp's standard output.
        complaint: lftp says that something failed or was refused, on standard error or in its debug log.
        downloads: The folder for downloads, empty before.
        written: The files that lftp wrote or changed, wherever it was started.
        root: The folder that the server serves.
        known: What lftp was told: its commands and its rc.
        stderr: Standard error, to which a command may send content.
        log: lftp's debug log.
        told: The texts of its rc, of what is run, and of scripts that these name.
        rc: Its rc alone.
        marks: The commands that came to a good end, by the word that each of them then writes.
        may_hide: A command writes outside of HOME or runs a program.
        cwd: The folder that lftp was started in.
        home: HOME.
        seen_as: HOME's path as lftp sees it.
        left: lftp ended before the last command, by ``bye`` or the like, and with exit code 0.
    """

    stdout: bytes
    complaint: bool
    downloads: Path
    written: tuple[Path, ...]
    root: Path
    testimony: Testimony
    known: bytes = b""
    stderr: bytes = b""
    log: bytes = b""
    told: tuple[str, ...] = ()
    rc: bytes = b""
    marks: frozenset[str] = frozenset()
    left: bool = False
    may_hide: bool = False
    cwd: Path = Path()
    home: Path = Path()
    seen_as: Path = Path()

    def path(self, typed: str, here: Path | None) -> Path | None:
        """Where a path leads that a command names, as lftp reads it in the folder `here`; None if nobody can say."""
        path = Path(typed)
        if typed == "~" or typed.startswith("~/"):
            return self.home / typed[2:]
        if path.is_absolute():
            return self._outside(path)
        return here / path if here else None

    def _outside(self, path: Path) -> Path:
        """Where a path of lftp's is for us: it has HOME's neighbours, /tmp and /dev/shm to itself in a sandbox."""
        if self.seen_as != self.home:
            root = self.home.parent
            for seen, ours in ((self.seen_as.parent, root), (_TMP, root / "tmp"), (_SHARED_MEMORY, root / "shm")):
                if path.is_relative_to(seen):
                    return ours / path.relative_to(seen)
        return path

    @property
    def transfers(self) -> list[Transfer]:
        """The transfers of what is served or put: an attacker's invention is no answer to any request."""
        return [transfer for transfer in self.testimony.transfers if not transfer.forged]


class ClientAction:
    """One item of `run`."""

    def __init__(self, name: str, secrets: Secrets, downloads: Path, uploads: Path) -> None:
        self.name = name
        self._secrets = secrets
        self._downloads = downloads
        self._uploads = uploads

    def command(self) -> str:
        """The lftp command."""
        raise NotImplementedError

    def typed(self) -> str:
        """The lftp command as a person types it, without what only the proof needs."""
        return self.command()

    def proof(self, evidence: Evidence) -> Task:
        """Who holds the proof that it was done."""
        raise NotImplementedError


def sha256(data: bytes) -> str:
    """The hash that testimonies and files are compared by."""
    return hashlib.sha256(data).hexdigest()


def holds(path: Path, digest: str) -> bool:
    """Whether there is a file with content of this hash."""
    return disk.is_file(path) and sha256(disk.read(path)) == digest
