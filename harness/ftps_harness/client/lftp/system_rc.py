"""What ``/etc/lftp.conf`` would add: lftp reads it first, with or without ``--norc`` (docs/lftp.md, "The rc")."""

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
"""Settings that affect neither which certificates lftp trusts, nor where it connects, nor what it sends before it has
verified. Every other setting counts as touching trust: lftp accepts too many spellings for a list of those."""

_ON_ALONE = re.compile(r"(?:ftp:)?sync-mode")
"""Harmless if on, as Debian's file sets it for some hosts; if off, lftp sends the password early (docs/lftp.md)."""

_COMMANDS = frozenset(
    {
        *("alias", "at", "bye", "cache", "cd", "close", "cls", "command", "debug"),
        *("echo", "eval", "exit", "get", "lcd", "lftp", "local", "ls", "mget"),
        *("mirror", "module", "mput", "nlist", "open", "pget", "put", "queue", "quit"),
        *("quote", "recls", "rels", "renlist", "repeat", "set", "shell", "site", "source"),
        *("user", "wait"),
    }
)
"""An alias for one of these changes the meaning of later lines, both the scenario's and ours."""

_WORD = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|(?:\\.|[^\s\\;&|()!"'#<>])+)"""
_SET = re.compile(rf"set[ \t]+([a-z:_-]+)(?:/{_WORD})?[ \t]+({_WORD})[ \t]*")
_ALIAS = re.compile(rf"alias[ \t]+([\w.-]+)[ \t]+({_WORD}(?:[ \t]+{_WORD})*)[ \t]*")

_TRY_SECONDS = 10.0


def system_rc_lines(path: Path = SYSTEM_RC) -> list[tuple[int, str]]:
    """Lines of the system's rc that touch trust, or are not known to leave it alone: number and text.

    A missing or unreadable file has none: lftp itself skips it.
    """
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return []
    return lines_that_touch_trust(text)


def lines_that_touch_trust(text: str) -> list[tuple[int, str]]:
    """The same for a file's text."""
    return [(number, line.strip()) for number, line in _logical_lines(text) if not _is_harmless(line.strip())]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines as lftp reads them, each with the number of its first line.

    A backslash at the end joins the next line, except after a whole-line comment (docs/lftp.md, "The rc").
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
    """The prefix that keeps the system's rc from changing a verdict; empty if the rc would not change any.

    Raises:
        HarnessError: It would change one, and this machine cannot keep it out.
    """
    try:
        state = path.stat()
    except OSError:
        return ()
    return _prefix(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _prefix(path: Path, _changed: int, _size: int) -> tuple[str, ...]:
    """The prefix for one state of the file, cached: reading it takes 3 ms, and each run of lftp needs it."""
    lines = system_rc_lines(path)
    if not lines:
        return ()
    prefix = keep_out_system_rc(path)
    if prefix is None:
        named = "; ".join(f"line {number}: {line}" for number, line in lines)
        raise HarnessError(
            f"{path} changes trust for every lftp on this machine ({named}), and this machine does not permit hiding "
            f"it (unshare --mount): comment these lines out, or run in a container without them"
        )
    return prefix


@functools.cache
def keep_out_system_rc(path: Path = SYSTEM_RC) -> tuple[str, ...] | None:
    """The prefix that hides the system's rc from a command; None if this machine does not allow it.

    It mounts ``/dev/null`` over the file in a mount namespace for the command alone. Root may create one; other users
    may where unprivileged user namespaces are allowed. The process ID stays the same: both helpers use exec.
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
