"""Findings that only the text of an rc or of the bookmarks shows, because the lab's session does not use them."""

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
"""Settings with commands that lftp runs later; empty by default (4.9.2)."""

_LATER: Final = frozenset({"at", "queue", "repeat", "sleep"})
"""Commands that run other commands later, or repeatedly."""

_PROTOCOLS: Final = frozenset({"", "ftp", "ftps"})

_PASSWORD: Final = re.compile(
    r"(?:^|\s)(?:-u|--user)[ =]?[\"']?[^\s,\"']+,[^\s\"';]+|\w+://[^\s/:@]+:[^\s/@]+@|--password[ =]\S+"
)
"""A password in a command: after the user, in a URL, or alone (lftp's manual, `open`)."""

_ADDRESS: Final = re.compile(r"\s(?:-p|--port)\b|\w+://|\s[\w-]+\.[\w.-]+")


def of_text(file: File) -> Iterator[Finding]:
    """Findings from an rc's text: aliases of `open`, commands that run later, passwords that others can read."""
    for number, line, words in words_of(file):
        where = Where(str(file.path), number, line)
        if words[0] == "alias" and len(words) > 2 and words[1].lower() in {"open", "lftp", "connect"}:
            yield _alias(words[1], " ".join(words[2:]), where)
        if words[0].lower() in _LATER or line.rstrip().endswith("&"):
            yield finding(
                "rc-complaint",
                "The command runs later or repeatedly, so the lab's short session tests little of it.",
                where=where,
            )
        if _PASSWORD.search(line) and readable_by_others(file):
            hidden = replace(where, text=masked(line))
            yield finding(
                "secret-exposed-locally",
                f"{file.path} has mode {file.mode:04o} and contains the password.",
                where=hidden,
            )


def _alias(name: str, meaning: str, where: Where) -> Finding:
    if _ADDRESS.search(f" {meaning.removeprefix('open')}"):
        return finding("leads-elsewhere", f"`{name}` is an alias of `{meaning[:80]}`.", where=where)
    return finding("rc-complaint", f"`{name}` is an alias; the lab logged in without it.", where=where)


_DECIDES: Final = frozenset({"alias", "eval", "module", "shell", "source"})
"""Commands that can change everything; for `set`, it depends on the setting."""

_TRUSTS: Final = frozenset({"cmd", "dns", "ftp", "ftps", "ssl"})
"""Groups of settings that decide whom lftp trusts, where it connects and what it sends in clear text."""

_LEADS: Final = frozenset({"connect", "lftp", "open"})
"""Commands whose aliases are reported from the text, with their destination."""

_RUN: Final = frozenset({"get", "ls", "put"})
"""Commands that the lab's session runs as they are, aliases included: an attack shows what they do."""


def of_aliases(aliases: Mapping[str, str], rcs: Sequence[File]) -> Iterator[Finding]:
    """Report aliases that change the protection of a session; the lab types commands, never one of the user's aliases.

    Args:
        aliases: lftp's final aliases: name → meaning.
        rcs: The files that may define them.
    """
    run = {words[0] for file in rcs for _, _, words in words_of(file)} - syntax.COMMANDS
    lines = {
        words[1]: Where(str(file.path), number, line)
        for file in rcs
        for number, line, words in words_of(file)
        if words[0] == "alias" and len(words) > 2
    }
    for name in sorted(_deciding(aliases)):
        if name not in _LEADS | _RUN | run:  # an attack also shows what the rc itself runs
            meaning = masked(aliases[name])[:80]
            said = (
                f"`{name}` is an alias of `{meaning}`, which changes the protection of a session; the lab never runs "
                f"it."
            )
            yield finding("rc-complaint", said, where=lines.get(name))


def _deciding(aliases: Mapping[str, str]) -> set[str]:
    """The aliases that change something decisive, directly or through another alias."""
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
    """Whether a setting, as `set` names it, may decide whom lftp trusts; a name without a group may be any."""
    group, colon, _ = setting.partition(":")
    return not setting.startswith("-") and (not colon or group.lower() in _TRUSTS)


def of_settings(settings: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Findings from settings whose effect the lab's session does not show."""
    for name in sorted(HOOKS):
        for value in filter(None, settings.get(name, {}).values()):
            yield finding("runs-commands", f"{name} is {value[:80]!r}.")
    for value in settings.get("cmd:default-protocol", {}).values():
        if value not in _PROTOCOLS:
            yield finding("rc-complaint", f"For a host without a scheme, lftp uses {value}, not FTP.")


def of_notes(notes: Sequence[str], rcs: Sequence[File]) -> Iterator[Finding]:
    """Findings from complaints that lftp makes only in its debug log: it drops an invalid `ssl:priority` entirely."""
    lines = [
        Where(str(file.path), n, line) for file in rcs for n, line, words in words_of(file) if _is(words, "priority")
    ]
    for note in notes:
        if "gnutls_priority" in note:
            yield finding("rc-complaint", f"lftp says: {note[:200]}", where=lines[-1] if lines else None)


def pins_of(rcs: Sequence[File]) -> Iterator[str]:
    """The files that rcs name as pins, whether they exist or not."""
    for file in rcs:
        for _, _, words in words_of(file):
            if _is(words, "ca-f"):
                yield " ".join(words[2:])


def _is(words: Sequence[str], setting: str) -> bool:
    """Whether a command sets a setting, by its full or abbreviated name."""
    name = words[1].partition(":")[2] or words[1] if len(words) > 2 and words[0].lower() == "set" else ""
    return name.replace("_", "-").startswith(setting)


def of_bookmarks(subject: Subject, host: str) -> Iterator[Finding]:
    """Report a bookmark with the host's name that leads elsewhere, and a bookmark's password that others can read."""
    for file, number, name, target in bookmarks(subject):
        where = Where(str(file.path), number, re.sub(r"//[^/@]*@", "//…@", f"{name} {target}"))
        there = urlsplit(target if "//" in target else f"//{target}").hostname
        if name.lower() == host.lower() and there != host.lower():
            yield finding("leads-elsewhere", f"The bookmark {name} leads to {there}.", where=where)
        if re.search(r"//[^/:@]*:[^/@]+@", target) and readable_by_others(file):
            yield finding(
                "secret-exposed-locally",
                f"{file.path} has mode {file.mode:04o} and contains the password.",
                where=where,
            )


def readable_by_others(file: File) -> bool:
    """Whether the mode of a file and those of the folders above it let other users read it."""
    if not file.mode & 0o044:
        return False
    try:
        return all(folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for folder in file.path.resolve().parents)
    except OSError:
        return True
