"""The parts of the file system that a program needs to start: a sealed place shows these and hides the rest.

They are found without starting the program: its folder and prefix, the targets of its symbolic links, the interpreter
in its first line, and for Python whatever `site` would add to its path.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where ``#!/usr/bin/env NAME`` finds its program: inside, PATH is the same as in a cron job."""

SHARED = (Path("/tmp"), Path("/dev/shm"), Path("/var/tmp"))  # noqa: S108 - hidden inside, not used
"""Folders from which only the program itself is shown: the sandbox has its own, and these hold other users' files."""

_FIRST_LINES = 4096
"""Bytes. The kernel reads 256 bytes of a first line (execve(2)); a path in the second line may be longer."""

_LONG = re.compile(rb"'''exec' +(.+?) +\"\$0\"")
"""Second line of a script whose interpreter path is too long for a first line, or has spaces (pip's distlib)."""

_PYTHON = re.compile(r"(python|pypy)[\d.]*")
_SITES = ("lib*/python3*/site-packages", "lib*/pypy3*/site-packages", "lib/python3*/dist-packages")
_FINDERS = "_*editable*.py"
"""Modules that import projects in development mode if no ``*.pth`` file names their folder."""


def needed(program: Path) -> list[Path]:
    """Return the folders, and sometimes files, that must be visible for a program to start, outermost first.

    Args:
        program: Its path, or that of a script that an interpreter gets as an argument. A path that does not exist yet
            needs its folder.
    """
    first = Path(os.path.abspath(program))  # noqa: PTH100 - not `resolve`: keep the names of links
    found: set[Path] = set() if first.parent in SHARED else {first.parent}
    seen: set[Path] = set()
    left = [first]
    while left:
        path = left.pop()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        found.add(path if path.parent in SHARED else path.parent)
        if (prefix := _prefix(path)) is not None:
            found.add(prefix)
            found.update(_python_folders(path, prefix))
        left += [*_links(path), *_interpreters(path), *_base_of_venv(path)]
    return sorted(path for path in found if path.exists())


def _prefix(program: Path) -> Path | None:
    """The prefix of a program's installation, with ``bin`` and ``lib``."""
    above = program.parent.parent
    if program.parent.name in ("bin", "sbin") and any((above / name).is_dir() for name in ("lib", "lib64")):
        return above
    return None


def _links(path: Path) -> Iterator[Path]:
    """Yield each step of a chain of links, and the same file with every link in its path resolved."""
    if path.is_symlink():
        yield Path(os.path.normpath(path.parent / path.readlink()))
        yield path.parent.resolve() / path.readlink()  # ".." means the real folder's parent
    with contextlib.suppress(OSError, RuntimeError):
        yield path.resolve()


def _interpreters(script: Path) -> Iterator[Path]:
    """The program in a script's first line, and the one that ``env`` starts."""
    lines = _first_lines(script)
    if not lines or not lines[0].startswith(b"#!"):
        return
    interpreter, _, argument = os.fsdecode(lines[0][2:]).strip().partition(" ")
    yield Path(interpreter)
    if Path(interpreter).name == "env" and (name := _started_by_env(argument)):
        path = shutil.which(name, path=SEARCH_PATH)
        if path is not None:
            yield Path(path)
    if len(lines) > 1 and (long := _LONG.match(lines[1])):
        yield Path(os.fsdecode(long[1].strip(b'"')))


def _first_lines(script: Path) -> list[bytes]:
    try:
        if not script.is_file():
            return []
        with script.open("rb") as file:
            return file.read(_FIRST_LINES).splitlines()[:2]
    except OSError:
        return []


def _started_by_env(argument: str) -> str:
    """The program in ``env -S NAME=value program argument``; empty if it names none."""
    text = argument.strip()
    with contextlib.suppress(ValueError):
        for word in shlex.split(text.removeprefix("-S")):
            if not word.startswith("-") and "=" not in word:
                return word
    return ""


def _base_of_venv(program: Path) -> Iterator[Path]:
    """The Python from which a virtual environment was created, if its own is a copy."""
    for line in _lines(program.parent.parent / "pyvenv.cfg"):
        key, _, value = line.partition("=")
        if key.strip() == "home" and program.parent.name == "bin":
            yield from sorted(path for path in Path(value.strip()).glob("python3*") if _PYTHON.fullmatch(path.name))


def _python_folders(program: Path, prefix: Path) -> Iterator[Path]:
    """Further folders that Python imports from: those in ``*.pth`` files, and projects in development mode."""
    if not (_PYTHON.fullmatch(program.name) or (prefix / "pyvenv.cfg").is_file()):
        return
    for site in (site for pattern in _SITES for site in prefix.glob(pattern)):
        for file in site.glob("*.pth"):
            for line in _lines(file):
                if line.strip() and not line.startswith(("#", "import ", "import\t")):
                    yield Path(os.path.normpath(site / line.rstrip()))
        if any(site.glob(_FINDERS)):
            for file in site.glob("*.dist-info/direct_url.json"):
                yield from _project(file)


def _project(file: Path) -> Iterator[Path]:
    """The folder of a project that was installed with ``pip install --editable`` (PEP 610)."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        said = json.loads("\n".join(_lines(file)))
        url = urlsplit(said["url"])
        if url.scheme == "file" and said["dir_info"].get("editable"):
            yield Path(unquote(url.path))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
