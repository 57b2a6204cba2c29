"""Stable names of findings, for reports that are compared between runs: they stay the same when lines move.

A name consists of the finding's id and, for a line, the file and the line's text without its number. A command line may
hold a password, so a command is named after its script or program.
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
"""Our own UUID namespace; generated once."""

_LONGEST: Final = 200
"""Maximum number of characters of a line in a name."""


@dataclass(frozen=True, slots=True)
class Named:
    """A finding and its name.

    Attributes:
        name: For people; unique within the report.
        guid: The name with the subject and the host, as a UUID.
    """

    finding: Finding
    name: str
    guid: str


def named(report: Report, folder: Path) -> Iterator[Named]:
    """Every finding of a report with its name.

    Args:
        report: The report.
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
    """The name of the subject: its rc, script or program."""
    return shown(file_of(subject), folder)


def file_of(subject: Subject) -> Path:
    """The rc; for a command, the first of its own files that it names, or else its program."""
    if subject.rc_file is not None:
        return subject.rc_file.path
    words = (Path(os.path.normpath(subject.cwd / word)) for word in subject.argv)
    files = subject.everything
    return next((path for path in words if path in files), Path(subject.argv[0]))


def shown(path: Path, folder: Path) -> str:
    """A file's path in reports: relative to the current folder if it is below that."""
    return harmless(str(relative(path, folder) or path))


def relative(path: Path, folder: Path) -> Path | None:
    """A file's path relative to the current folder, with links resolved on both sides; None if it is not below it."""
    real, base = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return real.relative_to(base) if real.is_relative_to(base) else None
