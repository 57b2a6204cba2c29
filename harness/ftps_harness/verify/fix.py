"""`--fix` and `--write`: a corrected rc without the findings that a line can fix, proved by a second verification."""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.client.lftp import syntax
from ftps_harness.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.subject import File, Subject

ADDED: Final[Mapping[str, str]] = {
    "tls-not-required": "set ftp:ssl-force yes",
    "data-in-clear": "set ftp:ssl-protect-data yes",
    "anonymous-in-clear": "set ftp:ssl-allow-anonymous yes",
}
"""Finding → the line that fixes it, added at the end of the rc."""

REMOVED: Final = frozenset(
    {
        *("no-verification", "wrong-name-accepted", "expired-accepted", "login-in-clear", "data-in-clear"),
        *("password-before-verification", "leads-elsewhere", "tls-not-required"),
    }
)
"""Findings that disappear when the responsible line is removed."""

_NEEDS_A_PIN: Final = frozenset({"no-verification"})
"""Not fixed without a pin: the real server's certificate is unknown, so lftp might refuse it afterwards."""

_ROUNDS: Final = 4
"""Maximum number of passes: removing a line may reveal another finding."""


@dataclass(frozen=True, slots=True)
class Fix:
    """A corrected rc.

    Attributes:
        subject: The subject with the corrected rc.
        report: The report of verifying that subject.
        before: The rc before the fix.
        after: The rc after the fix.
    """

    subject: Subject
    report: Report
    before: File
    after: File

    @property
    def diff(self) -> str:
        """A diff for `patch`; bytes that are not text appear as escapes."""
        return "".join(_diff(self.before, self.after))


def fix(report: Report, verify: Callable[[Subject], Report]) -> Fix | None:
    """Return a corrected rc; None if no line fixes anything, or if lftp would then refuse the genuine server.

    Args:
        report: The report of the unchanged subject.
        verify: Verifies a changed subject completely.
    """
    subject, rc = report.subject, report.subject.rc
    if rc is None or subject.rc_file is None:
        return None
    current, best = report, None
    for _ in range(_ROUNDS):
        file = current.subject.files[rc]
        data = cured(file, current.findings, pinned=current.pinned)
        if data == file.data:
            break
        changed = replace(current.subject, files={**current.subject.files, rc: replace(file, data=data)})
        current = verify(changed)
        if _is_broken(current):
            break
        if _badness(current) < _badness(report):
            best = Fix(changed, current, subject.rc_file, changed.files[rc])
    return best


def _badness(report: Report) -> tuple[int, int, int]:
    return report.count("error"), report.count("warning"), report.count("note")


def _is_broken(report: Report) -> bool:
    return bool(report.broken) or any(each.id in {"genuine-refused", "nothing-proved"} for each in report.findings)


def cured(file: File, findings: Iterable[Finding], *, pinned: bool) -> bytes:
    """Return the rc without the responsible lines, and with the missing ones.

    Args:
        file: The rc.
        findings: The findings to fix.
        pinned: A certificate is pinned, so verification can be switched on.
    """
    found = [each for each in findings if not each.suppressed and (pinned or each.id not in _NEEDS_A_PIN)]
    lines = file.data.splitlines(keepends=True)
    removed = {
        each.where.line
        for each in found
        if each.id in REMOVED and each.where is not None and each.where.file == str(file.path)
    }
    kept = [line for number, line in enumerate(lines, 1) if number not in removed or not _is_one_setting(line)]
    added = [ADDED[each.id] for each in found if each.id in ADDED]
    end = b"\r\n" if b"\r\n" in file.data else b"\n"
    text = b"".join(kept)
    for line in dict.fromkeys(added):
        if line.encode() not in text.splitlines():
            text += (end if text and not text.endswith(b"\n") else b"") + line.encode() + end
    return text


def _is_one_setting(line: bytes) -> bool:
    """Whether a line only sets one setting; only such a line may be removed."""
    commands = syntax.commands(line.decode("utf-8", "replace"))
    return len(commands) == 1 and syntax.words(commands[0].text)[:1] in (["set"], ["SET"])


def _diff(before: File, after: File) -> Iterable[str]:
    old, new = (each.data.decode("utf-8", "backslashreplace").splitlines(keepends=True) for each in (before, after))
    for line in difflib.unified_diff(old, new, str(before.path), str(before.path)):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def write(found: Fix) -> None:
    """Replace the old rc atomically, keeping its mode and owner; a link to it stays a link.

    Raises:
        HarnessError: It cannot be written, or has changed since it was read. The file is then left unchanged.
    """
    path = Path(os.path.realpath(found.before.path))
    try:
        if path.read_bytes() != found.before.data:
            raise HarnessError(f"{path} has changed since it was verified; run verify again")
        _replace(path, found.after.data)
    except OSError as error:
        raise HarnessError(f"{path} was not changed: {error.strerror or error}") from error


def _replace(path: Path, data: bytes) -> None:
    own = path.stat()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), own.st_mode & 0o7777)
            if (own.st_uid, own.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), own.st_uid, own.st_gid)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
