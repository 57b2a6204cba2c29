"""Facts about a certificate: fingerprints, dates, names, and whether lftp can accept it."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from ftps_harness.pinning.tool.target import Target


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that are stored and shown about a certificate.

    Attributes:
        sha256: Its fingerprint, upper case with colons.
        sha1: The SHA-1 fingerprint, by which lftp names certificates.
        key: The SHA-256 of its public key (SubjectPublicKeyInfo), in hex.
        until: The end of its validity.
    """

    sha256: str
    sha1: str
    key: str
    until: datetime

    @property
    def days_left(self) -> int:
        """Whole days until it expires; negative once it has."""
        return (self.until - datetime.now(UTC)).days

    @property
    def expired(self) -> bool:
        """Whether its validity has ended."""
        return self.until < datetime.now(UTC)


def facts(certificate: x509.Certificate) -> Facts:
    """The facts that are stored and shown about a certificate."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Facts(
        certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        certificate.fingerprint(hashes.SHA1()).hex(":").upper(),  # noqa: S303 - lftp names certificates by it
        hashlib.sha256(spki).hexdigest(),
        certificate.not_valid_after_utc,
    )


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM for a file; only base64 of what the server sent."""
    return certificate.public_bytes(Encoding.PEM)


def refusals(certificate: x509.Certificate, target: Target) -> list[str]:
    """Why lftp refuses the certificate even if it is in the ca-file, a sentence each."""
    now = datetime.now(UTC)
    found = []
    if now > certificate.not_valid_after_utc:
        found.append(f"it expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if now < certificate.not_valid_before_utc:
        found.append(f"it is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    names = _names_in(certificate) if target.is_address else names_of(certificate)
    if not any(_names(name, target) for name in names):
        listed = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        what = "it contains no address" if target.is_address else "it contains no name"
        found.append(f"it is not for {target.host}" + (f" but for {harmless(listed)}" if listed else f": {what}"))
    return found


def names_of(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that a certificate is for; its common name if it has none (RFC 6125 section 6.4.4).

    An address counts only in the SAN (lftp 4.9.2).
    """
    return _names_in(certificate) or [
        str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ]


def _names_in(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def may_not_sign(certificate: x509.Certificate) -> bool:
    """Whether its keyUsage lacks digitalSignature, which TLS 1.3 and every key exchange with (EC)DHE need."""
    try:
        return not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return False


def require_readable(certificate: x509.Certificate) -> None:
    """Parse every part of a certificate that later code reads.

    Raises:
        ValueError: A part is malformed or unknown.
    """
    try:
        facts(certificate)
        names_of(certificate)
        is_authority(certificate)
        may_not_sign(certificate)
        certificate.issuer.rfc4514_string()
    except (UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, TypeError) as error:
        raise ValueError(str(error)) from error


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether lftp would also trust other certificates that it signs."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether it is its own issuer."""
    return certificate.issuer == certificate.subject


def _names(name: str, target: Target) -> bool:
    """Whether a certificate's name matches the host; `*` stands for the whole first label (RFC 6125 section 6.4.3)."""
    if target.is_address:
        try:
            return ipaddress.ip_address(name) == ipaddress.ip_address(target.host)
        except ValueError:
            return False
    lower = name.lower()
    if lower == target.host:
        return True
    first, _, rest = target.host.partition(".")
    return lower.startswith("*.") and bool(first) and "." in rest and lower[2:] == rest
