"""``mirror -f FILE`` and ``mirror -F FOLDER``: lftp says nothing if there is no such file, and exits with 0."""

from __future__ import annotations

import fnmatch
import posixpath
from typing import TYPE_CHECKING

from ftps_harness.play.actions.reverse import is_reverse
from ftps_lab import disk
from ftps_lab.testimony import UPLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftps_harness.play.actions.evidence import Evidence

_MISSING = 400
"""The lowest reply code that means failure (RFC 959 section 4.2.1)."""
_LONG = ("--file", "--directory")
_SHORT = frozenset("fF")
_VALUES = _SHORT | frozenset("ixIXOPNo")
"""Options that take a value, in the same word or the next one."""


def are_there(words: Sequence[str], evidence: Evidence) -> bool:
    """Whether each file and folder that these options of `mirror` pick exists at the target, or was sent there.

    Args:
        words: The command's words after ``mirror``.
        evidence: What is examined after the run.
    """
    reverse = is_reverse(words)
    return all(_arrived(posixpath.basename(path.rstrip("/")), evidence, reverse=reverse) for path in picked(words))


def picked(words: Sequence[str]) -> Iterator[str]:
    """Yield the paths or patterns that ``-f``, ``-F``, ``--file`` and ``--directory`` name."""
    following = iter(words)
    for word in following:
        name, equals, value = word.partition("=")
        if name in _LONG:
            yield value if equals else next(following, "")
        elif word[:1] == "-" != word[1:2] and (letter := next((each for each in word[1:] if each in _VALUES), "")):
            value = word[1:].partition(letter)[2] or next(following, "")
            yield from [value] if letter in _SHORT else []


def _arrived(pattern: str, evidence: Evidence, *, reverse: bool) -> bool:
    """Whether a file or folder of this name was sent in this run, or both sides have one (`mirror` skips those)."""
    sent = UPLOADS | {"MKD", "XMKD"} if reverse else {"RETR", "CWD", "XCWD", "MLSD", "LIST"}
    names = {
        posixpath.basename(each.argument.rstrip("/"))
        for each in evidence.testimony.commands
        if each.verb in sent and (each.reply is None or each.reply < _MISSING)
    }
    return bool(fnmatch.filter(names, pattern)) or all(
        _has(folder, pattern) for folder in (evidence.home, evidence.root)
    )


def _has(folder: Path, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(path.name, pattern) for path, _ in disk.below(folder))
