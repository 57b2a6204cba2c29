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

TRUST_SETTINGS = (
    *(
        f"ssl:{name}"
        for name in (
            *("ca-file", "ca-path", "cert-file", "check-hostname", "crl-file", "crl-path", "key-file", "priority"),
            *("use-sni", "verify-certificate"),
        )
    ),
    *(
        f"ftp:ssl-{name}"
        for name in (
            *("allow", "allow-anonymous", "auth", "copy-sid", "data-use-keys", "force", "protect-data"),
            *("protect-fxp", "protect-list", "shutdown-timeout", "use-ccc"),
        )
    ),
)
"""The settings of TLS and trust that lftp 4.8.4 to 4.9.3 list with ``set -a``."""

_WATCHED_ALIASES = frozenset({"set", "command", "open", "debug", "source", "module"})
"""Redefining one of these changes what later lines mean, the scenario's and ours."""

_WORD = r"""(?:"[^"]*"|'[^']*'|[^\s;&|()"']+)"""
_SET = re.compile(rf"""(?:^|[\s;&|()"'])set?((?:\s+-\w+)*)\s+(?!-)({_WORD})""")
_ALIAS = re.compile(rf"(?:^|[\s;&|()])al(?:i|ia|ias)?\s+({_WORD})")
_ELSEWHERE = re.compile(r"(?:^|[\s;&|()])(?:so(?:u|ur|urc|urce)?|mod(?:u|ul|ule)?|ev(?:a|al)?)(?=\s)")
"""``source``, ``module`` and ``eval`` bring in what does not stand in the line. lftp takes unique beginnings."""

_TRY_SECONDS = 10.0


def system_rc_lines(path: Path = SYSTEM_RC) -> list[tuple[int, str]]:
    """The lines of the system's rc that would touch trust, or could out of sight: number and text.

    Settings of TLS under any abbreviation that lftp accepts, also one that it would call ambiguous; aliases of commands
    that settings are made with; ``source``, ``module`` and ``eval``. A file that is missing or unreadable has none:
    lftp itself passes over it.
    """
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return []
    return lines_that_touch_trust(text)


def lines_that_touch_trust(text: str) -> list[tuple[int, str]]:
    """The same of a file's text."""
    return [(number, line.strip()) for number, line in _logical_lines(text) if _touches_trust(line.lstrip())]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines as lftp reads them, with the number that each begins at: a backslash at the end joins the next."""
    begun, so_far = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        so_far += line
        if so_far.endswith("\\"):
            so_far = so_far[:-1]
            continue
        yield begun, so_far
        begun, so_far = number + 1, ""
    if so_far:
        yield begun, so_far


def _touches_trust(line: str) -> bool:
    if line.startswith("#"):
        return False
    settings = (match[2].strip("\"'").partition("/")[0] for match in _SET.finditer(line))
    aliases = (match[1].strip("\"'") for match in _ALIAS.finditer(line))
    return (
        any(_may_mean(name, setting) for name in settings for setting in TRUST_SETTINGS)
        or not _WATCHED_ALIASES.isdisjoint(aliases)
        or _ELSEWHERE.search(line) is not None
    )


def _may_mean(name: str, setting: str) -> bool:
    """Whether lftp could take `name` for `setting` (lftp 4.9.3, src/ResMgr.cc, `VarNameCmp`).

    The part before the colon may be left out, each part may be cut short, ``_`` is ``-``.
    """
    if ":" not in name:
        setting = setting.partition(":")[2]
    pattern = re.sub(r"[-_:]|$", lambda found: r"[^-:]*" + found[0].replace("_", "-"), name)
    return re.match(pattern if _is_plain(name) else re.escape(name), setting) is not None


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[\w:-]+", name) is not None


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
            f"{path} changes trust for every lftp on this machine ({named}), and it cannot be kept out here "
            "(unshare --mount is not permitted): comment these lines out, or run in a container without them"
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
