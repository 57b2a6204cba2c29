"""Certificates and fingerprints in a setup, and the lab's replacements for them.

The lab does not have the real server's key. It therefore replaces each certificate in the copy of a setup with its
twin (every field the same, but a new key, which the lab has), and each fingerprint with that of a lab certificate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ftps_lab.certificates import CertificateSpec, doubles, issue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ftps_lab.certificates import Certificate

_PEM: Final = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----.*?-----END (?:X509 |TRUSTED )?CERTIFICATE-----", re.DOTALL
)
"""A certificate in a file (RFC 7468 section 5)."""

_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")

_FINGERPRINT: Final = re.compile(rb"(?<![0-9A-Fa-f:])[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){19}(?![0-9A-Fa-f:])")
"""SHA-1, as lftp prints it and accepts it as a closure of ``ssl:verify-certificate``."""


@dataclass(frozen=True, slots=True)
class PinFile:
    """A file of the setup that holds certificates.

    Attributes:
        path: Where the user has it.
        certificates: Its certificates, in order.
        private_key: It also holds a private key.
        problem: Why lftp cannot use all or part of it; empty if it can use everything.
    """

    path: str
    certificates: tuple[x509.Certificate, ...]
    private_key: bool = False
    problem: str = ""


def read(path: str, data: bytes) -> PinFile:
    """Parse a file that should hold certificates."""
    found: list[x509.Certificate] = []
    problem = ""
    for block in _PEM.findall(data):
        try:
            found.append(x509.load_pem_x509_certificate(block))
        except ValueError as error:
            problem = f"a certificate in the file cannot be read: {error}"
    if not found and not problem:
        problem = _why_none(data)
    return PinFile(path, tuple(found), _PRIVATE_KEY.search(data) is not None, problem)


def _why_none(data: bytes) -> str:
    if not data.strip():
        return "the file is empty"
    try:
        x509.load_der_x509_certificate(data)
    except ValueError:
        return "the file contains no certificate"
    return "the file is DER, but lftp reads only PEM"


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate may sign others (basicConstraints, RFC 5280 section 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that a certificate is for: its SAN, or else its common name (RFC 6125 section 6.4)."""
    if names := names_of_san(certificate):
        return names
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return tuple(str(each.value) for each in found)


def is_for(certificate: x509.Certificate, host: str) -> bool:
    """Whether one of a certificate's names is the host, or a wildcard for it."""
    host = host.rstrip(".").lower()
    parent = host.partition(".")[2]
    return any(name.lower() in {host, f"*.{parent}" if parent else host} for name in names_of(certificate))


def is_own(certificate: x509.Certificate, host: str) -> bool:
    """Whether a certificate is a server's own, even if it may sign others, as those of `openssl req -x509` may."""
    return bool(names_of_san(certificate)) or not is_authority(certificate) or is_for(certificate, host)


def sha1_of(certificate: Certificate) -> bytes:
    """The fingerprint as lftp writes it."""
    return certificate.sha1.encode("ascii")


@dataclass(slots=True)
class Replacements:
    """The lab's certificates and fingerprints that replace the user's in a copy of a setup.

    Args:
        originals: Every certificate that the setup holds.

    Attributes:
        twins: The lab's twin of each original, by the original's DER.
        pinned: The user's fingerprint in upper case → the lab's certificate whose fingerprint replaces it;
            `in_text` fills it.
    """

    originals: Sequence[x509.Certificate]
    twins: Mapping[bytes, Certificate] = field(init=False)
    pinned: dict[bytes, Certificate] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        made = doubles(self.originals)
        self.twins = {der(original): twin for original, twin in zip(self.originals, made, strict=True)}

    def in_certificates(self, data: bytes) -> bytes:
        """Replace each certificate in a file with its twin; everything else stays."""
        if not _PEM.search(data):
            try:
                return self._twin(x509.load_der_x509_certificate(data), Encoding.DER) or data
            except ValueError:
                return data
        return _PEM.sub(self._replaced_pem, data)

    def in_text(self, data: bytes, new: Callable[[], Certificate]) -> bytes:
        """Replace each fingerprint in a text, keeping upper or lower case, which lftp distinguishes.

        Args:
            data: The text.
            new: Makes a certificate for a fingerprint that matches none of the setup's certificates.
        """
        return _FINGERPRINT.sub(lambda match: self._replaced_fingerprint(match[0], new), data)

    def _replaced_pem(self, match: re.Match[bytes]) -> bytes:
        try:
            original = x509.load_pem_x509_certificate(match[0])
        except ValueError:
            return match[0]
        return (self._twin(original, Encoding.PEM) or match[0]).strip()

    def _twin(self, original: x509.Certificate, encoding: Encoding) -> bytes | None:
        twin = self.twins.get(der(original))
        return None if twin is None else twin.x509.public_bytes(encoding)

    def _replaced_fingerprint(self, text: bytes, new: Callable[[], Certificate]) -> bytes:
        known = text.upper()
        if known not in self.pinned:
            self.pinned[known] = self._whose(known) or new()
        made = sha1_of(self.pinned[known])
        return made.lower() if text == text.lower() and text != known else made

    def _whose(self, fingerprint: bytes) -> Certificate | None:
        for original in self.originals:
            if original.fingerprint(hashes.SHA1()).hex(":").upper().encode() == fingerprint:  # noqa: S303 - lftp's
                return self.twins[der(original)]
        return None


def der(certificate: x509.Certificate) -> bytes:
    """A certificate's DER, which identifies it."""
    return certificate.public_bytes(Encoding.DER)


def self_signed(host: str, *, not_before: str = "-1d", not_after: str = "+365d") -> Certificate:
    """A self-signed certificate for a host, as `openssl req -x509` makes it."""
    names = (host.rstrip("."),)
    spec = CertificateSpec(common_name=_common_name(host), names=names, not_before=not_before, not_after=not_after)
    return issue({"own": spec})["own"]


def issued(by: Certificate, host: str, *, not_after: str = "+365d") -> Certificate:
    """A leaf for a host, signed by an authority whose key the lab has.

    Args:
        by: The authority.
        host: A name or an address.
        not_after: As in `CertificateSpec`.
    """
    name = host.rstrip(".")
    leaf = CertificateSpec(
        issuer="authority", common_name=_common_name(host), names=(name,), not_before="-30d", not_after=not_after
    )
    specs = {"authority": CertificateSpec(common_name="an authority", names=(), ca=True), "leaf": leaf}
    return issue(specs, given={"authority": by})["leaf"]


def authority(name: str) -> Certificate:
    """A new authority."""
    return issue({"authority": CertificateSpec(common_name=name, names=(), ca=True)})["authority"]


def _common_name(host: str) -> str:
    return host if len(host) <= 64 else ""


def names_of_san(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names of the SAN alone."""
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return (*san.get_values_for_type(x509.DNSName), *map(str, san.get_values_for_type(x509.IPAddress)))
