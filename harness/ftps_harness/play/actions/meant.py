"""Compares the files that literal commands name with those present afterwards: each complete, and under its name.

A resumed transfer (``put -c``, ``reget``) proves only the bytes that it moved, and lftp moves none if the sizes match.
An alias can replace a command with one that transfers something else under the right name. So this module reads the
names in a command as lftp itself would without aliases.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax
from ftps_harness.play.actions.evidence import sha256
from ftps_harness.play.actions.reverse import chooses, is_plain, is_reverse
from ftps_lab import disk
from ftps_lab.testimony import UPLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftps_harness.play.actions.evidence import Evidence
    from ftps_harness.play.actions.local_files import Local

_FLAGS = frozenset("cEaeqd")
"""Transfer options that take no value."""
_VALUES = frozenset("OPno")
"""Transfer options that take a value; ``-o`` renames the file before it."""

_UP, _DOWN = frozenset({"put", "reput", "mput"}), frozenset({"get", "reget", "pget", "mget"})
_MANY = frozenset({"mput", "mget"})
_GONE = frozenset({"DELE", "RNFR", "RNTO"})

_SCRIPTS = frozenset({"source", ".", "eval", "local", "queue"})
_MOVING = _SCRIPTS | {"open", "user", "close", "connect"}
"""Commands after which the folder on the server is unknown."""

_UPWARDS = frozenset({"CDUP", "XCUP"})
_FOLDERS = _UPWARDS | {"CWD", "XCWD"}
_REMOVING = frozenset({"RMD", "XRMD", "RNFR"})
_REFUSED = 400
"""The lowest reply code that means failure (RFC 959 section 4.2.1)."""


@dataclass(frozen=True, slots=True)
class _Meant:
    """One file that a command names: on lftp's side and on the server's.

    Attributes:
        local: Its local path; None if lftp's local folder is unknown.
        name: Its local name.
        remote: Its path below the server's root; None if the server's folder is unknown.
        up: Whether it is uploaded.
        changed_later: A program run by a later command may have changed it.
    """

    local: Path | None
    name: str
    remote: str | None
    remote_name: str
    up: bool
    changed_later: bool


def amiss(commands: Sequence[syntax.Command], evidence: Evidence, local: Local) -> Iterator[str]:
    """Yield a sentence for each file that commands name and that differs between both sides.

    Args:
        commands: The literal commands of a step, in order.
        evidence: What is examined after the run.
        local: The files on lftp's side, as they were before and after it.
    """
    yield from _strayed(commands, evidence)
    yield from _missing(commands, evidence)
    meant = list(_meant(commands, evidence, local))
    for number, each in enumerate(meant):
        later = meant[number + 1 :]
        if each.up and not _arrived(each, later, evidence, local):
            yield f"the command uploads {each.name!r} as {each.remote_name!r}, but the server's file differs"
        elif not each.up and not _brought(each, later, evidence):
            yield f"the command downloads {each.remote_name!r} as {each.name!r}, but that file differs"


def _strayed(commands: Sequence[syntax.Command], evidence: Evidence) -> Iterator[str]:
    """Folders of `cd` that the server lacks: with ``cmd:verify-path no`` lftp asks only when it needs the folder."""
    there: str | None = None if re.search(rb"\b(?:cd|open)\b", evidence.rc) else ""
    for name, *words in _flat(commands):
        if name != "cd":
            there = None if name in _MOVING else there
            continue
        there, before = _leads(there, words), there
        goal = there if there is not None else None if before is not None else _leads("", words)
        if goal and not (evidence.root / goal).is_dir() and not _went(goal, evidence, anywhere=before is None):
            yield f"cd {words[0]}: the server has no such folder, and lftp never entered one"


def _went(goal: str, evidence: Evidence, *, anywhere: bool) -> bool:
    """Whether the server accepted the change to a folder, relative to the login folder."""
    now: dict[int, str] = {}
    for command in evidence.testimony.commands:
        if command.reply is None or command.reply >= _REFUSED:
            continue
        if command.verb in _FOLDERS:
            to = ".." if command.verb in _UPWARDS else command.argument
            now[command.connection] = posixpath.normpath(posixpath.join(now.get(command.connection, "/"), to))
            if now[command.connection].endswith(f"/{goal}"):
                return True
    if _removed(goal, evidence) or not anywhere:
        return _removed(goal, evidence)
    folders = (path for path, _ in disk.below(evidence.root) if path.is_dir())
    return any(f"/{path.relative_to(evidence.root)}".endswith(f"/{goal}") for path in folders)


def _removed(folder: str, evidence: Evidence) -> bool:
    """Whether the server removed or renamed a folder of this name, which proves that it had one."""
    gone = (c for c in evidence.testimony.commands if c.verb in _REMOVING and c.reply and c.reply < _REFUSED)
    return any(posixpath.basename(each.argument.rstrip("/")) == posixpath.basename(folder) for each in gone)


def _flat(commands: Sequence[syntax.Command]) -> list[list[str]]:
    """The words of each command in order; shell commands become ``!``."""
    return [words for each in commands for words in ([["!"]] if each.shell else syntax.simple(each)) if words]


def _arrived(meant: _Meant, later: Iterable[_Meant], evidence: Evidence, local: Local) -> bool:
    ours = local.at(meant.local) if meant.local else local.named(meant.name)
    if not ours:
        return True  # made and removed during the run: `transferred` looks for its content
    gone = _is_gone(meant.remote_name, evidence)
    if (there := _on_disk(meant, evidence)) and not gone and not any(_same_target(each, meant) for each in later):
        return not there.isdisjoint(ours)
    if _resumed(evidence) and not there:
        return gone
    stored = {t.sha256 for t in evidence.transfers if t.verb in UPLOADS and t.completed and _is(t.name, meant)}
    return not ours.isdisjoint(stored | there)


def _brought(meant: _Meant, later: Iterable[_Meant], evidence: Evidence) -> bool:
    if meant.local is None or any(each.local == meant.local for each in later):
        return True
    if not meant.local.is_relative_to(evidence.home.parent):
        return True  # such as /dev/null: `transferred` reports that this is not examined
    if not disk.is_file(meant.local):
        return meant.changed_later
    asked = any(c.verb == "RETR" and _is(c.argument, meant) for c in evidence.testimony.commands)
    if meant.changed_later and asked and not _resumed(evidence):
        return True
    theirs = _on_disk(meant, evidence)
    theirs |= {t.sha256 for t in evidence.transfers if t.verb in UPLOADS and t.completed and _is(t.name, meant)}
    if not _resumed(evidence):
        theirs |= {t.sha256 for t in evidence.transfers if t.verb == "RETR" and t.completed and _is(t.name, meant)}
    content = disk.read(meant.local)
    held = {sha256(content), sha256(content.replace(b"\r\n", b"\n"))}
    return not theirs or not theirs.isdisjoint(held)


def _is(path: str, meant: _Meant) -> bool:
    return posixpath.basename(path) == meant.remote_name


def _same_target(other: _Meant, meant: _Meant) -> bool:
    return other.up and other.remote_name == meant.remote_name


def _is_gone(name: str, evidence: Evidence) -> bool:
    """Whether the server was asked to remove, rename or replace a file of this name."""
    return any(c.verb in _GONE and posixpath.basename(c.argument) == name for c in evidence.testimony.commands)


def _resumed(evidence: Evidence) -> bool:
    return any(c.verb == "REST" and c.argument.strip() not in {"", "0"} for c in evidence.testimony.commands)


def _on_disk(meant: _Meant, evidence: Evidence) -> set[str]:
    """The hash of the server's file; of all files with its name if the folder is unknown."""
    if meant.remote is not None:
        path = evidence.root / meant.remote
        return {sha256(disk.read(path))} if disk.is_file(path) else set()
    below = (path for path, own in disk.below(evidence.root) if disk.target(path, own) is not None)
    return {sha256(disk.read(path)) for path in below if path.name == meant.remote_name}


