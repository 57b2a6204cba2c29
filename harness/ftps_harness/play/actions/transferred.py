"""What literal commands transferred, held against the files on both sides: names as well as contents.

lftp's word that an upload succeeded says nothing of what was uploaded: in ``LC_ALL=C`` two files are both stored as
``??.txt``, and one of them is lost. So each file that the server took must be a local one, under a name that a local
file has or that a command gives it; each file that it sent must have arrived.
"""

from __future__ import annotations

import codecs
import itertools
import os
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ftps_harness.play.actions.evidence import sha256
from ftps_lab import disk
from ftps_lab.testimony import FILES, UPLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ftps_harness.play.actions.evidence import Evidence
    from ftps_lab.testimony import Transfer

NOTES = frozenset({"transfer_log", "cwd_history", "rl_history", "log", "bookmarks"})
"""What lftp writes below ``~/.lftp`` while it works: uploaded, they have changed before anybody can compare them."""

_MANY, _LARGE = 1000, 64 << 20
"""How many files of a folder are looked at that a command names, and up to which size."""

SMALL = 1 << 20
"""Files up to this size are read before a run too, in case that it removes them."""

_SCRIPT = 1 << 16
"""Files up to this size may be scripts that name files."""


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

    def note(self, largest: int | None = None) -> None:
        """Note what the files hold now, up to a size: a command may change or remove them."""
        for path in self._reach():
            if largest is None or path.stat().st_size <= largest:
                content = disk.read(path)
                name = os.fsencode(path.name).decode(self.charset, "replace")
                digest = sha256(content)
                self._names[digest].add(name)
                self._contents[f"{digest} {name}"] = (content, name)

    @property
    def scripts(self) -> Iterator[bytes]:
        """The text of small files, which may name others."""
        yield from (content for content, _ in self._contents.values() if len(content) <= _SCRIPT)

    def names_of(self, transfer: Transfer, whole: Path) -> set[str]:
        """The files that hold what passed, or all of the served file of which a part passed (``put -c``, ``pget``)."""
        if found := self._names.get(transfer.sha256):
            return found
        sought = {transfer.sha256, *([sha256(disk.read(whole))] if disk.is_file(whole) else [])}
        # An ASCII transfer turns line ends into the other side's (RFC 959 section 3.1.1.1).
        return {
            name
            for content, name in self._contents.values()
            if any(
                sha256(each) in sought
                for each in (content, content.replace(b"\r\n", b"\n"), content.replace(b"\n", b"\r\n"))
            )
        }


def charset_of(locale: str) -> str:
    """In which charset a locale reads the names of files; what Python does not know is read as UTF-8."""
    charset = locale.partition(".")[2].partition("@")[0] or "ascii"
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return "utf-8"


def named_outside(run: Iterable[str], home: Path) -> Iterator[Path]:
    """The files of this machine, outside of the run's own folders, that commands name with their whole path."""
    for item in run:
        for word in re.findall(r"/[^\s\"';|&>()]+", item):
            path = Path(word)
            if path.is_relative_to(home) or path.is_relative_to("/proc") or path.is_relative_to("/sys"):
                continue
            found = [path, *itertools.islice(path.rglob("*"), _MANY)] if path.is_dir() else [path]
            yield from (each for each in found if each.is_file() and each.stat().st_size <= _LARGE)


def lost(evidence: Evidence) -> bool:
    """Whether one upload took the place of another of the same run that holds something else."""
    contents: dict[str, set[str]] = defaultdict(set)
    for transfer in evidence.transfers:
        if transfer.verb == "STOR" and transfer.completed:
            contents[transfer.name].add(transfer.sha256)
    resumed = any(command.verb == "REST" for command in evidence.testimony.commands)
    return not resumed and any(len(each) > 1 for each in contents.values())


def doubts(evidence: Evidence, local: Local) -> Iterator[str]:
    """What the files on both sides do not bear out, a sentence each.

    Args:
        evidence: What is looked at after the run.
        local: The files on lftp's side, small ones noted before the run.
    """
    transfers = [each for each in evidence.transfers if each.verb in FILES and each.completed and each.size]
    if not transfers:
        return
    local.note()
    written = Local(local.charset, lambda: evidence.written)
    written.note()
    for transfer in transfers:
        name = PurePosixPath(transfer.name).name
        if name in NOTES:
            continue
        side = local if transfer.verb in UPLOADS else written
        names = side.names_of(transfer, evidence.root / transfer.name)
        if transfer.verb in UPLOADS:
            if not names:
                yield f"the server took {transfer.name!r}, but no local file at hand holds what it got"
            elif transfer.verb != "STOU" and name not in names and not _is_told(name, evidence, local):
                yield f"the server took {transfer.name!r}: no local file has this name, and no command gives it"
            elif not _is_kept(transfer, evidence):
                yield f"the server took {transfer.name!r}, but its disk does not hold what it got"
        elif not names and not _is_printed(transfer, evidence):
            yield f"the server sent {transfer.name!r}, but neither lftp's files nor its output hold it"
        elif names and name not in names and not any(_is_told(each, evidence, local) for each in names):
            yield f"the server sent {transfer.name!r}, which lftp wrote under a name that no command gives it"


def _is_told(name: str, evidence: Evidence, local: Local) -> bool:
    """Whether a command holds the name: of the step, of its rc, or of a script."""
    sought = name.encode(local.charset, "replace")
    return any(sought in text for text in (evidence.known, *local.scripts))


def _is_kept(transfer: Transfer, evidence: Evidence) -> bool:
    """Whether the server's disk holds an upload as it came, or as a later one left it; it may be moved or removed."""
    path = evidence.root / transfer.name
    if any(command.verb in {"DELE", "RNFR", "RMD", "REST", "APPE"} for command in evidence.testimony.commands):
        return True
    later = [t.sha256 for t in evidence.transfers if t.name == transfer.name and t.verb in UPLOADS and t.completed]
    return disk.is_file(path) and sha256(disk.read(path)) in _either_way(later, path)


def _either_way(hashes: list[str], path: Path) -> set[str]:
    """The hashes, and that of the file on the disk if only its line ends are others (an ASCII transfer)."""
    content = disk.read(path)
    variants = {sha256(content.replace(b"\r\n", b"\n")), sha256(content.replace(b"\n", b"\r\n"))}
    return {*hashes, *({sha256(content)} if variants.intersection(hashes) else ())}


def _is_printed(transfer: Transfer, evidence: Evidence) -> bool:
    path = evidence.root / transfer.name
    content = disk.read(path) if disk.is_file(path) else b""
    same = sha256(content) == transfer.sha256
    return (same and content in evidence.stdout) or sha256(evidence.stdout) == transfer.sha256
