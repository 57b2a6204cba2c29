"""Find lftp and identify its build.

The dialect is a property of the binary, never of its version number (docs/reference.md, "Dialects"): Debian's 4.9.2
behaves like 4.9.3. Three short runs find it out:

* ``--version``: the version, and the TLS library. OpenSSL builds of 4.9.2 and older leave the library out, 4.9.3
  names it (docs/lftp.md, "Builds").
* ``set -a``: only OpenSSL builds have ``ssl:ca-path``; a build without TLS has no ``ssl:ca-file``.
* a connection: the new verification of GnuTLS builds logs ``Loaded N CAs`` and ``Loaded N CRLs`` when it sets up TLS
  (lftp 4.9.3, src/lftp_ssl.cc, `load_keys`), before it sends the first byte; the old one logs nothing there. So a
  listener that accepts and closes is enough: the failed handshake, logged as ``gnutls_handshake``, proves that lftp
  set up TLS. The probe uses implicit FTPS, which never falls back to plain FTP. Measured on Debian's 4.8.4 (classic),
  4.9.2-2, 4.9.2-3, 4.9.3 (status), and on 4.9.3 as released, with GnuTLS (status) and OpenSSL.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import select
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.client.lftp.locales import default_locale
from ftps_harness.client.lftp.system_rc import keep_out_system_rc, system_rc_lines
from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.sandbox import process
from ftps_harness.sandbox.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ftps_harness.words import Dialect

Address = tuple[str, int]

ENVIRONMENT_VARIABLE = "FTPS_LAB_LFTP"
"""Names the lftp to use if there is no ``--lftp``."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""Errors of a machine or a limit (`ulimit`), not of the program."""

_PROBE_SECONDS = 10.0
"""Each of the three runs takes about 10 ms; the limit allows for loaded machines and programs that are not lftp."""

_LOOPBACK_SECONDS = 5.0
"""A connection to this machine takes microseconds; if loopback is down, it may never finish."""

_INSTALL = "install it (apt install lftp, dnf install lftp, brew install lftp), or name one with --lftp PATH"


@dataclass(frozen=True, slots=True)
class Lftp:
    """One lftp build.

    Attributes:
        path: The executable.
        version: Such as ``4.9.2``.
        tls: Its TLS library as it reports it, such as ``GnuTLS 3.7.9``; ``OpenSSL`` if it reports none.
        dialect: How it reports certificate problems (docs/reference.md, "Dialects").
        locale: The locale that it runs in unless a step names another one.
        start: Starts it. The same path in a container is a different build from the one on this machine.
    """

    path: Path
    version: str
    tls: str
    dialect: Dialect
    start: process.Starter = field(default=process.run, repr=False)
    locale: str = "C"


def find(path: str | None = None) -> Path:
    """The lftp to use: `path` (``--lftp``), else ``FTPS_LAB_LFTP``, else the one on PATH.

    Raises:
        UsageError: A given path is missing, a folder, or not executable.
        HarnessError: No path is given and PATH has no lftp.
    """
    if path is not None:
        return _given(path, "--lftp")
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        return _given(named, ENVIRONMENT_VARIABLE)
    if found := shutil.which("lftp"):
        return Path(found).absolute()
    raise HarnessError(f"no lftp on PATH: {_INSTALL}")


def _given(path: str, where: str) -> Path:
    candidate = Path(path).expanduser()
    try:
        is_folder, is_there = candidate.is_dir(), candidate.exists()
    except OSError as error:
        raise UsageError(f"{where} {path}: {error.strerror}; name an lftp executable") from None
    if is_folder:
        raise UsageError(f"{where} {path}: a folder; name the lftp executable in it")
    if not is_there:
        raise UsageError(f"{where} {path}: no such file; name an lftp executable")
    if not os.access(candidate, os.X_OK):
        raise UsageError(f"{where} {path}: not executable; run chmod +x on it, or name another lftp")
    return candidate.absolute()


def identify(
    path: Path, start: process.Starter = process.run, *, parent: Path | None = None, deaf: Address | None = None
) -> Lftp:
    """Identify an executable.

    Args:
        path: The executable, on the machine where `start` runs it.
        start: Starts the executable.
        parent: A folder for its HOME that it can reach; None for the system's folder for temporary files.
        deaf: The address of a listener that does not speak TLS; None creates one on this machine.

    Raises:
        UsageError: It is not lftp, does not answer in time, or was built without TLS.
        HarnessError: Nothing can be measured here (no loopback, no writable folder), or no table has its dialect.
    """
    with Home(parent) as home, ThreadPoolExecutor(2) as pool:
        # First: only a program that answers like lftp is given commands to run.
        ask = functools.partial(_ask, start, _unaffected(path, start), home)
        number, library = _read_version(path, ask("--version"))
        settings = pool.submit(ask, "-c", "set -a")
        log = pool.submit(_set_up_tls, ask, home, deaf)
        locale = pool.submit(default_locale, start)
        dialect = _read_dialect(path, settings.result().stdout, log.result())
    if library is None:
        library = "OpenSSL" if dialect == "openssl" else "GnuTLS"
    return Lftp(path, number, library, dialect, start, locale.result())


