"""What ``/etc/lftp.conf`` would add: lftp reads it first, ``--norc`` or not (docs/lftp.md, "The rc")."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM_RC = Path("/etc/lftp.conf")

_HARMLESS = re.compile(
    r"""
      (?:cmd:)?prompt | cmd:(?:term-status|default-title|time-style|ls-default|cls-[a-z-]+|save-[a-z-]+)
    | (?:color|mirror|xfer|bmk|cache|http|sftp|fish|torrent):[a-z-]+
    | net:(?:timeout|idle|max-retries|persist-retries|limit-[a-z-]+|reconnect-interval-[a-z]+)
    | dns:(?:order|fatal-timeout|max-retries|cache-[a-z-]+)
    | (?:ftp:)?auto-sync-mode
    """,
    re.VERBOSE,
)
"""Settings that change neither whom lftp trusts, nor whom it talks to, nor what it sends before it knows. What is not
known to be harmless touches trust: lftp takes too many spellings of a line for a list of the others."""

_ON_ALONE = re.compile(r"(?:ftp:)?sync-mode")
"""Harmless when it is on, as Debian's file has it for some hosts; off, it sends the password early (docs/lftp.md)."""

_COMMANDS = frozenset(
    {
        *("alias", "at", "bye", "cache", "cd", "close", "cls", "command", "debug"),
        *("echo", "eval", "exit", "get", "lcd", "lftp", "local", "ls", "mget"),
        *("mirror", "module", "mput", "nlist", "open", "pget", "put", "queue", "quit"),
        *("quote", "recls", "rels", "renlist", "repeat", "set", "shell", "site", "source"),
        *("user", "wait"),
    }
)
"""An alias of one of these changes what later lines mean, the scenario's and ours."""

_WORD = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|(?:\\.|[^\s\\;&|()!"'#<>])+)"""
_SET = re.compile(rf"set[ \t]+([a-z:_-]+)(?:/{_WORD})?[ \t]+({_WORD})[ \t]*")
_ALIAS = re.compile(rf"alias[ \t]+([\w.-]+)[ \t]+({_WORD}(?:[ \t]+{_WORD})*)[ \t]*")

_TRY_SECONDS = 10.0


def system_rc_lines(path: Path = SYSTEM_RC) -> list[tuple[int, str]]:
    """The lines of the system's rc that touch trust, or are not known to leave it alone: number and text.

    A file that is missing or unreadable has none: lftp itself passes over it.
    """
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return []
    return lines_that_touch_trust(text)


def lines_that_touch_trust(text: str) -> list[tuple[int, str]]:
    """The same of a file's text."""
    return [(number, line.strip()) for number, line in _logical_lines(text) if not _is_harmless(line.strip())]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines as lftp reads them, with the number that each begins at.

    A backslash at the end joins the next line, but not to a comment of a whole line (docs/lftp.md, "The rc").
    """
    begun, so_far = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        so_far += line
        if so_far.endswith("\\") and not so_far.lstrip().startswith("#"):
            so_far = so_far[:-1]
            continue
        yield begun, so_far
        begun, so_far = number + 1, ""
    if so_far:
        yield begun, so_far


def _is_harmless(line: str) -> bool:
    if not line or line.startswith("#"):
        return True
    if (setting := _SET.fullmatch(line)) is not None:
        name = setting[1].replace("_", "-")
        return _HARMLESS.fullmatch(name) is not None or (_ON_ALONE.fullmatch(name) is not None and setting[2] == "on")
    alias = _ALIAS.fullmatch(line)
    return alias is not None and alias[1] not in _COMMANDS


def system_rc_prefix(path: Path = SYSTEM_RC) -> tuple[str, ...]:
    """What to put before lftp so that the system's rc changes no verdict; empty where it would change none.

    Raises:
        HarnessError: It would, and cannot be kept out on this machine.
    """
    try:
        state = path.stat()
    except OSError:
        return ()
    return _prefix(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _prefix(path: Path, _changed: int, _size: int) -> tuple[str, ...]:
    """The prefix for one state of the file: reading it takes 3 ms, and a run asks before each lftp."""
    lines = system_rc_lines(path)
    if not lines:
        return ()
    prefix = keep_out_system_rc(path)
    if prefix is None:
        named = "; ".join(f"line {number}: {line}" for number, line in lines)
        raise HarnessError(
            f"{path} changes trust for every lftp on this machine ({named}), and it cannot be hidden here (unshare "
            "--mount is not permitted): comment these lines out, or run in a container without them"
        )
    return prefix


@functools.cache
def keep_out_system_rc(path: Path = SYSTEM_RC) -> tuple[str, ...] | None:
    """What to put before a command to hide the system's rc from it; None where the machine does not allow it.

    A mount of ``/dev/null`` over the file, in a mount namespace of the command's own: root may make one, others where
    unprivileged user namespaces are allowed. The process keeps its number: both helpers hand over with exec.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    mount = ("sh", "-c", 'mount --bind /dev/null "$0" && exec "$@"', str(path))
    for options in (("--mount",), ("--map-root-user", "--mount")):
        prefix = (unshare, *options, *mount)
        try:
            tried = subprocess.run(
                [*prefix, "cat", str(path)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TRY_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if tried.returncode == 0 and not tried.stdout:
            return prefix
    return None
