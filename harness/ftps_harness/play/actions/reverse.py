"""`mirror -R` of a folder: every file of it must be on the server afterwards, whatever lftp says."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax
from ftps_harness.play.actions.evidence import sha256
from ftps_harness.play.actions.transferred import NOTES
from ftps_lab import disk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ftps_harness.client.lftp.syntax import Command
    from ftps_harness.play.actions.evidence import Evidence

_PLAIN = frozenset("RcevLp")
"""Options of mirror that leave no file out: -R -c -e -v -L, and -p, which is about modes."""

_PLAIN_LONG = frozenset(
    {"--reverse", "--continue", "--delete", "--verbose", "--dereference", "--no-perms", "--no-umask"}
)

_CHOOSING = (b"exclude", b"include", b"-newer", b"mirror:")
"""What an rc or a script says where not every file is meant."""


def unsent(commands: Iterable[Command], evidence: Evidence) -> bool:
    """Whether a file of a folder that was mirrored to the server is not there."""
    told = evidence.known.lower()
    if any(word in told for word in _CHOOSING):
        return False
    folders = list(_mirrored(commands, evidence))
    if not folders:
        return False
    stored = _stored(evidence.root)
    return any(not _is_stored(folder, stored) for folder in folders)


def _mirrored(commands: Iterable[Command], evidence: Evidence) -> Iterator[Path]:
    """The local folders of commands that send all of a folder; `lcd` leads from one to the next."""
    # A folder that an rc or a script goes to is known to lftp alone.
    here = None if re.search(rb"\b(?:lcd|local)\b", evidence.rc) else evidence.cwd
    for command in commands:
        words = syntax.words(command.text)
        if command.shell or not words or {"&&", "||", ">", "|"} & set(words):
            continue
        if words[0] == "lcd" and len(words) > 1:
            here = evidence.path(words[1], here)
        elif words[0] in {"source", "."}:
            here = None
        elif words[0] == "mirror" and _sends_all(options := [word for word in words[1:] if word.startswith("-")]):
            named = [word for word in words[1:] if word not in options]
            folder = evidence.path(named[0], here) if named else here
            if folder is not None and folder.is_dir():
                yield folder


def _sends_all(options: list[str]) -> bool:
    reverse = any(option == "--reverse" or (option[1:2] != "-" and "R" in option) for option in options)
    plain = (option in _PLAIN_LONG if option.startswith("--") else _PLAIN.issuperset(option[1:]) for option in options)
    return reverse and all(plain)


def _stored(root: Path) -> dict[str, list[tuple[str, str]]]:
    """The files on the server's disk: by their name, each path with the hash of its content."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, own in disk.below(root):
        if disk.target(path, own) is not None:
            found[path.name].append((os.fspath(path.relative_to(root)), sha256(disk.read(path))))
    return found


def _is_stored(folder: Path, stored: dict[str, list[tuple[str, str]]]) -> bool:
    """Whether each file of a folder is on the server, under its own path below whatever folder it was sent to."""
    for path, own in disk.below(folder):
        relative = os.fspath(path.relative_to(folder))
        if path.is_symlink() or disk.target(path, own) is None or path.name in NOTES or relative.startswith(".nfs"):
            continue
        digest = sha256(disk.read(path))
        if not any(f"/{there}".endswith(f"/{relative}") and digest == held for there, held in stored[path.name]):
            return False
    return True
