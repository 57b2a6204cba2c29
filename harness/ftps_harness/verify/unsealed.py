"""An rc that is verified where the kernel permits no sandbox: on this machine's loopback, and only if it is harmless.

lftp carries out what it reads, and here nothing keeps it from other machines, programs or files. So nothing is run but
an rc of which each line is known not to do more than set a setting that is known to be harmless: a blank line, a
comment, or one `set` with a whole name, as lftp itself prints it, and a value in plain characters. Everything else is
refused in a sentence, before lftp reads any of it.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.play.places.leads import is_address
from ftps_harness.play.places.loopback import Loopback
from ftps_harness.play.places.sealed import is_store
from ftps_harness.sandbox.sandbox import Unavailable
from ftps_harness.verify import sources
from ftps_harness.verify.subject import File, read_outside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.verify.subject import Subject
    from ftps_lab.certificates import Certificate

UNSEEN: Final = (
    "the kernel permits no sandbox here: dns:name led lftp to the lab, on another port than the real one; nobody "
    "watched for connections to others, and the system's trust store was this machine's own"
)
"""What a reader of a report should know."""

_PATHS: Final = frozenset({"ssl:ca-file", "ssl:crl-file", "ssl:cert-file", "ssl:key-file"})

_FTP: Final = (
    "ftp:auto-sync-mode ftp:auto-passive-mode ftp:catch-size ftp:fix-pasv-address ftp:passive-mode ftp:prefer-epsv "
    "ftp:ssl-allow ftp:ssl-allow-anonymous ftp:ssl-auth ftp:ssl-copy-sid ftp:ssl-data-use-keys ftp:ssl-force "
    "ftp:ssl-protect-data ftp:ssl-protect-fxp ftp:ssl-protect-list ftp:ssl-shutdown-timeout ftp:ssl-use-ccc "
    "ftp:skey-allow ftp:skey-force ftp:sync-mode ftp:timezone ftp:use-abor ftp:use-allo ftp:use-feat ftp:use-hftp "
    "ftp:use-mdtm ftp:use-mlsd ftp:use-pret ftp:use-quit ftp:use-size ftp:use-stat ftp:use-utf8"
)
ALLOWED: Final = _PATHS | {
    *_FTP.split(),
    *("ftps:initial-prot", "ssl:check-hostname", "ssl:priority", "ssl:use-sni", "ssl:verify-certificate"),
    *("net:idle", "net:max-retries", "net:persist-retries", "net:timeout", "net:limit-rate", "net:limit-total-rate"),
    *("net:reconnect-interval-base", "net:reconnect-interval-max", "net:reconnect-interval-multiplier"),
    *("cmd:fail-exit", "cmd:interactive", "mirror:parallel-transfer-count", "xfer:clobber"),
}
"""Settings that lead nowhere, run nothing and write nothing (lftp 4.9.2, its manual). A name must be written out: lftp
takes parts of names, and `ftp:pro` is ftp:proxy."""

_LINE: Final = re.compile(
    r"""[ \t]*set[ \t]+(?P<name>[a-z:_-]+)(?:/[\w.*?:-]+)?[ \t]+"""
    r"""(?P<value>"[^"\\$`\x00-\x1f]*"|'[^'\\$`\x00-\x1f]*'|[^\s\\;&|()!"'#<>$`\x00-\x1f]+)?[ \t]*"""
)

OWN_ADDRESSES: Final = ("127.0.0.1", "::1")
"""Where the lab's server listens."""

