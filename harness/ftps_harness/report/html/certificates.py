"""The certificates of one run, field by field: the genuine one next to the one that was shown. Pure.

Faults are derived from the certificates, the host that the user typed and the date by the client's clock, never from a
scenario's expectation.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from ftps_lab.wire.tls import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.recording import Recording
    from ftps_lab.certificates import Certificate

_NONE: Final = "none"
_USAGES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "server",
    ExtendedKeyUsageOID.CLIENT_AUTH: "client",
    ExtendedKeyUsageOID.CODE_SIGNING: "code signing",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "email",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
}
_FOR_SERVERS: Final = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_DATE: Final = "%Y-%m-%d %H:%M:%S UTC"


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field.

    Attributes:
        genuine: Its value in the genuine certificate; empty if there is none to compare with.
        shown: Its value in the certificate that was shown.
        differs: The two values differ.
        wrong: Why a client that knows the genuine certificate, the host and the date should refuse it; else empty.
    """

    name: str
    genuine: str
    shown: str
    differs: bool
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A certificate that was shown, compared with the genuine one.

    Attributes:
        title: Where it was shown.
        same: It is the genuine one, so one column is enough.
    """

    title: str
    rows: tuple[FieldRow, ...]
    same: bool
    compared: bool

    @property
    def wrong(self) -> tuple[str, ...]:
        """Its faults, a phrase each."""
        return tuple(row.wrong for row in self.rows if row.wrong)


def comparisons(run: Attempt | Recording, genuine: Certificate | None) -> tuple[Comparison, ...]:
    """Compare each distinct certificate that clients were shown in a run, in order.

    Args:
        run: The run; its handshakes tell which certificates were shown.
        genuine: The genuine server's certificate; None if the lab does not know it.
    """
    spec, original = run.spec, None if genuine is None else genuine.x509
    declared = {certificate.sha256: certificate for certificate in spec.sent} if spec is not None else {}
    kinds = {connection.number: connection.kind for connection in run.testimony.connections}
    where: dict[str, dict[str, None]] = {}
    for handshake in run.testimony.handshakes:
        seen = handshake.completed or handshake.certificate in run.exposure.leaves
        if seen and handshake.certificate in declared:
            kind = kinds.get(handshake.connection, "control")
            where.setdefault(handshake.certificate, {})[f"{kind} connections"] = None
    return tuple(
        compare(declared[shown].x509, original, run.host, run.date, " and ".join(places))
        for shown, places in where.items()
    )


def compare(
    shown: x509.Certificate,
    genuine: x509.Certificate | None,
    host: str = "",
    date: datetime | None = None,
    where: str = "the connection",
) -> Comparison:
    """Compare a certificate that was shown with the genuine one.

    Args:
        shown: The certificate that was shown.
        genuine: The genuine certificate; None if unknown.
        host: The host that the user typed; empty if unknown, so that no name is wrong.
        date: The date by the client's clock; None if unknown.
        where: Where it was shown, for the title.
    """
    same = genuine is None or shown == genuine
    faults = dict(_faults(shown, genuine, host, date))
    rows = []
    for name, read in _FIELDS.items():
        value, other = _read(read, shown), "" if genuine is None else _read(read, genuine)
        differs = genuine is not None and value != other
        rows.append(FieldRow(name, other, value, differs, faults.get(name, "")))
    return Comparison(f"The certificate shown on {where}", tuple(rows), same, genuine is not None)


def _faults(
    shown: x509.Certificate, genuine: x509.Certificate | None, host: str, date: datetime | None
) -> Iterator[tuple[str, str]]:
    """The faulty fields, and why."""
    if host and not _names(shown, host):
        yield "Names (SAN)", f"does not name {host}"
    if date is not None and date > shown.not_valid_after_utc:
        yield "Valid until", f"expired: the client's date was {date:{_DATE}}"
    if date is not None and date < shown.not_valid_before_utc:
        yield "Valid from", f"not yet valid: the client's date was {date:{_DATE}}"
    usages = _extension(shown, x509.ExtendedKeyUsage)
    if usages is not None and not _FOR_SERVERS & {*usages}:
        yield "Extended key usage", "not for servers"
    if genuine is not None and _public(shown) != _public(genuine):
        yield "Public key, SHA-256", "not the genuine key"


def _names(certificate: x509.Certificate, host: str) -> bool:
    """Whether it is valid for this host (RFC 6125 section 6.4): by address, or by name, where ``*`` is one label."""
    alternative = _extension(certificate, x509.SubjectAlternativeName)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        wanted = host.rstrip(".").lower()
        if alternative is not None and (names := alternative.get_values_for_type(x509.DNSName)):
            return any(_matches(name.lower(), wanted) for name in names)
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return any(_matches(str(each.value).lower(), wanted) for each in common)
    return alternative is not None and address in alternative.get_values_for_type(x509.IPAddress)


def _matches(name: str, wanted: str) -> bool:
    if name.startswith("*."):
        return wanted.partition(".")[2] == name[2:]
    return name.rstrip(".") == wanted


Extension = TypeVar("Extension", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _read(read: Callable[[x509.Certificate], str], certificate: x509.Certificate) -> str:
    """A field as text; a certificate with one malformed field still shows the others."""
    try:
        return read(certificate)
    except ValueError as error:
        return f"cannot be read: {error}"


def _colons(data: bytes) -> str:
    return data.hex(":").upper()


def _san(certificate: x509.Certificate) -> str:
    names = _extension(certificate, x509.SubjectAlternativeName)
    return ", ".join(map(_general_name, names)) if names is not None else _NONE


def _general_name(name: x509.GeneralName) -> str:
    kinds: dict[type, str] = {x509.DNSName: "DNS", x509.IPAddress: "IP", x509.RFC822Name: "email"}
    return f"{kinds.get(type(name), 'other')} {name.value}"


def _key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC, {key.curve.name}"
    return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else type(key).__name__


def _ski(certificate: x509.Certificate) -> str:
    value = _extension(certificate, x509.SubjectKeyIdentifier)
    return _colons(value.digest) if value is not None else _NONE


def _aki(certificate: x509.Certificate) -> str:
    value = _extension(certificate, x509.AuthorityKeyIdentifier)
    return _colons(value.key_identifier) if value is not None and value.key_identifier is not None else _NONE


def _constraints(certificate: x509.Certificate) -> str:
    value = _extension(certificate, x509.BasicConstraints)
    if value is None:
        return _NONE
    limit = "" if value.path_length is None else f", path length {value.path_length}"
    return f"{'authority (CA)' if value.ca else 'no authority'}{limit}"


def _extended(certificate: x509.Certificate) -> str:
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    return ", ".join(_USAGES.get(each, each.dotted_string) for each in usages) if usages is not None else _NONE


_FIELDS: Final[dict[str, Callable[[x509.Certificate], str]]] = {
    "Subject": lambda each: each.subject.rfc4514_string() or _NONE,
    "Names (SAN)": _san,
    "Issuer": lambda each: each.issuer.rfc4514_string() or _NONE,
    "Serial number": lambda each: f"{each.serial_number:X}",
    "Valid from": lambda each: f"{each.not_valid_before_utc:{_DATE}}",
    "Valid until": lambda each: f"{each.not_valid_after_utc:{_DATE}}",
    "Public key": _key,
    "Public key, SHA-256": lambda each: fingerprint(_public(each)),
    "Key identifier (SKI)": _ski,
    "Issuer's key (AKI)": _aki,
    "Basic constraints": _constraints,
    "Extended key usage": _extended,
    "Fingerprint, SHA-256": lambda each: fingerprint(each.public_bytes(Encoding.DER)),
}
"""Field → the function that reads it, in display order."""
