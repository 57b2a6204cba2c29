"""Compares what literal commands transferred with the files on both sides: names as well as contents.

lftp's report that an upload succeeded does not say what was uploaded: in ``LC_ALL=C`` two files are both stored as
``??.txt``, and one of them is lost. So each file that the server received must match a local one, under the name of a
local file or one that a command gives it; each file that the server sent must have arrived.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax
from ftps_harness.play.actions.aliases import replaced
from ftps_harness.play.actions.evidence import sha256
from ftps_harness.play.actions.local_files import NOTES, Local
from ftps_harness.play.actions.meant import amiss
from ftps_lab import disk
from ftps_lab.testimony import FILES, UPLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp.syntax import Command
    from ftps_harness.play.actions.evidence import Evidence
    from ftps_lab.testimony import Transfer

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_COMMENT = re.compile(r"(?:^|\s)#.*")
"""Comments, which a shell ignores."""


def lost(evidence: Evidence) -> bool:
    """Whether an upload replaced another upload of the same run that had different content."""
    contents: dict[str, set[str]] = defaultdict(set)
    for transfer in evidence.transfers:
        if transfer.verb == "STOR" and transfer.completed:
            contents[transfer.name].add(transfer.sha256)
    resumed = any(command.verb == "REST" for command in evidence.testimony.commands)
    return not resumed and any(len(each) > 1 for each in contents.values())


def doubts(commands: Sequence[Command], evidence: Evidence, local: Local) -> Iterator[str]:
    """Yield a sentence for each transfer that the files on both sides do not confirm.

    Args:
        commands: The literal commands of the step, in order.
        evidence: What is examined after the run.
        local: The files on lftp's side; small ones were recorded before the run.
    """
    local.note()
    yield from replaced(commands, evidence)
    yield from amiss(commands, evidence, local)
    transfers = [each for each in evidence.transfers if each.verb in FILES and each.completed and each.size]
    if not transfers:
        return
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
                yield f"the server received {transfer.name!r}, but no known local file has this content"
            elif transfer.verb != "STOU" and name not in names and not _is_given(name, names, evidence):
                yield f"the server received {transfer.name!r}, but no local file and no command has this name"
            elif not _is_kept(transfer, evidence):
                yield f"the server received {transfer.name!r}, but its disk does not have this content"
        elif not names and not _is_printed(transfer, evidence):
            yield f"the server sent {transfer.name!r}, but lftp's files and output do not contain it"
        elif names and name not in names and not any(_is_named(each, evidence) for each in names):
            yield f"the server sent {transfer.name!r}, but lftp stored it under a name that no command gives"


def _is_given(name: str, names: Iterable[str], evidence: Evidence) -> bool:
    return not _is_mangled(name, names) and _is_named(name, evidence)


def _is_named(name: str, evidence: Evidence) -> bool:
    """Whether a command of the step, its rc or a script contains the name; comments do not count."""
    commands = (command for text in evidence.scripts for command in syntax.commands(text))
    return any(name in (_COMMENT.sub("", each.text) if each.shell else each.text) for each in commands)


def _is_mangled(name: str, names: Iterable[str]) -> bool:
    """Whether lftp derived it from a name that its locale cannot encode (docs/lftp.md, "The locale")."""
    return any(_BEYOND_ASCII.search(each) and _BEYOND_ASCII.sub("?", each) == name for each in names)


def _is_kept(transfer: Transfer, evidence: Evidence) -> bool:
    """Whether the server's disk holds an upload as received or as a later one left it; it may be moved or removed."""
    path = evidence.root / transfer.name
    if any(command.verb in {"DELE", "RNFR", "RMD", "REST", "APPE"} for command in evidence.testimony.commands):
        return True
    later = [t.sha256 for t in evidence.transfers if t.name == transfer.name and t.verb in UPLOADS and t.completed]
    return disk.is_file(path) and sha256(disk.read(path)) in _either_way(later, path)


def _either_way(hashes: list[str], path: Path) -> set[str]:
    """The hashes, plus that of the file on disk if it differs only in line endings (an ASCII transfer)."""
    content = disk.read(path)
    variants = {sha256(content.replace(b"\r\n", b"\n")), sha256(content.replace(b"\n", b"\r\n"))}
    return {*hashes, *({sha256(content)} if variants.intersection(hashes) else ())}


def _is_printed(transfer: Transfer, evidence: Evidence) -> bool:
    path = evidence.root / transfer.name
    content = disk.read(path) if disk.is_file(path) else b""
    same = sha256(content) == transfer.sha256
    return (same and content in evidence.stdout) or sha256(evidence.stdout) == transfer.sha256
