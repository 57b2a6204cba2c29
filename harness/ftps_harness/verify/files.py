"""Findings from the files of a setup alone: permissions, dates, keys, damaged lines, commands."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ftps_harness.client.lftp import syntax
from ftps_harness.report.plain import plural
from ftps_harness.verify import pins
from ftps_harness.verify.findings import Where, finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography import x509

    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.pins import PinFile
    from ftps_harness.verify.subject import File

_WEAK_RSA: Final = 2048
"""In bits: GnuTLS and OpenSSL builds refuse smaller keys at their default security levels."""

_DAMAGES: Final = (
    (b"\xef\xbb\xbf", "a byte-order mark: lftp ignores the first setting"),
    (b"\xff\xfe", "a UTF-16 byte-order mark: lftp reads nothing of the file"),
    (b"\xfe\xff", "a UTF-16 byte-order mark: lftp reads nothing of the file"),
)
"""Bytes at the beginning of a file, and how lftp reads such a file (docs/lftp.md, "The rc")."""

_TYPOGRAPHIC: Final = re.compile("[\u201c\u201d\u201e\u2018\u2019\u00a0]")
"""Typographic quotes and a no-break space: lftp treats them as ordinary characters."""

_COMMANDS: Final = frozenset({"!", "shell", "local", "module"})


def of_rc(file: File) -> Iterator[Finding]:
    """Findings from an rc file."""
    yield from writable("rc-permissions", file)
    yield from _complaints(file)
    yield from _commands(file)


def of_pin(file: File, pin: PinFile, now: datetime, warn_days: int) -> Iterator[Finding]:
    """Findings from a pin file.

    Args:
        file: The file.
        pin: Its parsed content.
        now: The current time, with a time zone.
        warn_days: A certificate counts as expiring this many days before it expires.
    """
    yield from writable("pin-permissions", file)
    if pin.private_key:
        yield finding("pin-private-key", f"The file is {file.path}.")
    for certificate in pin.certificates:
        yield from _certificate(file.path, certificate, now, warn_days)


def of_bundle(file: File, pin: PinFile, host: str) -> Iterator[Finding]:
    """Report a pin file that holds more than one leaf certificate of the server."""
    own = {pins.der(c): c for c in pin.certificates if pins.is_own(c, host) and pins.is_for(c, host)}
    if len(own) > 1:
        oldest = min(own.values(), key=lambda c: c.not_valid_before_utc)
        begin, end = oldest.not_valid_before_utc, oldest.not_valid_after_utc
        when = f"the oldest is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}"
        yield finding("old-certificate-trusted", f"{file.path} contains {len(own)} certificates for {host}; {when}.")


def _certificate(path: Path, certificate: x509.Certificate, now: datetime, warn_days: int) -> Iterator[Finding]:
    end = certificate.not_valid_after_utc
    if end < now:
        yield finding("pin-expired", f"{path}: expired on {end:%Y-%m-%d}.")
    elif end < now + timedelta(days=warn_days):
        days = (end - now).days
        yield finding("pin-expires", f"{path}: expires on {end:%Y-%m-%d}, in {plural(days, 'day')}.")
    if why := _weak(certificate):
        yield finding("pin-weak", f"{path}: {why}.")


def _weak(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _WEAK_RSA:
        return f"an RSA key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < 224:
        return f"an EC key of {key.curve.key_size} bits"
    digest = certificate.signature_hash_algorithm
    if isinstance(digest, (hashes.MD5, hashes.SHA1)):
        return f"signed with {digest.name.upper()}"
    return ""


def writable(kind: str, file: File) -> Iterator[Finding]:
    """Report as `kind` a file that another user can change, or replace through its folder or a parent folder."""
    try:
        own: os.stat_result | None = file.path.stat()
    except OSError:
        own = None
    if file.mode & 0o022 and (own is None or _others_write(own)):
        yield finding(kind, f"{file.path} has mode {file.mode:04o}.")
        return
    # The owner of / can replace everything: root, which a user namespace may show as another number.
    trusted = {0, Path("/").stat().st_uid, os.getuid(), file.owner}
    for folder in file.path.resolve().parents:
        try:
            above = folder.stat()
        except OSError:
            continue
        if _others_write(above) and not above.st_mode & stat.S_ISVTX:
            yield finding(
                kind, f"{folder}, a folder above {file.path.name}, has mode {stat.S_IMODE(above.st_mode):04o}."
            )
            return
        if above.st_uid not in trusted:
            yield finding(kind, f"{folder}, a folder above {file.path.name}, belongs to another user.")
            return


def _others_write(own: os.stat_result) -> bool:
    """Whether users other than the owner may write; the owner's private group, as on Debian, does not count."""
    if own.st_mode & stat.S_IWOTH:
        return True
    if not own.st_mode & stat.S_IWGRP:
        return False
    try:
        owner, group = pwd.getpwuid(own.st_uid).pw_name, grp.getgrgid(own.st_gid)
    except KeyError:
        return True
    return group.gr_name != owner or not {owner}.issuperset(group.gr_mem)


