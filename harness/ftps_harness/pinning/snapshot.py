"""Everything that a tool may change, before and after: every file, link and mode in its HOME and around it."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_lab import disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ftps_harness.sandbox.home import Home

_LARGEST_SHOWN: Final = 64 << 10
"""Size limit in bytes: larger files are not diffed."""

_PEM: Final = re.compile(rb"(-----BEGIN [A-Z ]+-----)[^-]*(-----END [A-Z ]+-----)")

_LINES: Final = 40
"""Maximum number of lines shown from one file's diff."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or link.

    Attributes:
        kind: ``file``, ``folder``, ``link`` or ``other``.
        mode: Its permissions.
        data: A file's content, or a link's target.
        when: A file's modification time, in nanoseconds.
    """

    kind: str
    mode: int
    data: bytes = b""
    when: int = 0

    @property
    def state(self) -> tuple[str, int, bytes]:
        """Everything except the time."""
        return self.kind, self.mode, self.data


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a tool can write to, by its path as the tool sees it: ``~/…`` below HOME.

    Attributes:
        entries: By path.
    """

    entries: Mapping[str, Entry]

    def files(self, beginning: str = "~/") -> dict[str, bytes]:
        """The content of every regular file below a folder."""
        return {
            path: entry.data
            for path, entry in self.entries.items()
            if entry.kind == "file" and path.startswith(beginning)
        }

    def same(self, other: Snapshot) -> bool:
        """Whether no byte, mode or link differs."""
        return {p: e.state for p, e in self.entries.items()} == {p: e.state for p, e in other.entries.items()}

    def changed(self, other: Snapshot) -> list[str]:
        """The paths that differ in a later snapshot."""
        paths = sorted({*self.entries, *other.entries})
        return [path for path in paths if _state(self.entries.get(path)) != _state(other.entries.get(path))]


def _state(entry: Entry | None) -> tuple[str, int, bytes] | None:
    return None if entry is None else entry.state


def take(home: Home, mounts: Sequence[Path] = ()) -> Snapshot:
    """Take a snapshot of a HOME, the folder beside it, /tmp and /dev/shm.

    Args:
        home: The HOME.
        mounts: Paths that the place, not the tool, puts below /tmp: `take` skips them and their parents.
    """
    passed = {str(each) for mount in (home.inside, *mounts) for each in (mount, *mount.parents)}
    roots = {"~": home.home, "elsewhere": home.elsewhere, "/tmp": home.private[0], "/dev/shm": home.private[1]}  # noqa: S108
    found = {}
    for name, root in roots.items():
        for path, status in disk.below(root):
            shown = f"{name}/{path.relative_to(root)}"
            if shown not in passed:
                found[shown] = _entry(path, status)
    return Snapshot(found)


def _entry(path: Path, status: os.stat_result) -> Entry:
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Entry("link", mode, os.fsencode(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return Entry("folder", mode)
    if stat.S_ISREG(status.st_mode):
        return Entry("file", mode, disk.read(path), status.st_mtime_ns)
    return Entry("other", mode)


def diff(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Describe the changes line by line: a unified diff of each text file, a word for everything else."""
    for path in before.changed(after):
        old, new = before.entries.get(path), after.entries.get(path)
        if old is None or new is None or old.kind != new.kind:
            yield f"{path}: {_words(old)} -> {_words(new)}"
        elif old.mode != new.mode:
            yield f"{path}: mode {old.mode:04o} -> {new.mode:04o}"
        elif old.kind == "link":
            yield f"{path}: target {_text(old.data)} -> {_text(new.data)}"
        texts = [each.data if each is not None and each.kind == "file" else b"" for each in (old, new)]
        if texts[0] != texts[1]:
            yield from _diff_of(path, *map(_PEM.sub, (_shortened, _shortened), texts))


def _diff_of(path: str, old: bytes, new: bytes) -> Iterator[str]:
    if max(len(old), len(new)) > _LARGEST_SHOWN or b"\0" in old + new:
        yield f"{path}: {len(old)} bytes -> {len(new)} bytes"
        return
    lines = list(difflib.unified_diff(_text(old).split("\n"), _text(new).split("\n"), path, path, lineterm="", n=1))
    lines = lines[3:] if not (old and new) else lines  # a whole file: already reported as new or deleted
    yield from lines[:_LINES]
    if len(lines) > _LINES:
        yield f"… {len(lines) - _LINES} more lines"


def _shortened(match: re.Match[bytes]) -> bytes:
    """Shorten a certificate or key to one line; different ones stay different."""
    digest = hashlib.sha256(match[0]).hexdigest()[:16].encode()
    return match[1] + b" sha256 of the block: " + digest + b"... " + match[2]


def _words(entry: Entry | None) -> str:
    return "absent" if entry is None else f"{entry.kind}, mode {entry.mode:04o}"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace").replace("\r", "\\r")
