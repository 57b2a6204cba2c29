"""The commands that a step gives lftp: keywords or literal lftp commands, at least one of which must reach the server.

Which commands reach a server was measured, one by one, with lftp 4.9.2 (Debian, November 2026) against a socket that
counts connections. A word that is not in the tables may be an alias of the rc: it gets the benefit of the doubt, and
the run then shows if it does not connect.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ftps_harness.scenario import patterns
from ftps_harness.scenario.problems import Problem, did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYWORDS = ("list", "get", "put", "mirror")
"""Requests that the harness can make and check by hash; anything else is lftp's own language."""

_COMMANDS = {
    "connecting": "at bzcat bzmore cat cd chmod cls command du edit eval fg find get get1 glob ln ls mget mirror mkdir "
    "mmv more mput mrm mv nlist pget put quote recls reget rels renlist repeat reput rm rmdir site source zcat zmore",
    "idle": "! ? alias anon bookmark cache close debug echo help history jobs lcd local login lpwd module pwd scache "
    "set shell sleep slot torrent user version wait",
    "opening": "connect lftp open",
}
"""lftp's commands: those that reach the server; those that reach no FTP server; and those that reach it only with a
path (lftp checks whether it exists) or a command as argument."""

_IDLE = frozenset(_COMMANDS["idle"].split())
_OPENING = frozenset(_COMMANDS["opening"].split())

_REFUSED = {
    "exit": "ends lftp before the lab has seen the rest; remove it: lftp ends on its own",
    "quit": "ends lftp before the lab has seen the rest; remove it: lftp ends on its own",
    "bye": "ends lftp before the lab has seen the rest; remove it: lftp ends on its own",
    "kill": "stops the jobs that the lab watches; remove it",
    "queue": "moves the work into the background, where the lab does not see it; write the command itself",
    "suspend": "stops lftp until its time limit; remove it",
    "attach": "connects to another lftp process, which the lab does not see; remove it",
    "&": "moves the work into the background, where the lab does not see it; remove it",
}
"""lftp commands that would hide the run from the witnesses, and what to do instead."""

_ALL = frozenset(" ".join(_COMMANDS.values()).split()) | _REFUSED.keys()
"""lftp expands an abbreviation to the only command that begins with it."""

_PREFIXES = frozenset({"command", "eval"})
"""Commands whose argument is a command."""

_TOKEN = re.compile(
    r"""(?P<quoted>'(?:\\.|[^'\\])*'?|"(?:\\.|[^"\\])*"?|\\.)|(?P<both>&&|\|\|)|(?P<end>[;()])"""
    r"""|(?P<background>&)|(?P<pipe>\|)|(?P<plain>.)""",
    re.DOTALL,
)


class _Commands(NamedTuple):
    """A line of lftp's language: its simple commands, and whether an `&` runs one in the background."""

    simple: list[str]
    background: bool


def check(run: tuple[str, ...], key: str) -> Iterator[Problem]:
    """Problems of a step's `run`; `key` is its key."""
    if not run:
        yield Problem(key, 'is empty: lftp would run nothing; omit it for ["list", "get"]')
        return
    sound = True
    for number, item in enumerate(run, start=1):
        for sentence in () if item in KEYWORDS else _item_faults(item):
            sound = False
            yield Problem(f"{key}[{number}]", sentence)
    if sound and not any(connects(item) for item in run):
        # A mistyped keyword is not an lftp command, so it counts as connecting and never gets here.
        reach = "reaches" if len(run) == 1 else "reach"
        yield Problem(
            key,
            f"never connects: {', '.join(map(shown, run))} {reach} no server (`open` alone does not "
            'either); add "list", "get", "put", "mirror" or an lftp command such as "ls"',
        )


def connects(item: str) -> bool:
    """Whether an item of `run` can reach the server."""
    return item in KEYWORDS or any(_reaches(command.split()) for command in _commands(item).simple)


def _item_faults(item: str) -> Iterator[str]:
    if not item.strip():
        yield f"is empty: write one of {', '.join(map(shown, KEYWORDS))}, or an lftp command"
    elif patterns.has_control_characters(item):
        yield f"{shown(item)} contains a line end or control character; write one command in each item of the list"
    elif item.strip().lower() in KEYWORDS:
        yield f"{shown(item)} is neither a keyword nor an lftp command.{did_you_mean(item.strip().lower(), KEYWORDS)}"
    else:
        commands = _commands(item)
        words = [_full(command.split()[0]) for command in commands.simple] + ["&"] * commands.background
        yield from (f"{shown(word)} {_REFUSED[word]}" for word in dict.fromkeys(words) if word in _REFUSED)


def _reaches(words: list[str]) -> bool:
    word, *arguments = words
    if _full(word) in _PREFIXES:
        return bool(arguments) and _reaches(arguments)
    if _full(word) in _OPENING:
        return any(argument in {"-c", "-e", "-f"} or "/" in argument.partition("://")[2] for argument in arguments)
    return _full(word) not in _IDLE


def _full(word: str) -> str:
    """The command to which lftp expands the word."""
    if word in _ALL:
        return word
    if word.startswith("!"):
        return "!"
    begun = [command for command in _ALL if command.startswith(word)]
    return begun[0] if len(begun) == 1 else word


def _commands(line: str) -> _Commands:
    """Split a line as lftp does: at ; && || & and parentheses, outside quotes; the text after a pipe is the shell's."""
    simple, current, piped, background = [], "", False, False
    for token in _TOKEN.finditer(line + ";"):
        if token.lastgroup in {"end", "both", "background"}:
            simple.append(current)
            background |= token.lastgroup == "background"
            current, piped = "", False
        elif token.lastgroup == "pipe":
            piped = True
        elif not piped:
            current += token[0].strip("'\"\\") if token.lastgroup == "quoted" else token[0]
        if current.lstrip()[:1] in {"!", "#"}:
            # The rest of the line is the shell's, or a comment.
            simple.append(current)
            break
    return _Commands([text for text in simple if text.strip() and not text.lstrip().startswith("#")], background)
