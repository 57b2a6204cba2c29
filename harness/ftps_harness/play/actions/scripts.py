"""The commands of the scripts that a step sources: they are requested like the commands of its own lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax
from ftps_harness.client.lftp.settings import quoted
from ftps_lab import disk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ftps_harness.client.lftp.syntax import Command
    from ftps_harness.play.actions.evidence import Evidence

_LARGEST = 1 << 20
_DEEPEST = 8
_SOURCES = frozenset({"source", "."})
_MOVES = re.compile(r"\b(?:lcd|local)\b")
"""Commands after which lftp's local folder is unknown."""


def expanded(commands: Iterable[Command], evidence: Evidence, above: tuple[Path, ...] = ()) -> Iterator[Command]:
    """Yield the commands, with those of a sourced script in place of ``source``.

    A script that cannot be found or read, or that sources itself, stays a ``source``.

    Args:
        commands: Literal commands, in order.
        evidence: What is examined after the run.
        above: The scripts that these commands come from.
    """
    here = None if _MOVES.search(evidence.rc.decode("utf-8", "replace")) else evidence.cwd
    for command in commands:
        read = [] if command.shell else syntax.simple(command)
        if not any(words[0] in _SOURCES for words in read):
            here = None if _MOVES.search(command.text) else here
            yield command
            continue
        for words in read:
            script = _script(words, evidence, here)
            if script is None or script in above or len(above) == _DEEPEST:
                yield syntax.Command(" ".join(map(quoted, words)), command.background)
                continue
            text = _text(script)
            here = None if _MOVES.search(text) else here
            yield from expanded(syntax.commands(text), evidence, (*above, script))


def _script(words: list[str], evidence: Evidence, here: Path | None) -> Path | None:
    """The file that a command sources; None if it is another command, or if nobody knows."""
    if words[0] not in _SOURCES or len(words) != 2 or words[1].startswith("-"):
        return None
    path = evidence.path(words[1], here)
    return path if path is not None and disk.is_file(path) and path.stat().st_size <= _LARGEST else None


def _text(script: Path) -> str:
    r"""A script as lftp reads it: up to a NUL, and with the lines joined that end in ``\`` (docs/lftp.md, "The rc")."""
    text = disk.read(script).partition(b"\0")[0].decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    joined, line = [], ""
    for physical in text.split("\n"):
        line += physical
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            line = line[:-1]
        else:
            joined.append(line)
            line = ""
    return "\n".join([*joined, line])
