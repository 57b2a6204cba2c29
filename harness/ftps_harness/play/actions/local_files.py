"""The files on lftp's side, before and after a run: what literal commands may upload, and where downloads may be."""

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
"""What lftp writes below ``~/.lftp`` while it works: uploaded, they have changed before anybody can compare them."""

_MANY, _LARGE = 1000, 64 << 20
"""How many files of a folder are looked at that a command names, and up to which size."""

SMALL = 1 << 20
"""Files up to this size are read before a run too, in case that it removes them."""


class Local:
    """The files on lftp's side, by the hash of what they hold; nothing is read twice, and large files only if needed.

    Args:
        charset: In which lftp's locale reads their names.
        reach: Finds them, as they are when it is called.
    """

    def __init__(self, charset: str = "utf-8", reach: Callable[[], Iterable[Path]] = tuple) -> None:
        self.charset = charset
        self._reach = reach
        self._names: dict[str, set[str]] = defaultdict(set)
        self._contents: dict[str, tuple[bytes, str]] = {}
        self._at: dict[Path, set[str]] = defaultdict(set)
        self._before: frozenset[Path] | None = None
        self._noted: set[Path] = set()
        self._unhashed: list[tuple[Path, bytes]] = []

    def note(self, largest: int | None = None) -> None:
        """Note what the files hold now, up to a size: a command may change or remove them."""
        for path in self._reach():
            if largest is None or path.stat().st_size <= largest:
                self._unhashed.append((path, disk.read(path)))
                self._noted.add(path)
        if self._before is None:
            self._before = frozenset(self._noted)

    def _hash(self) -> None:
        """Hash what was noted: a step that came to nothing is asked for none of it."""
        while self._unhashed:
            path, content = self._unhashed.pop(0)
            name = os.fsencode(path.name).decode(self.charset, "replace")
            digest = sha256(content)
            self._names[digest].add(name)
            self._contents[f"{digest} {name}"] = (content, name)
            self._at[path] |= {digest, *map(sha256, _other_lines(content))}

    @property
    def paths(self) -> frozenset[Path]:
        """Every file that was noted."""
        return frozenset(self._noted)

    def at(self, path: Path) -> set[str]:
        """The hashes of all that a file was seen to hold, with either kind of line ends; empty if it was never seen."""
        self._hash()
        return self._at.get(Path(os.path.normpath(path)), set())

    def named(self, name: str) -> set[str]:
        """The same of every file of a name."""
        self._hash()
        return {digest for path, digests in self._at.items() if path.name == name for digest in digests}

    def is_unchanged(self, path: Path) -> bool:
        """Whether a file holds what it held before the run."""
        self._hash()
        content = disk.read(path)
        same = {sha256(content), *map(sha256, _other_lines(content))} == self._at.get(path)
        return same and path in (self._before or ())

    def names_of(self, transfer: Transfer, whole: Path) -> set[str]:
        """The files that hold what passed, or all of the served file of which a part passed (``put -c``, ``pget``)."""
        self._hash()
        if found := self._names.get(transfer.sha256):
            return found
        sought = {transfer.sha256, *([sha256(disk.read(whole))] if disk.is_file(whole) else [])}
        # An ASCII transfer turns line ends into the other side's (RFC 959 section 3.1.1.1).
        return {
            name
            for content, name in self._contents.values()
            if any(sha256(each) in sought for each in (content, *_other_lines(content)))
        }


def _other_lines(content: bytes) -> tuple[bytes, bytes]:
    """What an ASCII transfer may make of it (RFC 959 section 3.1.1.1)."""
    return content.replace(b"\r\n", b"\n"), content.replace(b"\n", b"\r\n")


def charset_of(locale: str) -> str:
    """In which charset a locale reads the names of files; what Python does not know is read as UTF-8."""
    charset = locale.partition(".")[2].partition("@")[0] or "ascii"
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return "utf-8"


def named_outside(run: Iterable[str], home: Path) -> Iterator[Path]:
    """The files of this machine, outside of the run's own folders, that commands name with their whole path.

    What this user may not read, lftp may not read either: another user's files in /tmp, say.
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
    except OSError:  # what holds it is another user's
        return []


def _is_to_be_read(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _LARGE and os.access(path, os.R_OK, effective_ids=True)
    except OSError:  # what holds it is another user's
        return False
