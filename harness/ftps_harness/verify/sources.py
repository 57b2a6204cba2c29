"""The other files that an rc makes lftp read: those that it sources, and its bookmarks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.client.lftp import syntax
from ftps_harness.verify.subject import RC, File, read_outside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.verify.subject import Subject

_MOST: Final = 50
"""Maximum number of files to follow: a file may source itself."""

_SHOWN: Final = ("/usr/", "/bin/", "/sbin/", "/lib", "/opt/", "/etc/", "/nix/", "/gnu/")
"""Folders that are the same in the copy."""


def complete(subject: Subject) -> Subject:
    """Add the files that the rc sources or names in settings, such as pins, wherever they are."""
    known = subject.everything
    files, outside = dict(subject.files), dict(subject.outside)
    for path, file in [*_read(subject), *_named(subject)]:
        if path in known or str(path).startswith(_SHOWN):
            continue
        if path.is_relative_to(subject.real_home):
            files[str(path.relative_to(subject.real_home))] = file
        else:
            outside[str(path)] = file
    return replace(subject, files=files, outside=outside)


def rc_files(subject: Subject) -> list[File]:
    """Every file that lftp reads as an rc: the startup files, and the files that they source."""
    return [file for _, file in _read(subject)]


def start_files(subject: Subject) -> list[File]:
    """The files that lftp always reads at startup, in order."""
    return [file for _, file in _start(subject)]


def sourced_by(line: str, subject: Subject) -> File | None:
    """The file that a line of an rc sources; None if it sources none, or a missing one."""
    for command in syntax.commands(line):
        for words in syntax.simple(command):
            for path in _source(words, subject.real_home):
                return subject.everything.get(path) or read_outside(path)
    return None


def words_of(file: File) -> Iterator[tuple[int, str, list[str]]]:
    """Each command of an rc: the number of its line, the line, and its words."""
    if b"\0" in file.data[:4096]:
        return
    for number, line in enumerate(file.data.decode("utf-8", "replace").splitlines(), 1):
        for command in syntax.commands(line):
            for words in syntax.simple(command):
                yield number, line, words


def bookmarks(subject: Subject) -> Iterator[tuple[File, int, str, str]]:
    """Each bookmark: its file, its line number, its name, and its target (lftp 4.9.3, src/bookmark.cc)."""
    for name in (".lftp/bookmarks", ".local/share/lftp/bookmarks"):
        file = subject.files.get(name)
        for number, line in enumerate(file.data.decode("utf-8", "replace").splitlines() if file else [], 1):
            words = line.split(None, 1)
            if file is not None and len(words) == 2:
                yield file, number, words[0], words[1].strip()


def _read(subject: Subject) -> list[tuple[Path, File]]:
    """The files that lftp reads, in order, by their paths in the copy."""
    waiting = _start(subject)
    found: dict[Path, File] = {}
    everything = subject.everything
    while waiting and len(found) < _MOST:
        path, file = waiting.pop(0)
        if path in found:
            continue
        found[path] = file
        for named in _sourced(file, subject.real_home):
            other = everything.get(named) or read_outside(named)
            if other is not None:
                waiting.append((named, other))
    return list(found.items())


def _start(subject: Subject) -> list[tuple[Path, File]]:
    begin = [name for name in (".lftprc", RC, subject.rc) if name is not None and name in subject.files]
    return [(subject.real_home / name, subject.files[name]) for name in dict.fromkeys(begin)]


def _sourced(file: File, home: Path) -> Iterator[Path]:
    for _, _, words in words_of(file):
        yield from _source(words, home)


def _source(words: list[str], home: Path) -> Iterator[Path]:
    if words[0].lower() == "source" and len(words) == 2:
        yield _path(words[1], home)


def _named(subject: Subject) -> Iterator[tuple[Path, File]]:
    """The files that setting values name: mostly pins."""
    for file in rc_files(subject):
        for _, _, words in words_of(file):
            if words[0].lower() == "set" and len(words) > 2:
                path = _path(" ".join(words[2:]), subject.real_home)
                if (named := read_outside(path)) is not None:
                    yield path, named


def _path(name: str, home: Path) -> Path:
    return Path(os.path.normpath(home / name[2:] if name.startswith("~/") else home / name))
