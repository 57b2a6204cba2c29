"""The tool under test: its command lines, with placeholders, and the files that the sandbox must show."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ftps_harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PLACEHOLDERS: Final = ("host", "port", "home", "lftp", "sha256")

_PLACEHOLDER: Final = re.compile(rf"(?<!\$){{({'|'.join(PLACEHOLDERS)})}}")

How = Literal["pin", "repin", "fingerprint"]
"""One of a tool's commands: to pin, to replace a pin, or to pin only a certificate with a given fingerprint."""

OPTIONS: Final[Mapping[How, str]] = {"pin": "the command", "repin": "--repin", "fingerprint": "--with-fingerprint"}
"""How messages name each command."""


@dataclass(frozen=True, slots=True)
class PinningTool:
    """A tool's commands; each begins with the absolute path of its program.

    Attributes:
        pin: Pins the certificate that a server presents.
        repin: Replaces a pin, as a user who has checked the new certificate would; empty if the tool cannot.
        fingerprint: Pins only the certificate with the fingerprint ``{sha256}``; empty if the tool cannot.
    """

    pin: tuple[str, ...]
    repin: tuple[str, ...] = ()
    fingerprint: tuple[str, ...] = ()

    @property
    def programs(self) -> tuple[Path, ...]:
        """The programs and files that the commands name; a sandbox must show them."""
        words = (word for command in (self.pin, self.repin, self.fingerprint) for word in command)
        return tuple(dict.fromkeys(path for word in words if (path := Path(word)).is_absolute() and path.is_file()))

    def lacks(self, how: How, placeholder: str) -> bool:
        """Whether one of its commands lacks a placeholder; the tool then always does the same."""
        command: tuple[str, ...] = getattr(self, how)
        return f"{{{placeholder}}}" not in " ".join(command)

    @property
    def notes(self) -> tuple[str, ...]:
        """Missing parts of the commands, a sentence each: some requirements cannot be checked without them."""
        return tuple(
            f"{option} lacks {{{name}}}, so the tool always uses its own {name}; put {{{name}}} where it expects the "
            f"{name}"
            for how, option in OPTIONS.items()
            for name in ("host", "port")
            if getattr(self, how) and self.lacks(how, name)
        )

    def words(self, how: How, values: Mapping[str, str]) -> tuple[str, ...]:
        """A command with its placeholders filled in; empty if the tool has no such command."""
        command: tuple[str, ...] = getattr(self, how)
        return tuple(_replaced(word, values) for word in command)


def load(command: Sequence[str], repin: str | None, fingerprint: str | None, cwd: Path) -> PinningTool:
    """Read a tool's commands, and resolve programs as a shell would.

    Args:
        command: The words after ``--``.
        repin: The value of ``--repin``, one string.
        fingerprint: The value of ``--with-fingerprint``.
        cwd: The base folder of relative paths.

    Raises:
        UsageError: A program does not exist, or a placeholder is unknown or missing.
    """
    tool = PinningTool(
        _command("--", command, cwd),
        _command("--repin", _split("--repin", repin), cwd),
        _command("--with-fingerprint", _split("--with-fingerprint", fingerprint), cwd),
    )
    if "{host}" not in " ".join(tool.pin):
        raise UsageError("the command lacks {host}: put {host}, and {port}, where the tool expects the server")
    if tool.fingerprint and "{sha256}" not in " ".join(tool.fingerprint):
        raise UsageError("--with-fingerprint lacks {sha256}: put it where the tool expects the fingerprint")
    return tool


def _split(option: str, text: str | None) -> list[str]:
    try:
        return shlex.split(text or "")
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}; quote it as in a shell") from None


def _command(option: str, words: Sequence[str], cwd: Path) -> tuple[str, ...]:
    if not words:
        return ()
    for word in words:
        for name in _names(word):
            if name not in PLACEHOLDERS:
                known = " ".join(f"{{{each}}}" for each in PLACEHOLDERS)
                where = "the command" if option == "--" else option
                raise UsageError(f"{where}: unknown placeholder {{{name}}}; use {known}")
    program = _program(words[0], cwd)
    return (str(program), *(_absolute(word, cwd) for word in words[1:]))


def _names(word: str) -> Iterator[str]:
    """The words in braces that look like placeholders; a shell's ``${HOME}`` or ``{a,b}`` does not."""
    for before, part in zip(word.split("{"), word.split("{")[1:], strict=False):
        name, brace, _ = part.partition("}")
        if brace and name.isidentifier() and name.islower() and not before.endswith("$"):
            yield name


def _replaced(word: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], word)


def _absolute(word: str, cwd: Path) -> str:
    """Make the path of an existing file, such as a script after ``sh``, absolute: the tool starts in other folders."""
    path = Path(os.path.normpath(cwd / word))
    return str(path) if not word.startswith("-") and path.is_file() else word


def _program(name: str, cwd: Path) -> Path:
    if "/" in name:
        path = Path(os.path.normpath(cwd / name))
    elif found := shutil.which(name):
        path = Path(found).absolute()
    else:
        raise UsageError(f"{name}: no such program on PATH; give its path, such as ./{name}")
    if not path.is_file():
        raise UsageError(f"{name}: no such file; name the tool's program or script")
    if not os.access(path, os.X_OK):
        raise UsageError(f"{name}: not executable; run chmod +x on it, or write `-- sh {name} …`")
    return path
