"""Whether content that lftp received may be where the lab does not look: outside HOME, or changed by a program. Pure.

The lab looks for received content in lftp's output and in the files below HOME. A command can write elsewhere
(``ls > /tmp/x``, ``get x -o /dev/shm/x``) or pipe it to a program (``cat x | gzip > x.gz``, ``!mv x /tmp``). Then it is
impossible to say that lftp took none of an impostor's content.
"""

from __future__ import annotations

import functools
import posixpath
import re
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PROGRAMS = frozenset({"!", "shell", "local", "edit"})
_TRANSFERS = frozenset({"get", "mget", "pget", "reget", "put", "mput", "reput"})
_READS_ONLY = ("ssl:", "dns:", "ftp:", "net:", "file:", "xfer:clobber")
"""Settings whose value is never a place to which content is written."""
_TEXT = ("cmd:prompt", "cmd:term-status", "cmd:set-term-status", "cmd:time-style")
"""Settings whose value is only displayed, so a ``>`` or ``!`` in it means nothing."""
_OF_THE_KERNEL = re.compile(r"(?:/|(?:\.\./)+)(?:dev|proc|sys)(?:/|$)")
"""A path to what is the kernel's in a sandbox: devices that discard, and counters that differ from run to run."""
_WORTH_READING = re.compile(r"[|!>~\\\"']|\.\.|shell|local|edit|alias|file:|(?:^|\s)/|-e\b")
"""A command without any of these has no word that matters here. An rc names certificates: a thousand letters each."""


def may_hide(texts: Iterable[str], home: Path | None) -> bool:
    """Whether a command in these texts writes outside HOME or runs a program.

    Args:
        texts: The rc, the step's commands, and scripts.
        home: HOME's folder as lftp sees it, with its neighbours for downloads; None if lftp can only write where the
            lab looks.
    """
    return _may_hide(tuple(texts), home)


@functools.lru_cache(maxsize=64)  # as for `_scripts_among`
def _may_hide(texts: tuple[str, ...], home: Path | None) -> bool:
    return any(_hides(command, home) for text in texts for command in syntax.commands(text))


def scripts_among(names: Iterable[str], texts: Iterable[str]) -> frozenset[str]:
    """The files that lftp may read as scripts: those named by anything other than a plain transfer.

    Transferred files are content, and random content can look like a command: three random bytes contain a ``|``, or
    begin with ``!``, in one of 64 runs. A command of one word names no file, because it has no argument: each line of a
    certificate is such a word, and any two characters occur in one of six certificates.

    Args:
        names: The names of files.
        texts: The rc, the step's commands, and scripts.
    """
    return _scripts_among(frozenset(names), tuple(texts))


@functools.lru_cache(maxsize=64)  # names and texts stay the same from one run of a step to the next
def _scripts_among(names: frozenset[str], texts: tuple[str, ...]) -> frozenset[str]:
    read = [command for text in texts for command in _read(text)]
    aliases = any(_may_alias(command) for command in read)
    naming = [command for command in read if _has_argument(command) and (aliases or not _only_transfers(command))]
    return frozenset(name for name in names if any(_names(command, name) for command in naming))


class _Read:
    """A command and its words."""

    def __init__(self, command: syntax.Command) -> None:
        self.text = command.text
        self.shell = command.shell
        self.words = syntax.words(command.text)


@functools.lru_cache(maxsize=256)  # the texts stay the same from one run of a step to the next
def _read(text: str) -> tuple[_Read, ...]:
    return tuple(map(_Read, syntax.commands(text)))


def _may_alias(command: _Read) -> bool:
    """Whether a word may mean ``alias``: lftp accepts abbreviations, and ``eval`` runs a command composed of words."""
    return "alias" in command.text or any("alias".startswith(word) for word in command.words)


def _names(command: _Read, name: str) -> bool:
    return name in command.text or any(name in word for word in command.words)


def _has_argument(command: _Read) -> bool:
    return command.shell or len(command.words) > 1


def _only_transfers(command: _Read) -> bool:
    joined = "&&" in command.text or "||" in command.text or "(" in command.text
    return not command.shell and not joined and _TRANSFERS.issuperset(command.words[:1])


def _hides(command: syntax.Command, home: Path | None) -> bool:
    if not command.shell and not _WORTH_READING.search(command.text):
        return False
    words = syntax.words(command.text)
    if command.shell or "|" in words or _PROGRAMS.intersection(words) or _sources_output(words):
        return True
    if words[:1] == ["set"] and words[1:] and words[1].startswith((*_READS_ONLY, *_TEXT)):
        return False
    if words[:1] == ["alias"]:
        return may_hide([" ".join(words[2:])], home)
    return any(_is_outside(word, home) or _hides_within(word, command, home) for word in words[1:])


def _hides_within(word: str, command: syntax.Command, home: Path | None) -> bool:
    """Whether a word has commands that hide content: ``set cmd:at-exit "!mv x /tmp"``, ``queue 'cat x | gzip'``."""
    return word != command.text and bool(re.search(r"[\s!|]", word)) and may_hide([word], home)


def _sources_output(words: list[str]) -> bool:
    """``source -e PROGRAM`` runs a program's output as commands; lftp accepts abbreviations of ``source``."""
    rest = words[1:] if words[:1] in (["command"], ["eval"]) else words
    return "-e" in rest[1:] and (rest[0] == "." or (len(rest[0]) > 1 and "source".startswith(rest[0])))


def _is_outside(word: str, home: Path | None) -> bool:
    """Whether a word is a path that leads outside HOME."""
    if home is None:  # the lab sees everything that can be written; but these discard, delete, or tell runs apart
        return word.startswith("file:") or bool(_OF_THE_KERNEL.match(posixpath.normpath(word)))
    if re.match(r"~[^/]", word) or ".." in word.split("/"):
        return True
    return word.startswith(("/", "file:/")) and not f"{word}/".startswith(f"{home}/")
