"""The lab's own lftp commands, and reading lftp's settings back.

Our commands affect timing, retries and the route to the lab, never trust. Each goes through ``command``, which ignores
aliases: an rc with ``alias set echo`` would disable them all (docs/lftp.md, "The rc").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax
from ftps_harness.client.lftp.session import run
from ftps_harness.errors import HarnessError, UsageError
from ftps_lab import disk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ftps_harness.client.lftp.binary import Lftp
    from ftps_harness.client.lftp.session import Run
    from ftps_harness.sandbox.home import Home
    from ftps_harness.words import Folder

LAB_ADDRESS = "127.0.0.1"
"""Where the lab's servers listen."""

_SAFE_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_VALUE = 3
"""Words of a ``set`` that sets a value."""

READ_BACK_SECONDS = 10.0
"""Time limit for lftp to read its files and print its settings; without `sleep` and the like it takes 20 ms."""


def settings_of_ours(
    host: str, *, patience: int = 5, address: str | None = LAB_ADDRESS, rc: str | None = None
) -> list[str]:
    """Settings for lftp's timing and its route to the lab; none of them affects trust.

    They come after the rc and would replace its values, so a setting that the rc has a line for is left out. However
    long the rc makes lftp wait, lftp's time limit ends it.

    Args:
        host: What the user types. ``dns:name/HOST`` maps a name to the lab; certificate check, closures and SNI still
            use the name itself (docs/lftp.md, "Names"). That also keeps ``localhost`` from being ``::1``.
        patience: Seconds without an answer until lftp considers a connection dead.
        address: The address for a name; None if the network resolves the name.
        rc: The text of the rc, and of what it sources.

    Raises:
        UsageError: The host has characters that no lftp command can carry.
    """
    _check_host(host)
    settings = [
        f"net:timeout {patience}s",
        "net:max-retries 2",
        "net:reconnect-interval-base 1",
        "net:reconnect-interval-multiplier 1",
        "net:reconnect-interval-max 1",
    ]
    if not _IPV4.fullmatch(host) and ":" not in host:
        # If a name resolves to `::1` first, 4.8.4 may use up its tries there (docs/lftp.md, "Names").
        settings += ["dns:order inet"]
        # A guard refuses connections to name servers, and lftp would try a thousand times (docs/lftp.md, "Names").
        settings += ["dns:max-retries 1", f"dns:name/{host} {address}"] if address else []
    theirs = _set_in(rc or "", [setting.partition(" ")[0] for setting in settings])
    return [f"command set {setting}" for setting in settings if setting.partition(" ")[0] not in theirs]


def _set_in(rc: str, names: Sequence[str]) -> set[str]:
    """Those of some settings to which a text gives a global value, by its own rules for quotes and abbreviations."""
    found: set[str] = set()
    for command in syntax.commands(rc):
        for words in [] if command.shell else syntax.simple(command):
            if words[0] == "set" and len(words) >= _VALUE:
                typed = words[1].lower().replace("_", "-")
                meant = [name for name in names if name.startswith(typed) or name.partition(":")[2].startswith(typed)]
                exact = [name for name in meant if typed in (name, name.partition(":")[2])]
                found.update(exact or (meant if len(meant) == 1 else ()))
    return found


def open_command(protocol: str, host: str, port: int, user: str, *, scheme: str | None = None) -> str:
    """The command that names the server; it does not connect yet (docs/lftp.md, "Exit codes").

    The password comes from LFTP_PASSWORD, which keeps it out of the debug log. Without ``-u`` lftp logs in anonymously,
    and never over explicit TLS (docs/lftp.md, "Anonymous logins").

    Args:
        protocol: ``explicit`` and ``plain`` are ``ftp://``, ``implicit`` is ``ftps://``.
        host: What the user types.
        port: Where the server listens.
        user: The user name; ``anonymous`` selects lftp's own anonymous login.
        scheme: ``ftp`` or ``ftps``, regardless of the protocol; None for the protocol's own.

    Raises:
        UsageError: The host or the user has characters that no lftp command can carry.
    """
    _check_host(host)
    if not user or any(letter in user for letter in "\r\n\0"):
        raise UsageError(f"user {user!r}: must not be empty or contain a line end or NUL")
    # Not `-u`: its argument ends at a comma, else a blank, else a colon (docs/lftp.md, "Users and passwords").
    who = "" if user == "anonymous" else f"--user {quoted(user)} --env-password "
    scheme = scheme or scheme_of(protocol)
    address = f"[{host}]" if ":" in host else host
    return f"command open {who}-p {port} {scheme}://{address}"


