"""A command or script that is verified as it is: the files to copy for it, and the files that it names."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.errors import UsageError
from ftps_harness.verify.masking import masked_command
from ftps_harness.verify.subject import File, Subject, own_files, read_outside, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SHOWN: Final = ("/usr/", "/bin/", "/sbin/", "/lib", "/opt/", "/etc/", "/nix/", "/gnu/")
"""Folders that are the same in the sealed place."""

_LARGEST_SCRIPT: Final = 1 << 20


def load(argv: Sequence[str], cwd: Path, home: Path) -> Subject:
    """Read what a command needs: its folder, the current folder, and in HOME lftp's files and those that it names.

    Args:
        argv: The command; its program is looked up as a shell does.
        cwd: The current folder.
        home: The user's HOME.

    Raises:
        UsageError: The program does not exist, or a folder is too large to copy.
    """
    program = _program(argv[0], cwd)
    files = dict(own_files(home))
    folders: dict[str, Mapping[str, File]] = {}
    named = [path for word in argv[1:] if (path := Path(os.path.normpath(cwd / word))).is_file()]
    for folder in dict.fromkeys((cwd, program.parent, *(path.parent for path in named))):
        if _is_copied(folder, home):
            _add(folder, home, files, folders)
    texts = [" ".join(argv).encode("utf-8", "surrogateescape"), *_texts(files, folders, program)]
    below_home = (path for path in (program, *named) if path.is_relative_to(home))
    for path in (*below_home, *_named(texts, home)):
        name = str(path.relative_to(home))
        if name not in files and (file := read_outside(path)) is not None:
            files[name] = file
    complete = (str(program), *argv[1:])
    return Subject(masked_command(argv), None, files, home, argv=complete, cwd=cwd, folders=folders, is_path=False)


def of_script(subject: Subject, lftp: Path, cwd: Path) -> Subject:
    """Turn an lftp script that the user named as a path into the command that runs it.

    Raises:
        UsageError: Its folder is too large to copy.
    """
    path = str(Path(subject.given).expanduser().absolute())
    return replace(load((str(lftp), "-f", path), cwd, subject.real_home), given=subject.given, is_path=True)


def _program(name: str, cwd: Path) -> Path:
    found = shutil.which(name, path=None if "/" not in name else str(cwd))
    path = Path(os.path.normpath(cwd / name)) if "/" in name else Path(found or "")
    if not ("/" in name or found):
        raise UsageError(f"{name}: no such program on PATH; give its path, such as ./{name}")
    if not path.is_file():
        raise UsageError(f"{name}: no such file; name a program or script")
    if not os.access(path, os.X_OK):
        raise UsageError(f"{name}: not executable; run chmod +x on it, or write `-- sh {name}`")
    return path


def _is_copied(folder: Path, home: Path) -> bool:
    """Whether to copy a folder: not HOME or its parents, which may be huge, nor folders visible in every place."""
    return not (home.is_relative_to(folder) or f"{folder}/".startswith(_SHOWN))


def _add(folder: Path, home: Path, files: dict[str, File], folders: dict[str, Mapping[str, File]]) -> None:
    if any(folder.is_relative_to(other) for other in folders):
        return
    found = dict(tree(folder))
    if folder.is_relative_to(home):
        files |= {str((folder / name).relative_to(home)): file for name, file in found.items()}
        files.setdefault(f"{folder.relative_to(home)}/", File(folder, b"", 0o700, os.getuid()))
    else:
        folders[str(folder)] = found


def _texts(files: Mapping[str, File], folders: Mapping[str, Mapping[str, File]], program: Path) -> Iterator[bytes]:
    everything = [*files.values(), *(file for folder in folders.values() for file in folder.values())]
    for file in everything:
        if len(file.data) <= _LARGEST_SCRIPT and b"\0" not in file.data:
            yield file.data
    if program not in {file.path for file in everything} and program.stat().st_size <= _LARGEST_SCRIPT:
        yield program.read_bytes()


def _named(texts: Sequence[bytes], home: Path) -> Iterator[Path]:
    """The files below HOME that texts name by ~, $HOME or the path of HOME."""
    begin = rb"(?:~|\$HOME|\$\{HOME\}|" + re.escape(os.fsencode(home)) + rb")/"
    pattern = re.compile(begin + rb"""((?:[^\s'"\\;&|<>(){}$`]|\\.)+)""")
    for text in texts:
        for match in pattern.finditer(text):
            path = Path(os.path.normpath(home / os.fsdecode(match[1].replace(b"\\", b""))))
            if path.is_relative_to(home) and path.is_file():
                yield path
