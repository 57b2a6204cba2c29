"""Verifies an rc where the kernel permits no sandbox: on this machine's loopback, and only if the rc is harmless.

lftp executes what it reads, and here nothing isolates it from other machines, programs or files. So it runs only an rc
in which every line is known to be harmless: a blank line, a comment, or one `set` of a harmless setting, with its full
name, as lftp itself prints it, and a value in plain characters. Everything else is refused with a message before lftp
reads any of it.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.play.places.leads import is_address
from ftps_harness.play.places.loopback import Loopback, why_unguarded
from ftps_harness.play.places.sealed import is_store
from ftps_harness.sandbox.sandbox import Unavailable
from ftps_harness.verify import sources
from ftps_harness.verify.subject import File, read_outside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.verify.subject import Subject
    from ftps_lab.certificates import Certificate


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
"""Settings that redirect nothing, run nothing and write nothing (lftp 4.9.2, its manual). A name must be complete: lftp
accepts abbreviations, and `ftp:pro` is ftp:proxy."""

_LINE: Final = re.compile(
    r"""[ \t]*set[ \t]+(?P<name>[a-z:_-]+)(?:/[\w.*?:-]+)?[ \t]+"""
    r"""(?P<value>"[^"\\$`\x00-\x1f]*"|'[^'\\$`\x00-\x1f]*'|[^\s\\;&|()!"'#<>$`\x00-\x1f]+)?[ \t]*"""
)

OWN_ADDRESSES: Final = ("127.0.0.1", "::1")
"""The address on which the lab's server listens."""

_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z])?[A-Za-z0-9_-]*\.?")
"""A host name; the C library may read a name of only digits and dots, such as 10.1, as an address."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f]")


def unseen() -> str:
    """The note for readers of a report."""
    others = "connections to other hosts were not watched"
    if not why_unguarded():
        others = "connections to other machines were refused and those to other servers on this machine not watched"
    return (
        "the kernel does not permit a sandbox here, so dns:name led lftp to the lab on a port other than the real one, "
        f"{others}, and the system's trust store was this machine's own"
    )


class UnsealedPlaces:
    """Lends places on this machine's loopback, for rc files that `admitted` has accepted.

    Args:
        why: Why no sandbox is available.
    """

    name = Loopback.name

    def __init__(self, why: str) -> None:
        self.why = why
        self._authority: Certificate | None = None

    @contextlib.contextmanager
    def lend(self) -> Iterator[UnsealedLoopback]:
        """Lend one place; all places have the same authority."""
        place = UnsealedLoopback(self._authority)
        self._authority = place.authority
        yield place


class UnsealedLoopback(Loopback):
    """This machine's loopback, with the additional interface that a verification needs.

    Attributes:
        authority: Nothing trusts it: the system's trust store cannot be replaced here.
    """

    def __init__(self, authority: Certificate | None = None) -> None:
        from ftps_harness.verify import pins

        super().__init__()
        self.authority = authority or pins.authority("Untrusted authority")
        self.names: tuple[str, ...] = ()

    def write_system_rc(self, data: bytes) -> None:
        """Refuse any other system rc: here lftp reads this machine's own.

        Raises:
            Unavailable: Another system rc is required.
        """
        if data:
            raise Unavailable(
                "--system-rc needs the sealed place: only there can lftp read another file instead of this machine's "
                "own"
            )


def admitted(subject: Subject, why: str) -> Subject:
    """The subject in a form that lftp can read unsealed: the same lines, with ~ for HOME at the beginning of paths.

    Args:
        subject: An rc, or a folder with one.
        why: Why no sandbox is available.

    Raises:
        Unavailable: It is a command, or has a line that could do more than set a harmless setting.
    """
    if subject.argv or subject.reads_xdg:
        what = "a command or script" if subject.argv else "an rc below ~/.config"
        raise Unavailable(f"{subject.given}: verifying {what} needs the sealed place, but {why}")
    start = sources.start_files(subject)
    for file in start:
        for number, line, reason in _refused(file):
            where = f"{file.path}:{number}: {line.strip()[:80]!r}"
            raise Unavailable(f"{where}: {reason}; lftp may read it only in the sealed place, but {why}")
    if not any(_decides_trust(file) for file in start):
        raise Unavailable(
            f"{subject.given}: the rc names no pin (ssl:ca-file), so lftp uses the system's trust store, which can "
            f"be replaced only in the sealed place, but {why}"
        )
    return _moved(subject)


def require_own(host: str, why: str) -> None:
    """Require a host that cannot lead lftp out of the lab: a name, which a setting redirects, or a loopback address.

    Args:
        host: The server's name, as the user or the setup gives it.
        why: Why no sandbox is available.

    Raises:
        Unavailable: It is the address of another machine, or not a valid name.
    """
    if host in OWN_ADDRESSES or (_NAME.fullmatch(host) and not is_address(host)):
        return
    raise Unavailable(
        f"{host}: lftp would connect to this address itself; give a host name (--host NAME). Without one this needs "
        f"the sealed place, but {why}"
    )


def _refused(file: File) -> Iterator[tuple[int, str, str]]:
    """Yield the lines that lftp must not read here: number, text and reason."""
    text = file.data.decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n"), 1):
        if reason := _why_refused(line):
            yield number, line, reason


def _why_refused(line: str) -> str:
    if line.rstrip().endswith("\\"):
        return "a backslash at the end of the line joins the next line to it"
    if not line.strip(" \t") or (line.lstrip(" \t").startswith("#") and not _CONTROL.search(line)):
        return ""
    match = _LINE.fullmatch(line)
    if match is None:
        return "the line is not a single plain `set`, so it may run a program or connect elsewhere"
    name, value = match["name"].replace("_", "-"), (match["value"] or "").strip("\"'")
    if name not in ALLOWED:
        return f"{name} is not one of the settings that are known to be harmless"
    users = value.startswith("~") and not value.startswith("~/")
    if name in _PATHS and (is_store(value) or users):
        return "the system's trust store and other users' files can be replaced only in the sealed place"
    return ""


def _decides_trust(file: File) -> bool:
    return re.search(rb"(?m)^[ \t]*set[ \t]+ssl:(ca-file|verify-certificate)\b", file.data) is not None


def _moved(subject: Subject) -> Subject:
    """Move files from outside HOME into it."""
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
