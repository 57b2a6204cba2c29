"""Where lftp's commands begin and end in a line, as lftp reads it (lftp 4.9.3, src/parsecmd.cc). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PLAIN = re.compile(r"[^\\\"';\n&|]+")
"""What ends no command and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a line, with those that ``&&`` and ``||`` join to it.

    Attributes:
        text: As it is written, without the separator at its end.
        background: It ends in ``&``: its exit code says nothing.
        shell: It begins with ``!``: the rest of the line is the shell's.
    """

    text: str
    background: bool = False
    shell: bool = False


def commands(line: str) -> tuple[Command, ...]:
    """The commands of a line, in order; comments are left out, and aliases are not expanded."""
    found: list[Command] = []
    at = 0
    while at < len(line):
        end = _end(line, at)
        text = line[at:end].strip()
        background = line[end : end + 1] == "&"
        if text and not text.startswith("#"):
            found.append(Command(text, background, shell=_last_joined(text).startswith("!")))
        at = end + 1
    return tuple(found)


def words(command: str) -> list[str]:
    """The words of one command, quotes and backslashes taken away; a redirection is a word of its own."""
    found: list[str] = []
    word, quote, begun, at = "", "", False, 0
    while at < len(command):
        character = command[at]
        if character == "\\" and at + 1 < len(command) and _quotable(command[at + 1], quote):
            word, begun, at = word + command[at + 1], True, at + 1
        elif quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "\"'":
            quote, begun = character, True
        elif character.isspace() or character in ">|":
            found += [word] if begun or word else []
            found += [character] if character in ">|" else []
            word, begun = "", False
        else:
            word += character
        at += 1
    return found + ([word] if begun or word else [])


def _quotable(character: str, quote: str) -> bool:
    return character in {"\\", "!", quote} or (not quote and character in "\"' \t>|;&")


def _end(line: str, begin: int) -> int:
    """Where the command that begins here has its separator, or the end of the line."""
    at, first = begin, True
    while at < len(line):
        if first and line[at].isspace() and line[at] != "\n":
            at += 1
            continue
        if first and line[at] in "!#":
            newline = line.find("\n", at)
            return len(line) if newline < 0 else newline
        if first and line[at] == "(":
            at, first = _behind_parenthesis(line, at), False
            continue
        first = False
        if line[at] == "\\":
            at += 2
        elif line[at] in "\"'":
            at = _behind_quote(line, at)
        elif line.startswith(("&&", "||"), at):
            at, first = at + 2, True
        elif line[at] in ";\n&":
            return at
        else:
            plain = _PLAIN.match(line, at)
            at = plain.end() if plain else at + 1
    return len(line)


def _behind_quote(line: str, at: int) -> int:
    quote, at = line[at], at + 1
    while at < len(line) and line[at] != quote:
        at += 2 if line[at] == "\\" and line[at + 1 : at + 2] in {quote, "\\", "!"} else 1
    return at + 1


def _behind_parenthesis(line: str, at: int) -> int:
    level, at = 1, at + 1
    while at < len(line):
        if line[at] == "\\":
            at += 2
            continue
        if line[at] in "\"'":
            at = _behind_quote(line, at)
            continue
        level += {"(": 1, ")": -1}.get(line[at], 0)
        at += 1
        if level == 0:
            break
    return at


def _last_joined(text: str) -> str:
    """What stands behind the last ``&&`` or ``||`` of a command, roughly: enough to see a ``!`` there."""
    for joint in ("&&", "||"):
        text = text.rpartition(joint)[2]
    return text.strip()
