"""The files on lftp's side, before and after a run: possible uploads of literal commands, and possible downloads."""

from __future__ import annotations

import codecs
import itertools
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.play.actions.evidence import sha256
from ftps_lab import disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ftps_lab.testimony import Transfer

NOTES = frozenset({"transfer_log", "cwd_history", "rl_history", "log", "bookmarks"})
"""Files that lftp writes below ``~/.lftp`` while it runs: once uploaded, they change before we can compare them."""

_MANY, _LARGE = 1000, 64 << 20
"""Maximum number and size of files that are examined in a folder that a command names."""

SMALL = 1 << 20
"""Files up to this size are also read before a run, in case the run removes them."""


class Local:
    """The files on lftp's side, by content hash; each is read once, and large files only if needed.

    Args:
        charset: The charset in which lftp's locale reads file names.
        reach: Returns the files that exist when it is called.
    """

    def __init__(self, charset: str = "utf-8", reach: Callable[[], Iterable[Path]] = tuple) -> None:
        self.charset = charset
        self._reach = reach
        self._names: dict[str, set[str]] = defaultdict(set)
        self._contents: dict[str, tuple[bytes, str]] = {}
        self._at: dict[Path, set[str]] = defaultdict(set)
        self._as_is: dict[Path, set[str]] = defaultdict(set)
        self._before: frozenset[Path] | None = None
        self._noted: set[Path] = set()
        self._unhashed: list[tuple[Path, bytes]] = []

    def note(self, largest: int | None = None) -> None:
        """Record the current content of the files up to a size: a command may change or remove them."""
        for path in self._reach():
            if largest is None or path.stat().st_size <= largest:
                self._unhashed.append((path, disk.read(path)))
                self._noted.add(path)
        if self._before is None:
            self._before = frozenset(self._noted)

    def _hash(self) -> None:
        """Hash the recorded content; lazy, because a step that failed early needs no hashes."""
        while self._unhashed:
            path, content = self._unhashed.pop(0)
            name = os.fsencode(path.name).decode(self.charset, "replace")
            digest = sha256(content)
            self._names[digest].add(name)
            self._contents[f"{digest} {name}"] = (content, name)
            self._as_is[path].add(digest)
            self._at[path] |= {digest, *map(sha256, _other_lines(content))}

    @property
    def paths(self) -> frozenset[Path]:
        """Every recorded file."""
        return frozenset(self._noted)

    def at(self, path: Path) -> set[str]:
        """The hashes of every content seen in a file, with either kind of line ending; empty if it was never seen."""
        self._hash()
        return self._at.get(Path(os.path.normpath(path)), set())

    def named(self, name: str) -> set[str]:
        """The same for every file with this name."""
        self._hash()
        return {digest for path, digests in self._at.items() if path.name == name for digest in digests}

    def is_unchanged(self, path: Path) -> bool:
        """Whether a file has the same content as before the run."""
        self._hash()
        return {sha256(disk.read(path))} == self._as_is.get(path) and path in (self._before or ())

    def names_of(self, transfer: Transfer, whole: Path) -> set[str]:
        """The files that hold the transferred bytes, or the whole file if only a part passed (``put -c``, ``pget``)."""
        self._hash()
        if found := self._names.get(transfer.sha256):
            return found
        sought = {transfer.sha256, *([sha256(disk.read(whole))] if disk.is_file(whole) else [])}
        # An ASCII transfer converts line endings to those of the other side (RFC 959 section 3.1.1.1).
        return {
            name
            for content, name in self._contents.values()
            if any(sha256(each) in sought for each in (content, *_other_lines(content)))
        }


def _other_lines(content: bytes) -> tuple[bytes, bytes]:
    """The content as an ASCII transfer may convert it (RFC 959 section 3.1.1.1)."""
    return content.replace(b"\r\n", b"\n"), content.replace(b"\n", b"\r\n")


def charset_of(locale: str) -> str:
    """Return the charset in which a locale reads file names; UTF-8 if Python does not know it."""
    charset = locale.partition(".")[2].partition("@")[0] or "ascii"
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return "utf-8"


def named_outside(run: Iterable[str], home: Path) -> Iterator[Path]:
    """Yield this machine's files outside the run's own folders that commands name by absolute path.

    Files that this user cannot read, such as another user's files in /tmp, are unreadable for lftp too.
    """
    for item in run:
        for word in re.findall(r"/[^\s\"';|&>()]+", item):
            path = Path(word)
            if path.is_relative_to(home) or path.is_relative_to("/proc") or path.is_relative_to("/sys"):
                continue
            yield from filter(_is_to_be_read, _files_at(path))


def _files_at(path: Path) -> list[Path]:
    try:
        return [path, *itertools.islice(path.rglob("*"), _MANY)] if path.is_dir() else [path]
    except OSError:  # its folder belongs to another user
        return []


def _is_to_be_read(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _LARGE and os.access(path, os.R_OK, effective_ids=True)
    except OSError:  # its folder belongs to another user
        return False
