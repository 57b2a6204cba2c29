"""`mirror -R` of a folder: each of its files must be on the server afterwards, whatever lftp reports."""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax
from ftps_harness.play.actions.evidence import sha256
from ftps_harness.play.actions.local_files import NOTES
from ftps_lab import disk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ftps_harness.client.lftp.syntax import Command
    from ftps_harness.play.actions.evidence import Evidence

_PLAIN = frozenset("RcevLp")
"""Options of mirror that skip no file: -R -c -e -v -L, and -p, which concerns file modes."""

_PLAIN_LONG = frozenset(
    {"--reverse", "--continue", "--delete", "--verbose", "--dereference", "--no-perms", "--no-umask"}
)

_MOVING = frozenset({"DELE", "RMD", "XRMD", "RNFR"})

_CHOOSING = re.compile(r"(?<![^\s\"'])--?[\w-]*(?:exclude|include|newer)|mirror:")
"""Text in an rc or a script that restricts which files are mirrored."""


def unsent(commands: Iterable[Command], evidence: Evidence) -> bool:
    """Whether the server lacks a file of a folder that was mirrored to it."""
    if chooses(evidence):
        return False
    folders = list(_mirrored(commands, evidence))
    if not folders:
        return False
    stored, gone = _stored(evidence.root), _gone(evidence)
    return any(not _is_stored(folder, target, stored, gone) for folder, target in folders)


def _gone(evidence: Evidence) -> set[str]:
    """The names of files and folders that lftp removed or renamed, perhaps after the mirror: ``mv new current``."""
    commands = (each for each in evidence.testimony.commands if each.verb in _MOVING)
    return {posixpath.basename(each.argument.rstrip("/")) for each in commands}


def chooses(evidence: Evidence) -> bool:
    """Whether a command of the step, its rc or a script selects files for `mirror`; comments are ignored."""
    commands = (each.text.lower() for text in evidence.scripts for each in syntax.commands(text) if not each.shell)
    return any(map(_CHOOSING.search, commands))


def is_reverse(options: Iterable[str]) -> bool:
    """Whether these options make `mirror` upload."""
    return any(option == "--reverse" or (option[:1] == "-" != option[1:2] and "R" in option) for option in options)


def is_plain(options: Iterable[str]) -> bool:
    """Whether these options of `mirror` skip no file."""
    return all(
        option in _PLAIN_LONG if option.startswith("--") else _PLAIN.issuperset(option[1:]) for option in options
    )


def _target(named: list[str]) -> str:
    """The folder's target on the server, relative to lftp's current folder there."""
    source = posixpath.basename(named[0].rstrip("/")) if named else ""
    target = named[1] if len(named) > 1 else source
    target = f"{target}{source}" if target.endswith("/") and target != "/" else target
    return posixpath.normpath(target).strip("/").lstrip("~.").lstrip("/")


def _mirrored(commands: Iterable[Command], evidence: Evidence) -> Iterator[tuple[Path, str]]:
    """Yield each local folder that a command uploads completely, with its target; `lcd` is followed."""
    # If an rc or a script changes the folder, only lftp knows it.
    here = None if re.search(rb"\b(?:lcd|local)\b", evidence.rc) else evidence.cwd
    for command in commands:
        for name, *words in [] if command.shell else syntax.simple(command):
            if name == "lcd":
                here = evidence.path(words[0], here) if words else None
            elif name in {"source", "."}:
                here = None
            elif name == "mirror" and _sends_all(options := [word for word in words if word.startswith("-")]):
                named = [word for word in words if word not in options]
                folder = evidence.path(named[0], here) if named else here
                if folder is not None and folder.is_dir():
                    yield folder, _target(named)


def _sends_all(options: list[str]) -> bool:
    return is_reverse(options) and is_plain(options)


def _stored(root: Path) -> dict[str, list[tuple[str, str]]]:
    """The files on the server's disk: name → each path with its content hash."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, own in disk.below(root):
        if disk.target(path, own) is not None:
            found[path.name].append((os.fspath(path.relative_to(root)), sha256(disk.read(path))))
    return found


def _is_stored(folder: Path, target: str, stored: dict[str, list[tuple[str, str]]], gone: set[str]) -> bool:
    """Whether each file of a folder is on the server, under the same relative path below the target folder."""
    for path, own in disk.below(folder):
        relative = os.fspath(path.relative_to(folder))
        if path.is_symlink() or disk.target(path, own) is None or path.name in NOTES or relative.startswith(".nfs"):
            continue
        digest = sha256(disk.read(path))
        goal = os.fspath(PurePosixPath(target, relative))
        if gone.intersection(goal.split("/")):
            continue
        if not any(f"/{there}".endswith(f"/{goal}") and digest == held for there, held in stored[path.name]):
            return False
    return True
