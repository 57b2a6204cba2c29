"""The shared parts of copies of a setup in the sealed place: a login, the result of a run, and the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox.home import Home

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.play.recording import Recording
    from ftps_harness.verdict.observations import Outcome
    from ftps_harness.verify.subject import File, Subject
    from ftps_lab.testimony import Testimony


@dataclass(frozen=True, slots=True)
class Login:
    """Where to log in, and as which user.

    Attributes:
        host: What the user types.
        protocol: ``explicit`` or ``implicit``.
        port: 0 for the protocol's own (21, 990).
        user: None for a made-up one.
    """

    host: str
    protocol: str = "explicit"
    port: int = 0
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """The result of one run.

    Attributes:
        outcome: The outcome on which the three witnesses agree.
        words: lftp's message about a refusal, or else all that it prints.
        elsewhere: Other destinations of the run, a phrase each. They are a finding, and alone do not make the outcome
            inconclusive.
        testimony: The server's testimony.
        recording: What all witnesses recorded.
        notes: Complaints that lftp makes only in its debug log.
    """

    outcome: Outcome
    words: str
    elsewhere: tuple[str, ...]
    testimony: Testimony
    recording: Recording
    notes: tuple[str, ...] = ()


Keep = Callable[[Home, Iterable[tuple[str, bytes]]], None]
"""Called after a run with its HOME and its other files."""


def copy(subject: Subject, home: Home) -> None:
    """Write a subject's files into a copy, and make them visible under their original paths.

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
    """Write a file to its place in the copy, or make a folder."""
    try:
        if folder:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(file.data)
        path.chmod(file.mode | 0o400)  # otherwise we could not read a file that only root may read
    except OSError as error:
        raise HarnessError(
            f"cannot copy {file.path}: {error.strerror or error}; free disk space, or set TMPDIR to another folder"
        ) from error