def environment(home: Home, password: str | None = None, locale: str = "C") -> dict[str, str]:
    """lftp's whole environment; it inherits nothing.

    Without LFTP_HOME, XDG_* and proxy variables, everything that lftp reads from the user is below HOME; without
    SSL_CERT_FILE and the like, the TLS library uses the system's trust store. The locale determines lftp's messages
    and how it decodes file names.
    """
    variables = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home.seen(home.home)),
        "LC_ALL": locale,
        "LANG": locale,
        "TZ": "UTC",
        "TERM": "dumb",
    }
    if password is not None:
        variables["LFTP_PASSWORD"] = password
    return variables


def _unaffected(path: Path, start: process.Starter) -> list[str]:
    """The command that starts it without this machine's system rc, if that matters and the machine allows it.

    The file could stop the probe (``alias set echo``), or lead it to a real host (``ftp:proxy``).
    """
    prefix = keep_out_system_rc() if start is process.run and system_rc_lines() else None
    return [*(prefix or ()), str(path)]


def _ask(start: process.Starter, command: list[str], home: Home, *arguments: str) -> process.Finished:
    path = command[-1]
    try:
        return start([*command, *arguments], env=environment(home), cwd=home.seen(home.home), timeout=_PROBE_SECONDS)
    except HarnessError as error:
        if getattr(error.__cause__, "errno", None) in _EXHAUSTED:
            raise  # any program would have failed
        raise UsageError(f"{path} is not lftp: {error}") from error


def _read_version(path: Path, answer: process.Finished) -> tuple[str, str | None]:
    """Version and TLS library from the output of ``--version``."""
    text = answer.stdout.decode("utf-8", "replace")
    match = re.match(r"LFTP \| Version (\S+) ", text)
    if answer.timed_out:
        raise UsageError(f"{path} is not lftp: it did not answer --version within {_PROBE_SECONDS:.0f} seconds")
    if match is None:
        said = text.strip().splitlines()[0] if text.strip() else f"nothing (exit code {answer.exit_code})"
        raise UsageError(f"{path} is not lftp: its answer to --version begins with {said[:80]!r}")
    # The list of libraries wraps at terminal width (4.9.3).
    used = " ".join(text.partition("Libraries used:")[2].split())
    library = re.search(r"((?:GnuTLS|OpenSSL|LibreSSL) \w[\w.]*)", used)
    return match[1], library[1] if library else None


def _read_dialect(path: Path, settings: bytes, log: bytes) -> Dialect:
    if b"set ssl:ca-file " not in settings:
        raise UsageError(f"{path} has no setting ssl:ca-file: this lftp was built without TLS; name another one")
    if b"set ssl:ca-path " in settings:
        return "openssl"
    if re.search(rb"Loaded \d+ (?:CAs|CRLs)", log):  # with no CAs, as here, lftp prints only the second line
        return "status"
    if b"gnutls_handshake" in log:
        return "classic"
    shown = log.decode("utf-8", "backslashreplace").strip() or "an empty log"
    raise HarnessError(f"cannot determine the dialect of {path}; its connection to the probe logged {shown}")


def _set_up_tls(ask: Callable[..., process.Finished], home: Home, deaf: Address | None) -> bytes:
    """lftp's log of setting up TLS with a listener that does not speak it."""
    log = home.next_log()
    with contextlib.nullcontext(deaf) if deaf else _closing_listener() as (host, port):
        script = [
            "set net:max-retries 1",
            "set net:timeout 5s",
            "set dns:order inet",  # the system rc may say inet6
            "set ssl:ca-file /dev/null",  # the system's bundle takes 35 ms to parse, and nothing is verified here
            f"debug -o {home.seen(log)} 9",
            f"open -u probe,probe -p {port} ftps://{host}",
            "ls",
        ]
        ask("-c", "\n".join(script))
    return log.read_bytes() if log.exists() else b""


@contextlib.contextmanager
def _closing_listener() -> Iterator[Address]:
    """A listener that accepts one connection and closes it: its address and the listener itself."""
    try:
        listener = socket.create_server(("127.0.0.1", 0))
    except OSError as error:
        raise HarnessError(f"cannot listen on 127.0.0.1, which the probe of lftp needs: {error.strerror}") from error

    with listener, ThreadPoolExecutor(1, "lftp-probe") as pool:
        host, port = address = listener.getsockname()
        _check_loopback(listener, address)
        asked, ask = socket.socketpair()
        with asked, ask:
            closing = pool.submit(_close_one, listener, asked)
            try:
                yield host, port
            finally:
                ask.send(b"!")  # if no client ever connected, it is still waiting
                closing.result()  # it may not have started yet: closing its socket first would not wake it


def _check_loopback(listener: socket.socket, address: Address) -> None:
    """Connect the way lftp will.

    Raises:
        HarnessError: No data gets through.
    """
    try:
        with socket.create_connection(address, _LOOPBACK_SECONDS):
            listener.accept()[0].close()
    except OSError as error:
        cure = "" if error.errno in _EXHAUSTED else "; bring the loopback up (ip link set lo up)"
        raise HarnessError(
            f"cannot connect to 127.0.0.1, where all servers listen: {error.strerror or error}{cure}"
        ) from error


def _close_one(listener: socket.socket, asked: socket.socket) -> None:
    """Accept one connection and close it, or stop without one on request."""
    ready, _, _ = select.select([listener, asked], [], [])
    if listener in ready:
        with contextlib.suppress(OSError):
            listener.accept()[0].close()
