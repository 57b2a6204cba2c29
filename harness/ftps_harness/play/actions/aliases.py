"""Aliases that replace a requested command by another kind of command, which not every command leaves evidence of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftps_harness.client.lftp.syntax import Command
    from ftps_harness.play.actions.evidence import Evidence

_KINDS = (
    frozenset({"ls", "cls", "nlist", "rels", "recls", "renlist"}),
    frozenset({"put", "reput", "mput"}),
    frozenset({"get", "get1", "reget", "pget", "mget"}),
    frozenset({"cat", "more", "zcat", "zmore", "bzcat", "bzmore"}),
)
"""Commands that do the same in different ways."""

_STARTING = frozenset({"at", "eval", "glob", "queue", "repeat"})
"""Commands whose arguments are a command."""

_BYPASSED = re.compile(r"\bcommand\s+(\w+)")
"""The word ``command`` bypasses aliases."""

_DEFINITION = 3
"""Words of an ``alias`` that defines one."""


def replaced(commands: Iterable[Command], evidence: Evidence) -> Iterator[str]:
    """Yield a sentence for each requested command that an alias makes something else, whatever that does.

    An alias that only adds options (``alias put "put -c"``) keeps the command.

    Args:
        commands: The literal commands of a step, with those of the scripts that they source.
        evidence: What is examined after the run.
    """
    aliases = dict(_aliases(evidence.scripts))
    if not aliases:
        return
    for command in commands:
        bypassed = set(map(syntax.full_name, _BYPASSED.findall(command.text)))
        for name, *words in [] if command.shell else syntax.simple(command):
            begun = " ".join(words).split() if name in _STARTING else []  # `queue 'put x'` is one word
            for each in (name, *map(syntax.full_name, begun)):
                if each in aliases and each not in bypassed and not _is_same(each, aliases[each]):
                    yield f"an alias replaces {each!r} by {aliases[each]!r}, so {command.text!r} did something else"


def _aliases(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The aliases that set-up, commands and scripts give to lftp's own commands."""
    for text in texts:
        for command in syntax.commands(text):
            for words in [] if command.shell else syntax.simple(command):
                if words[0] == "alias" and len(words) >= _DEFINITION and words[1].lower() in syntax.COMMANDS:
                    yield words[1].lower(), " ".join(words[2:])


def _is_same(name: str, value: str) -> bool:
    first: Sequence[Sequence[str]] = [words for each in syntax.commands(value)[:1] for words in syntax.simple(each)][:1]
    return any(word == name or any({word, name} <= kind for kind in _KINDS) for word, *_ in first)
