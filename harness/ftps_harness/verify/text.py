"""What only the text of an rc or of the bookmarks shows: the lab's own session does not go through it."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ftps_harness.client.lftp import syntax
from ftps_harness.verify.findings import Where, finding
from ftps_harness.verify.masking import masked
from ftps_harness.verify.sources import bookmarks, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.subject import File, Subject

HOOKS: Final = frozenset(
    f"cmd:at-{when}" for when in ("background", "exit", "exit-bg", "exit-fg", "finish", "queue-finish", "terminate")
)
"""Settings that hold commands which lftp runs later; empty by default (4.9.2)."""

_LATER: Final = frozenset({"at", "queue", "repeat", "sleep"})
"""Commands that run others later, or over and over."""

_PROTOCOLS: Final = frozenset({"", "ftp", "ftps"})

_PASSWORD: Final = re.compile(
    r"(?:^|\s)(?:-u|--user)[ =]?[\"']?[^\s,\"']+,[^\s\"';]+|\w+://[^\s/:@]+:[^\s/@]+@|--password[ =]\S+"
)
"""A password in a command: after the user, in a URL, or by itself (lftp's manual, `open`)."""

_ADDRESS: Final = re.compile(r"\s(?:-p|--port)\b|\w+://|\s[\w-]+\.[\w.-]+")


def of_text(file: File) -> Iterator[Finding]:
    """What an rc's text shows: aliases of `open`, what runs later, passwords that others can read."""
    for number, line, words in words_of(file):
        where = Where(str(file.path), number, line)
        if words[0] == "alias" and len(words) > 2 and words[1].lower() in {"open", "lftp", "connect"}:
            yield _alias(words[1], " ".join(words[2:]), where)
        if words[0].lower() in _LATER or line.rstrip().endswith("&"):
            yield finding(
                "rc-complaint", "It runs later or over and over: a short session says little of it.", where=where
            )
        if _PASSWORD.search(line) and readable_by_others(file):
            hidden = replace(where, text=masked(line))
            yield finding("secret-exposed-locally", f"{file.path} has mode {file.mode:04o} and holds it.", where=hidden)


def _alias(name: str, meaning: str, where: Where) -> Finding:
    if _ADDRESS.search(f" {meaning.removeprefix('open')}"):
        return finding("leads-elsewhere", f"`{name}` is an alias of `{meaning[:80]}`.", where=where)
    return finding("rc-complaint", f"`{name}` is an alias, and the lab logged in without it.", where=where)


_DECIDES: Final = frozenset({"alias", "eval", "module", "shell", "source"})
"""Commands that can change everything; of `set` it hangs on the setting."""

_TRUSTS: Final = frozenset({"cmd", "dns", "ftp", "ftps", "ssl"})
"""Groups of settings that decide whom lftp trusts, where it goes and what it sends in clear."""

_LEADS: Final = frozenset({"connect", "lftp", "open"})
"""Commands of which an alias is told from the text, with where it leads."""

_RUN: Final = frozenset({"get", "ls", "put"})
"""Commands that the lab's session runs as they stand, aliases and all: an attack shows what they do."""


def of_aliases(aliases: Mapping[str, str], rcs: Sequence[File]) -> Iterator[Finding]:
    """The aliases that change what protects a session: the lab types commands, and never an alias of the user's.

    Args:
        aliases: As lftp has them in the end: name → meaning.
        rcs: Where they may stand.
    """
    run = {words[0] for file in rcs for _, _, words in words_of(file)} - syntax.COMMANDS
    lines = {
        words[1]: Where(str(file.path), number, line)
        for file in rcs
        for number, line, words in words_of(file)
        if words[0] == "alias" and len(words) > 2
    }
    for name in sorted(_deciding(aliases)):
        if name not in _LEADS | _RUN | run:  # what the rc itself runs, an attack shows too
            meaning = masked(aliases[name])[:80]
            said = (
                f"`{name}` is an alias of `{meaning}`, and the lab never runs it: it changes what protects a session."
            )
            yield finding("rc-complaint", said, where=lines.get(name))


def _deciding(aliases: Mapping[str, str]) -> set[str]:
    """The aliases that change something decisive, by themselves or by another alias in them."""
    found: set[str] = set()
    while more := {name for name in aliases.keys() - found if _decides(aliases[name], found)}:
        found |= more
    return found


def _decides(meaning: str, aliases: set[str]) -> bool:
    for command in syntax.commands(meaning):
        if command.shell:
            return True
        for words in syntax.simple(command):
            if words[0] == "set" and _is_decisive("".join(words[1:2])):
                return True
            if words[0] in _DECIDES or words[0] in aliases:
                return True
    return False


def _is_decisive(setting: str) -> bool:
    """Whether a setting, as `set` names it, may decide whom lftp trusts; one without its group may be anything."""
    group, colon, _ = setting.partition(":")
    return not setting.startswith("-") and (not colon or group.lower() in _TRUSTS)


def of_settings(settings: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """What settings do that the lab's session does not show."""
    for name in sorted(HOOKS):
        for value in filter(None, settings.get(name, {}).values()):
            yield finding("runs-commands", f"{name} is {value[:80]!r}.")
    for value in settings.get("cmd:default-protocol", {}).values():
        if value not in _PROTOCOLS:
            yield finding("rc-complaint", f"A host without ftp:// before it is reached by {value}, not by FTP.")


def of_notes(notes: Sequence[str], rcs: Sequence[File]) -> Iterator[Finding]:
    """What lftp says of a setting in its debug log alone: it drops a wrong `ssl:priority` whole."""
    lines = [
        Where(str(file.path), n, line) for file in rcs for n, line, words in words_of(file) if _is(words, "priority")
    ]
    for note in notes:
        if "gnutls_priority" in note:
            yield finding("rc-complaint", f"lftp says: {note[:200]}", where=lines[-1] if lines else None)


def pins_of(rcs: Sequence[File]) -> Iterator[str]:
    """The files that rcs name as pins, whether they are there or not."""
    for file in rcs:
        for _, _, words in words_of(file):
            if _is(words, "ca-f"):
                yield " ".join(words[2:])


def _is(words: Sequence[str], setting: str) -> bool:
    """Whether a command sets a setting, however much of its name is written out."""
    name = words[1].partition(":")[2] or words[1] if len(words) > 2 and words[0].lower() == "set" else ""
    return name.replace("_", "-").startswith(setting)


def of_bookmarks(subject: Subject, host: str) -> Iterator[Finding]:
    """A bookmark that is called like the host and leads to another; a bookmark's password that others can read."""
    for file, number, name, target in bookmarks(subject):
        where = Where(str(file.path), number, re.sub(r"//[^/@]*@", "//…@", f"{name} {target}"))
        there = urlsplit(target if "//" in target else f"//{target}").hostname
        if name.lower() == host.lower() and there != host.lower():
            yield finding("leads-elsewhere", f"The bookmark {name} leads to {there}.", where=where)
        if re.search(r"//[^/:@]*:[^/@]+@", target) and readable_by_others(file):
            yield finding("secret-exposed-locally", f"{file.path} has mode {file.mode:04o} and holds it.", where=where)


def readable_by_others(file: File) -> bool:
    """Whether the mode of a file and those of the folders above it let other users read it."""
    if not file.mode & 0o044:
        return False
    try:
        return all(folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for folder in file.path.resolve().parents)
    except OSError:
        return True
