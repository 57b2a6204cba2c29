"""An issued certificate with its key and its issuers, in memory only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ftps_lab.errors import LabError

if TYPE_CHECKING:
    import trustme

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Certificate:
    """An issued certificate.

    Each access encodes anew: 5 µs, not worth a cache.

    Attributes:
        name: Its name in the scenario.
        x509: The signed certificate.
        key: Its private key.
        issuer: The certificate whose key signed it; None if it is self-signed (or came from elsewhere).
    """

    name: str
    x509: x509.Certificate
    key: PrivateKey = field(repr=False)
    issuer: Certificate | None = None

    @property
    def pem(self) -> bytes:
        """The certificate as PEM (RFC 7468 section 5), ending in a newline."""
        return self.x509.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate as DER."""
        return self.x509.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The private key as PEM, PKCS #8, not encrypted (RFC 7468 section 10)."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def sha1(self) -> str:
        """The SHA-1 fingerprint, upper case with colons, as lftp prints it."""
        return self.x509.fingerprint(hashes.SHA1()).hex(":").upper()  # noqa: S303 - lftp names certificates by it

    @property
    def sha256(self) -> str:
        """The SHA-256 fingerprint, upper case with colons."""
        return self.x509.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def issuers(self) -> tuple[Certificate, ...]:
        """All its issuers, from the nearest to the root."""
        above: list[Certificate] = []
        at = self.issuer
        while at is not None:
            above.append(at)
            at = at.issuer
        return tuple(above)

    @property
    def signed_itself(self) -> bool:
        """Whether it is self-signed: it has no other issuer, and names none."""
        return self.issuer is None and self.x509.issuer == self.x509.subject

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """What a server sends after it: its issuers except the root (RFC 8446 section 4.4.2 allows omitting it)."""
        return tuple(issuer for issuer in self.issuers if not issuer.signed_itself)


def from_trustme(leaf: trustme.LeafCert, name: str = "trustme", authority: trustme.CA | None = None) -> Certificate:
    """A leaf issued by trustme, for the lab's servers; `Certificate.chain` is sent after it.

    Args:
        leaf: The result of `trustme.CA.issue_cert`.
        name: Its name here.
        authority: The `trustme.CA` that issued it. Needed only if that is a child of another CA: a LeafCert has its
            chain without keys, and every certificate here has a key.

    Raises:
        LabError: The leaf has a chain and `authority` is missing or a different CA, or the kind of key is unknown.
    """
    if authority is None and len(leaf.cert_chain_pems) > 1:
        raise LabError(
            f"the trustme leaf {name!r} was issued by a child authority: "
            f"from_trustme(leaf, {name!r}, authority=…) needs that trustme.CA to send the chain"
        )
    issuer = None if authority is None else _of_trustme_authority(authority, f"{name}-issuer")
    certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    if issuer is not None:
        try:
            certificate.verify_directly_issued_by(issuer.x509)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise LabError(f"the trustme leaf {name!r} was not issued by the given authority") from error
    return Certificate(name, certificate, _load_key(leaf.private_key_pem.bytes(), name), issuer)


def _of_trustme_authority(authority: trustme.CA, name: str) -> Certificate:
    parent = authority.parent_cert
    return Certificate(
        name,
        x509.load_pem_x509_certificate(authority.cert_pem.bytes()),
        _load_key(authority.private_key_pem.bytes(), name),
        None if parent is None else _of_trustme_authority(parent, f"{name}-issuer"),
    )


def _load_key(pem: bytes, name: str) -> PrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, PrivateKey):
        raise LabError(f"the key of {name!r} is a {type(key).__name__}: use one of EC, RSA or Ed25519")
    return key
