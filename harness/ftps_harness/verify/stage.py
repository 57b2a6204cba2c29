"""What copies of a setup in the sealed place have in common: a login, what a run came to, and the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox.home import Home

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.verdict.observations import Outcome
    from ftps_harness.verify.subject import File, Subject
    from ftps_lab.testimony import Testimony


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in where.

    Attributes:
        host: What the user types.
        protocol: ``explicit`` or ``implicit``.
        port: 0 for the protocol's own (21, 990).
        user: None for one that the lab makes up.
    """

    host: str
    protocol: str = "explicit"
    port: int = 0
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """What one run came to.

    Attributes:
        outcome: What the three witnesses agree on.
        words: What lftp says of a refusal, or else all that it says.
        elsewhere: Where it led besides, a phrase each. That alone makes no outcome inconclusive here: it is a finding.
        testimony: The server's.
        notes: What lftp complains of in its debug log alone.
    """

    outcome: Outcome
    words: str
    elsewhere: tuple[str, ...]
    testimony: Testimony
    notes: tuple[str, ...] = ()


Keep = Callable[[Home, Iterable[tuple[str, bytes]]], None]
"""Is given HOME after a run, and what else there is of it."""


def copy(subject: Subject, home: Home) -> None:
    """Put a subject's files where they belong in a copy, and have them shown under their own paths.

    Raises:
        HarnessError: They cannot be written.
    """
    for name, file in subject.files.items():
        _write(home.home / name, file, folder=name.endswith("/"))
    shown = {str(subject.real_home): "home"}
    for number, (path, file) in enumerate(subject.outside.items()):
        _write(home.root / f"outside-{number}", file)
        shown[path] = f"outside-{number}"
    for number, (path, files) in enumerate(subject.folders.items()):
        folder = home.root / f"folder-{number}"
        folder.mkdir(mode=0o755, exist_ok=True)
        for name, file in files.items():
            _write(folder / name, file)
        shown[path] = folder.name
    home.shown = shown


def _write(path: Path, file: File, *, folder: bool = False) -> None:
    """Put a file where it belongs in the copy, or make a folder."""
    try:
        if folder:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(file.data)
        path.chmod(file.mode | 0o400)  # what root alone may read is there, and we could not look at it otherwise
    except OSError as error:
        raise HarnessError(f"cannot copy {file.path}: {error.strerror or error}; make room, or set TMPDIR") from error
