"""Where lftp's commands begin and end in a line, by lftp's own rules (lftp 4.9.3, src/parsecmd.cc). Pure."""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass

_PLAIN = re.compile(r"[^\\\"';\n&|]+")
"""Characters that neither end a command nor quote anything."""
_SIMPLE = re.compile(r"[^\\\"'&|]+")
"""The same within a command: characters that neither join two commands nor quote anything."""
_LETTERS = {
    "": re.compile(r"[^\\\"'>|\s]+"),
    '"': re.compile(r'[^\\"]+'),
    "'": re.compile(r"[^\\']+"),
}
"""Literal characters of a word, by the quote around them. A certificate is one word of a thousand characters."""

COMMANDS = frozenset(
    [
        "alias",
        "anon",
        "at",
        "bookmark",
        "bzcat",
        "bzmore",
        "cache",
        "cat",
        "cd",
        "chmod",
        "close",
        "cls",
        "command",
        "connect",
        "copy",
        "debug",
        "du",
        "echo",
        "edit",
        "eval",
        "exit",
        "fg",
        "find",
        "ftpcopy",
        "get",
        "get1",
        "glob",
        "help",
        "history",
        "jobs",
        "kill",
        "lcd",
        "lftp",
        "ln",
        "local",
        "login",
        "lpwd",
        "ls",
        "mget",
        "mirror",
        "mkdir",
        "mmv",
        "module",
        "more",
        "mput",
        "mrm",
        "mv",
        "nlist",
        "open",
        "pget",
        "put",
        "pwd",
        "queue",
        "quit",
        "quote",
        "recls",
        "reget",
        "rels",
        "renlist",
        "repeat",
        "reput",
        "rm",
        "rmdir",
        "scache",
        "set",
        "shell",
        "site",
        "slot",
        "sleep",
        "source",
        "suspend",
        "tasks",
        "torrent",
        "user",
        "version",
        "wait",
        "wget",
        "xferlog",
        "zcat",
        "zmore",
    ]
)
"""lftp's commands (4.9.2, ``help -a``)."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a line, with the commands that ``&&`` and ``||`` join to it.

    Attributes:
        text: As written, without the separator at its end.
        background: It ends in ``&``, so its exit code says nothing.
        shell: It begins with ``!``: the shell gets the rest of the line.
    """

    text: str
    background: bool = False
    shell: bool = False


@functools.lru_cache(maxsize=128)  # the rc and its certificates are parsed after each run of lftp
def commands(line: str) -> tuple[Command, ...]:
    """The commands of a line, in order, without comments; aliases are not expanded."""
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


def simple(command: Command) -> list[list[str]]:
    """The words of each command that is certain to run: groups opened, ``&&`` split, up to the first ``||``.

    The word ``command``, which only bypasses aliases, is left out; so is everything after ``>`` or ``|``. Aliases are
    not expanded; abbreviations are.
    """
    found: list[list[str]] = []
    text = command.text
    while text := text.lstrip():
        if text.startswith("("):
            end = _behind_parenthesis(text, 0)
            for each in commands(text[1 : end - 1]):
                found += simple(each)
            text = text[end:].lstrip()
        else:
            end = _end_of_simple(text)
            read = list(itertools.takewhile(lambda word: word not in {">", "|"}, words(text[:end])))
            read = read[1:] if read[:1] == ["command"] else read
            found += [[full_name(read[0]), *read[1:]]] if read else []
            text = text[end:]
        if not text.startswith("&&"):
            break
        text = text[2:]
    return found


@functools.lru_cache(maxsize=1024)
def full_name(word: str) -> str:
    """The command that an abbreviation stands for, in any case; the word itself if it matches none or several."""
    meant = [name for name in COMMANDS if name.startswith(lower := word.lower())]
    return lower if word and lower in COMMANDS else meant[0] if len(meant) == 1 else word


def words(command: str) -> list[str]:
    """The words of one command, without quotes and backslashes; a redirection is a separate word."""
    found: list[str] = []
    word, quote, begun, at = "", "", False, 0
    while at < len(command):
        if plain := _LETTERS[quote].match(command, at):
            word, at = word + plain[0], plain.end()
            continue
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
    """Position of the separator that ends the command beginning here, or of the line's end."""
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


def _end_of_simple(text: str) -> int:
    """Position of the first ``&&`` or ``||`` outside quotes; else the end."""
    at = 0
    while at < len(text):
        if text.startswith(("&&", "||"), at):
            return at
        if text[at] == "\\":
            at += 2
        elif text[at] in "\"'":
            at = _behind_quote(text, at)
        else:
            plain = _SIMPLE.match(text, at)
            at = plain.end() if plain else at + 1
    return len(text)


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
    """The text after the last ``&&`` or ``||`` of a command, roughly: enough to find a ``!`` there."""
    for joint in ("&&", "||"):
        text = text.rpartition(joint)[2]
    return text.strip()