def _complaints(file: File) -> Iterator[Finding]:
    """Report lines that do not mean what they seem to; for most of them lftp prints nothing."""
    data = file.data
    for begin, what in _DAMAGES:
        if data.startswith(begin):
            yield finding("rc-complaint", f"The file begins with {what}.", where=_line(file, 1))
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        number = data[: data.index(b"\0")].count(b"\n") + 1
        yield finding(
            "rc-complaint", "The file has a NUL byte: lftp loses everything after it.", where=_line(file, number)
        )
    if re.search(rb"\r(?!\n)", data):
        number = data[: re.search(rb"\r(?!\n)", data).start()].count(b"\n") + 1  # type: ignore[union-attr]
        yield finding(
            "rc-complaint", "For lftp, a carriage return alone does not end a line.", where=_line(file, number)
        )
    for number, line in enumerate(_lines(file), 1):
        if why := next(filter(None, (_misread(command.text) for command in syntax.commands(line))), ""):
            yield finding("rc-complaint", why, where=Where(str(file.path), number, line))


def _misread(text: str) -> str:
    if _TYPOGRAPHIC.search(text):
        return "The line has a typographic quote or a no-break space, which lftp treats as an ordinary character."
    if (text.count('"') - text.count('\\"')) % 2 and "'" not in text:
        return "A quote is not closed; lftp closes it at the end of the line."
    words = syntax.words(text)
    if words[:1] == ["set"] and len(words) > 3:
        return f"lftp ignores the words after the value: {' '.join(words[3:])[:60]!r}. A semicolon may be missing."
    if words[:1] == ["set"] and words[2:3] == ["="]:
        return 'lftp takes "=" as the value: put a space, not "=", between name and value.'
    return ""


def _commands(file: File) -> Iterator[Finding]:
    for number, line in enumerate(_lines(file), 1):
        for command in syntax.commands(line):
            words = syntax.words(command.text)
            named = {syntax.full_name(each) for each in words[:1]}
            if command.shell or "|" in words or named & _COMMANDS or (named == {"source"} and "-e" in words):
                yield finding("runs-commands", where=Where(str(file.path), number, line))
                break


def _lines(file: File) -> list[str]:
    return file.data.decode("utf-8", "replace").splitlines() if b"\0" not in file.data[:4096] else []


def _line(file: File, number: int) -> Where:
    lines = file.data.decode("utf-8", "replace").splitlines()
    return Where(str(file.path), number, lines[number - 1] if number <= len(lines) else "")


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def of_pins(files: Iterable[tuple[File, PinFile]], warn_days: int) -> Iterator[Finding]:
    """Findings from all pin files."""
    at = now()
    for file, pin in files:
        yield from of_pin(file, pin, at, warn_days)


def why_refused(pinned: Iterable[tuple[File, PinFile]], host: str) -> str:
    """Why the pin files can make lftp refuse their own server, one sentence per reason; empty if there is no reason."""
    return " ".join(why for file, pin in pinned if (why := _why_useless(file.path, pin, host)))


def _why_useless(path: Path, pin: PinFile, host: str) -> str:
    if not pin.certificates:
        return f"{path}: {pin.problem}."
    if all(each.not_valid_after_utc < now() for each in pin.certificates):
        return f"{path}: the certificate has expired."
    leaves = [each for each in pin.certificates if pins.names_of(each) and not pins.is_authority(each)]
    leaves += [each for each in pin.certificates if pins.is_authority(each) and pins.names_of_san(each)]
    if leaves and not any(pins.is_for(each, host) for each in leaves):
        names = ", ".join(name for each in leaves for name in pins.names_of(each))
        return f"{path}: the certificate is for {names}, not for {host}."
    return ""