def scheme_of(protocol: str) -> str:
    """The URL scheme for a server whose protocol is known: ``ftp``, or ``ftps`` for implicit FTPS."""
    return "ftps" if protocol == "implicit" else "ftp"


def quoted(word: str) -> str:
    """A word, quoted for an lftp command line if it needs quotes."""
    if re.fullmatch(r"[A-Za-z0-9._@+][A-Za-z0-9._@+-]*", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


class NoSettings(HarnessError):  # noqa: N818 - named after what happened
    """lftp printed no settings: it ended or hung before it got that far.

    Attributes:
        said: Its words.
        timed_out: It hung.
    """

    def __init__(self, finished: Run) -> None:
        self.said = finished.stderr.decode("utf-8", "backslashreplace").strip()
        self.timed_out = finished.timed_out
        super().__init__(
            f"lftp printed no settings (exit code {finished.exit_code}, output: {self.said[:300] or 'nothing'})"
        )


def settings_text(
    lftp: Lftp, home: Home, script: Iterable[str] = (), *, cwd: Folder = "home", prefix: Sequence[str] = ()
) -> str:
    """Every setting in effect after the rc and `script`, as lftp's own ``set -a`` prints them.

    lftp prints them into a file, so that they do not mix with the rc's output.

    Raises:
        NoSettings: lftp printed none, for example because the rc ends it.
        HarnessError: lftp cannot be started.
    """
    target = home.next_log().with_suffix(".settings")
    target.unlink(missing_ok=True)
    lines = [*script, f"command set -a > {home.seen(target)}"]
    finished = run(lftp, home, script=lines, timeout=READ_BACK_SECONDS, cwd=cwd, log=False, prefix=prefix)
    text = (disk.read_own(target) or b"").decode("utf-8", "surrogateescape")
    if not text:
        raise NoSettings(finished)
    return text


def read_back(
    lftp: Lftp,
    home: Home,
    names: Iterable[str],
    script: Iterable[str] = (),
    *,
    cwd: Folder = "home",
    prefix: Sequence[str] = (),
) -> dict[str, dict[str, str]]:
    """The effective values of settings: by name, then by closure (``""`` is the global value).

    Raises:
        HarnessError: lftp printed no settings.
    """
    return parse_settings(settings_text(lftp, home, script, cwd=cwd, prefix=prefix), names)


def parse_settings(text: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The output of ``set -a``, by name and closure; names that this lftp does not have are left out."""
    wanted = set(names)
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if not any(name in line for name in wanted):
            continue
        # lftp quotes values with blanks and the like, and escapes " and \ (lftp 4.9.3, src/ResMgr.cc).
        match = re.fullmatch(r'set ([\w:-]+)(?:/("(?:\\.|[^"\\])*"|(?:\\.|[^\s\\])*))? ("(?:\\.|[^"\\])*"|\S+)', line)
        if match and match[1] in wanted:
            found.setdefault(match[1], {})[_unquote(match[2] or "")] = _unquote(match[3])
    return found


def _unquote(word: str) -> str:
    if word.startswith('"'):
        word = word[1:-1]
    return re.sub(r"\\(.)", r"\1", word)


def _check_host(host: str) -> None:
    if not _SAFE_HOST.fullmatch(host):
        raise UsageError(f"host {host!r}: use letters, digits and . _ - only (and : in an IPv6 address)")
