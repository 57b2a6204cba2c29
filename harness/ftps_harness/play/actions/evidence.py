"""The evidence for a request: what is examined after a run, and the base class of all requests."""

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


_TMP, _SHARED_MEMORY = Path("/tmp"), Path("/dev/shm")  # noqa: S108 - private to the sandbox


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is examined after a run.

    Attributes:
        stdout: lftp's standard output.
        complaint: lftp reported a failure or a refusal, on standard error or in its debug log.
        downloads: The folder for downloads, empty before the run.
        written: The files that lftp wrote or changed, regardless of where it was started.
        root: The folder that the server serves.
        known: lftp's input: its commands and its rc.
        stderr: Standard error; a command may send content there.
        log: lftp's debug log.
        scripts: The texts of its rc, of the commands, and of the scripts that these name.
        rc: Its rc alone.
        marks: The commands that succeeded, by the word that each then writes.
        may_hide: A command writes outside of HOME or runs a program.
        cwd: The folder that lftp was started in.
        home: HOME.
        seen_as: The path of HOME as lftp sees it.
        left: lftp exited before the last command, by ``bye`` or the like, with exit code 0.
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
    scripts: tuple[str, ...] = ()
    rc: bytes = b""
    marks: frozenset[str] = frozenset()
    left: bool = False
    may_hide: bool = False
    cwd: Path = Path()
    home: Path = Path()
    seen_as: Path = Path()

    def path(self, typed: str, here: Path | None) -> Path | None:
        """Resolve a path in a command as lftp reads it in the folder `here`; None if that is unknown."""
        path = Path(typed)
        if typed == "~" or typed.startswith("~/"):
            return self.home / typed[2:]
        if path.is_absolute():
            return self._outside(path)
        return here / path if here else None

    def _outside(self, path: Path) -> Path:
        """Translate lftp's path to ours: in a sandbox, HOME's siblings, /tmp and /dev/shm are private to lftp."""
        if self.seen_as != self.home:
            root = self.home.parent
            for seen, ours in ((self.seen_as.parent, root), (_TMP, root / "tmp"), (_SHARED_MEMORY, root / "shm")):
                if path.is_relative_to(seen):
                    return ours / path.relative_to(seen)
        return path

    @property
    def transfers(self) -> list[Transfer]:
        """The transfers of genuine content; what an attacker invented answers no request."""
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
        """The lftp command as a person types it, without the additions for the proof."""
        return self.command()

    def proof(self, evidence: Evidence) -> Task:
        """Which side holds proof that the action was done."""
        raise NotImplementedError


def sha256(data: bytes) -> str:
    """Return the hash by which testimonies and files are compared."""
    return hashlib.sha256(data).hexdigest()


def holds(path: Path, digest: str) -> bool:
    """Whether the path is a file whose content has this hash."""
    return disk.is_file(path) and sha256(disk.read(path)) == digest