def _meant(commands: Sequence[syntax.Command], evidence: Evidence, local: Local) -> Iterator[_Meant]:
    """Every file that a transfer names; `lcd` and `cd` are followed."""
    here = None if re.search(rb"\b(?:lcd|local)\b", evidence.rc) else evidence.cwd
    there: str | None = None if re.search(rb"\b(?:cd|open)\b", evidence.rc) else ""
    flat = _flat(commands)
    for number, (name, *words) in enumerate(flat):
        if name == "lcd":
            here = evidence.path(words[0], here) if words else None
        elif name == "cd":
            there = _leads(there, words)
        elif name in _MOVING:
            here, there = (None, None) if name in _SCRIPTS else (here, None)
        elif name in _UP | _DOWN and (files := named(words, many=name in _MANY)) is not None:
            changed = any(later[0] in {"!", "shell"} for later in flat[number + 1 :])
            for source, target, base in files:
                reader = _Reader(evidence, local, here, there, changed)
                yield from reader.read(source, target, base, up=name in _UP, many=name in _MANY)


def _leads(there: str | None, words: Sequence[str]) -> str | None:
    """The folder that `cd` selects, below the server's root; None if unknown."""
    word = words[0] if words else ""
    if re.search(r"[*?\[]|://|^-$|^~.", word):
        return None
    if word.startswith("/") or word in {"", "~"}:
        there = ""
    return None if there is None else posixpath.normpath(f"/{there}/{word.lstrip('~')}").lstrip("/")


