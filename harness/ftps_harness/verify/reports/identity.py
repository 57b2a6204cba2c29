"""What a finding is called in reports that are compared with those of another day: the same, though lines move.

Its name is its id, and for a line the file and the text of the line, without the line's number. A command line may hold
a password, so a command is called after its script or program.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.subject import Subject

_NAMESPACE: Final = uuid.UUID("5f7c3a52-8f0e-4d0c-9a55-3d2b1b9b6f0e")
"""Ours alone; made up once."""

_LONGEST: Final = 200
"""Characters of a line that are part of a name."""


@dataclass(frozen=True, slots=True)
class Named:
    """A finding and its name.

    Attributes:
        name: For people; no other finding of the same report has it.
        guid: The same as a UUID, with the subject and the host.
    """

    finding: Finding
    name: str
    guid: str


def named(report: Report, folder: Path) -> Iterator[Named]:
    """Every finding of a report with its name.

    Args:
        report: What was found.
        folder: The current folder; files below it are named relative to it.
    """
    times: dict[str, int] = {}
    for each in report.findings:
        name = each.id
        if each.where is not None:
            text = " ".join(harmless(each.where.text).split())[:_LONGEST]
            name = f"{each.id}: {shown(Path(each.where.file), folder)}: {text}"
        times[name] = times.get(name, 0) + 1
        if times[name] > 1:
            name = f"{name} ({times[name]})"
        key = "\0".join((label(report.subject, folder), report.login.host, name))
        yield Named(each, name, str(uuid.uuid5(_NAMESPACE, key)))


def label(subject: Subject, folder: Path) -> str:
    """What the subject is called: by its rc, script or program."""
    return shown(file_of(subject), folder)


def file_of(subject: Subject) -> Path:
    """The rc; of a command the first file of its own that it names, else its program."""
    if subject.rc_file is not None:
        return subject.rc_file.path
    words = (Path(os.path.normpath(subject.cwd / word)) for word in subject.argv)
    files = subject.everything
    return next((path for path in words if path in files), Path(subject.argv[0]))


def shown(path: Path, folder: Path) -> str:
    """A file as reports name it: relative to the current folder where it is below that."""
    return harmless(str(relative(path, folder) or path))


def relative(path: Path, folder: Path) -> Path | None:
    """A file's path from the current folder, links followed on both sides; None where it is not below."""
    real, base = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return real.relative_to(base) if real.is_relative_to(base) else None