_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z])?[A-Za-z0-9_-]*\.?")
"""A host name; one of digits and dots alone, such as 10.1, may be an address to the C library."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f]")


class UnsealedPlaces:
    """Lends places on this machine's loopback, for rc files that `admitted` has let in.

    Args:
        why: Why there is no sandbox here.
    """

    def __init__(self, why: str) -> None:
        self.why = why
        self._authority: Certificate | None = None

    @contextlib.contextmanager
    def lend(self) -> Iterator[UnsealedLoopback]:
        """One; all have the same authority."""
        place = UnsealedLoopback(self._authority)
        self._authority = place.authority
        yield place


class UnsealedLoopback(Loopback):
    """This machine's loopback, with what a verification asks of a place besides.

    Attributes:
        authority: Nobody trusts it: the system's trust store cannot be replaced here.
    """

    def __init__(self, authority: Certificate | None = None) -> None:
        from ftps_harness.verify import pins

        self.authority = authority or pins.authority("Nobody's authority")
        self.names: tuple[str, ...] = ()

    def write_system_rc(self, data: bytes) -> None:
        """It is this machine's own.

        Raises:
            Unavailable: Another is wanted.
        """
        if data:
            raise Unavailable("--system-rc needs the place sealed, where lftp can read another file than its own")


def admitted(subject: Subject, why: str) -> Subject:
    """The subject as it can be read unsealed: the same lines, with paths that begin at ~ where they began at HOME.

    Args:
        subject: An rc, or a folder with one.
        why: Why there is no sandbox here.

    Raises:
        Unavailable: It is a command, or holds a line that could do more than set something harmless.
    """
    if subject.argv or subject.reads_xdg:
        what = "a command or script" if subject.argv else "an rc below ~/.config"
        raise Unavailable(f"{subject.given}: {what} is verified in the place sealed alone, and {why}")
    start = sources.start_files(subject)
    for file in start:
        for number, line, reason in _refused(file):
            where = f"{file.path}:{number}: {line.strip()[:80]!r}"
            raise Unavailable(f"{where}: {reason}; without the place sealed lftp must not read it, and {why}")
    if not any(_decides_trust(file) for file in start):
        raise Unavailable(
            f"{subject.given}: it names no pin (ssl:ca-file), so lftp trusts the system's store, which can be replaced "
            f"in the place sealed alone, and {why}"
        )
    return _moved(subject)


def require_own(host: str, why: str) -> None:
    """A name leads to the lab by a setting; an address leads lftp to whoever has it.

    Args:
        host: The server's name, as the user or the setup has it.
        why: Why there is no sandbox here.

    Raises:
        Unavailable: It is the address of another machine, or no name.
    """
    if host in OWN_ADDRESSES or (_NAME.fullmatch(host) and not is_address(host)):
        return
    raise Unavailable(
        f"{host}: lftp would go there itself; without the place sealed a server has a name (--host NAME), and {why}"
    )


def _refused(file: File) -> Iterator[tuple[int, str, str]]:
    """The lines that lftp must not read here: number, text and reason."""
    text = file.data.decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n"), 1):
        if reason := _why_refused(line):
            yield number, line, reason


def _why_refused(line: str) -> str:
    if line.rstrip().endswith("\\"):
        return "a backslash at its end swallows the next line"
    if not line.strip(" \t") or (line.lstrip(" \t").startswith("#") and not _CONTROL.search(line)):
        return ""
    match = _LINE.fullmatch(line)
    if match is None:
        return "it is not one plain `set`, so it may run something or lead elsewhere"
    name, value = match["name"].replace("_", "-"), (match["value"] or "").strip("\"'")
    if name not in ALLOWED:
        return f"{name} is not known to lead nowhere and to run nothing"
    users = value.startswith("~") and not value.startswith("~/")
    if name in _PATHS and (is_store(value) or users):
        return "the system's trust store and other users' files can be replaced in the place sealed alone"
    return ""


def _decides_trust(file: File) -> bool:
    return re.search(rb"(?m)^[ \t]*set[ \t]+ssl:(ca-file|verify-certificate)\b", file.data) is not None


def _moved(subject: Subject) -> Subject:
    """Files that lie elsewhere than in HOME are put into it."""
    names = {name for name in (".lftprc", subject.rc) if name in subject.files}
    files = dict(subject.files)
    for name in names:
        assert name is not None
        file = files[name]
        lines = file.data.decode("utf-8", "surrogateescape").split("\n")
        data = "\n".join(_moved_line(line, subject.real_home, files) for line in lines)
        files[name] = replace(file, data=data.encode("utf-8", "surrogateescape"))
    return replace(subject, files=files, may_be_script=False)


def _moved_line(line: str, home: Path, files: dict[str, File]) -> str:
    match = _LINE.fullmatch(line)
    if match is None or match["name"].replace("_", "-") not in _PATHS or not match["value"]:
        return line
    value = match["value"].strip("\"'")
    path = Path(os.path.normpath(value))
    if not path.is_absolute():
        return line
    if not path.is_relative_to(home):
        name = f".lftp/outside-{len(files)}"
        if (file := read_outside(path)) is None:
            return line
        files[name] = file
    else:
        name = str(path.relative_to(home))
    return f'{line[: match.start("value")]}"~/{name}"'