def named(words: Sequence[str], *, many: bool) -> list[tuple[str, str | None, str]] | None:
    """Parse a transfer's words into source, target and base; None if an option is not supported here."""
    found: list[tuple[str, str | None, str]] = []
    base, at = "", 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-") or word == "-":
            found.append((word, None, ""))
        elif word[:2] == "-o" and found and not many:
            value, at = (word[2:], at) if len(word) > 2 else ("".join(words[at + 1 : at + 2]), at + 1)
            found[-1] = (found[-1][0], value, "")
        elif word[1] in _VALUES:
            value, at = (word[2:], at) if len(word) > 2 else ("".join(words[at + 1 : at + 2]), at + 1)
            base = value if word[1] == "O" else base
        elif not _FLAGS.issuperset(word[1:]) or (many and "d" in word):
            return None
        at += 1
    foreign = any("://" in word or word.startswith("file:") for word in (*words, base))
    return None if foreign else [(source, target, base) for source, target, _ in found]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the words of one transfer relative to lftp's current folders."""

    evidence: Evidence
    local: Local
    here: Path | None
    there: str | None
    changed_later: bool

    def read(self, source: str, target: str | None, base: str, *, up: bool, many: bool) -> Iterator[_Meant]:
        """Yield each file that the words name."""
        for name in self._matching(source, up=up) if many else [source]:
            goes = posixpath.join(base, target or posixpath.basename(name))
            goes = posixpath.join(goes, posixpath.basename(name)) if target and target.endswith("/") else goes
            ours, theirs = (name, goes) if up else (goes, name)
            path = self.evidence.path(ours, self.here)
            far = _leads(self.there, [theirs])
            yield _Meant(path, Path(ours).name, far, posixpath.basename(theirs), up, self.changed_later)

    def _matching(self, pattern: str, *, up: bool) -> Iterator[str]:
        """The files that match a pattern of `mput` or `mget` and did not change."""
        folder, _, name = pattern.rpartition("/")
        if up:
            where = self.evidence.path(folder or ".", self.here)
            same = (path for path in self.local.paths if where and path.parent == where / "." and path.is_file())
            names = [path.name for path in same if len(self.local.at(path)) > 0 and self.local.is_unchanged(path)]
        else:
            far = _leads(self.there, [folder or "."])
            where = None if far is None else self.evidence.root / far
            names = [path.name for path in where.iterdir() if path.is_file()] if where and where.is_dir() else []
        visible = (each for each in names if name.startswith(".") or not each.startswith("."))
        matching = (each for each in visible if fnmatch.fnmatchcase(each, name))
        yield from (str(PurePosixPath(folder, each)) for each in sorted(matching))


def _missing(commands: Sequence[syntax.Command], evidence: Evidence) -> Iterator[str]:
    """Yield a sentence for each file that a complete `mirror` should have downloaded and did not.

    Files uploaded, removed or renamed in this run are exempt: that may have happened after the mirror.
    """
    if chooses(evidence):
        return
    here = None if re.search(rb"\b(?:lcd|local)\b", evidence.rc) else evidence.cwd
    there: str | None = None if re.search(rb"\b(?:cd|open)\b", evidence.rc) else ""
    flat = _flat(commands)
    for number, (name, *words) in enumerate(flat):
        options = [word for word in words if word.startswith("-")]
        if name == "lcd":
            here = evidence.path(words[0], here) if words else None
        elif name == "cd":
            there = _leads(there, words)
        elif name in _MOVING:
            here, there = (None, None) if name in _SCRIPTS else (here, None)
        elif name == "mirror" and not is_reverse(options) and is_plain(options) and not any("://" in w for w in words):
            changed = _changed(flat[number + 1 :], evidence)
            yield from _not_brought([word for word in words if word not in options], evidence, here, there, changed)


def _changed(later: Sequence[Sequence[str]], evidence: Evidence) -> set[str]:
    """The names that later commands may have changed on either side."""
    heard = {posixpath.basename(c.argument) for c in evidence.testimony.commands if c.verb in UPLOADS | _GONE}
    if any(name in _SCRIPTS | _MANY | {"mirror", "mrm", "mmv", "!", "shell"} for name, *_ in later):
        return heard
    return {posixpath.basename(word.rstrip("/")) for _, *words in later for word in words}


def _not_brought(
    named: list[str], evidence: Evidence, here: Path | None, there: str | None, changed: set[str]
) -> Iterator[str]:
    source = named[0] if named else "."
    far = _leads(there, [source])
    goal = evidence.path(named[1] if len(named) > 1 else posixpath.basename(source.rstrip("/")) or ".", here)
    if len(named) > 1 and named[1].endswith("/") and goal is not None:
        goal /= posixpath.basename(source.rstrip("/"))
    if far is None or goal is None:
        return
    folder = evidence.root / far
    if not folder.is_dir():
        if not _removed(far, evidence):
            yield f"mirror {source}: the server has no such folder"
        return
    for path, own in disk.below(folder):
        if disk.target(path, own) is None or path.is_symlink() or path.name in changed:
            continue
        ours = goal / path.relative_to(folder)
        if not disk.is_file(ours) or sha256(disk.read(ours)) != sha256(disk.read(path)):
            yield f"mirror {source}: {path.name!r} did not arrive complete"
