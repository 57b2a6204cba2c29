"""An impostor's copies of certificates: the content is the same byte for byte, but the impostor has the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ftps_lab.certificates.certificate import Certificate
from ftps_lab.certificates.signing import sign_like
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from ftps_lab.certificates.certificate import PrivateKey

# Prefixes of the algorithm identifiers of RFC 8017 appendix C and RFC 5758: pkcs-1 and ansi-X9-62 signatures.
_SIGNED_BY_RSA: Final = "1.2.840.113549.1.1."
_SIGNED_BY_ECDSA: Final = "1.2.840.10045.4."


def twins(certificates: Mapping[str, Certificate]) -> dict[str, Certificate]:
    """Twins of certificates and of all their issuers: every field the same byte for byte, all keys new.

    Only the public key and the signature differ: serial number, dates and key identifiers are the original's. Within
    one call the twins belong together: a leaf's twin is signed by the twin of its issuer, and certificates that shared
    a key share the new one.

    Args:
        certificates: By name; issuers may be missing.

    Returns:
        Their twins, by the same names.

    Raises:
        LabError: A certificate from elsewhere encodes its public key in an unusual way.
    """
    impostor = _Impostor()
    return {name: impostor.twin(certificate) for name, certificate in certificates.items()}


def doubles(originals: Sequence[x509.Certificate]) -> list[Certificate]:
    """Twins of certificates from elsewhere, whose keys the lab does not have; it serves the twins instead.

    If one of these certificates signed another one, so did their twins.

    Args:
        originals: Any certificates; a repeated one has one twin.

    Returns:
        Their twins, in the same order.

    Raises:
        LabError: The kind of a public key is unknown (not RSA, EC or Ed25519), or its encoding is unusual.
    """
    impostor = _Impostor()
    return [impostor.double(original, originals, ()) for original in originals]


def _signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    if issuer == certificate or issuer.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


class _Impostor:
    """Caches its results, so that each original has one twin and each key one replacement."""

    def __init__(self) -> None:
        self._keys: dict[bytes, PrivateKey] = {}
        self._twins: dict[x509.Certificate, Certificate] = {}
        self._strangers: dict[x509.Name, PrivateKey] = {}

    def twin(self, certificate: Certificate) -> Certificate:
        above: Certificate | None = None
        for original in (*reversed(certificate.issuers), certificate):
            if original.x509 not in self._twins:
                self._twins[original.x509] = self._copy(original, above)
            above = self._twins[original.x509]
        made = self._twins[certificate.x509]
        return Certificate(certificate.name, made.x509, made.key, made.issuer)

    def double(
        self, original: x509.Certificate, others: Sequence[x509.Certificate], below: tuple[x509.Certificate, ...]
    ) -> Certificate:
        """The twin of a certificate without its key; `below` breaks cycles of certificates that signed each other."""
        if original not in self._twins:
            line = (*below, original)
            signer = next((each for each in others if each not in line and _signed(each, original)), None)
            above = None if signer is None else self.double(signer, others, line)
            self._twins[original] = self._remade("double", original, original.public_key(), above)
        return self._twins[original]

    def _copy(self, original: Certificate, issuer: Certificate | None) -> Certificate:
        return self._remade(original.name, original.x509, original.key.public_key(), issuer)

    def _remade(
        self, name: str, original: x509.Certificate, public: CertificatePublicKeyTypes, issuer: Certificate | None
    ) -> Certificate:
        key = self._successor(name, public)
        body = original.tbs_certificate_bytes
        old, new = _encoded(public), _encoded(key.public_key())
        if old not in body or len(old) != len(new):
            raise LabError(
                f"no twin of certificate {name!r}: it does not encode its public key as RFC 5480 or RFC 8017 "
                f"specifies, or `key` is not its key; issue it again"
            )
        if issuer is not None:
            signer = issuer.key
        elif original.issuer == original.subject:
            signer = key
        else:
            signer = self._stranger(original)
        return Certificate(name, sign_like(original, body.replace(old, new, 1), signer), key, issuer)

    def _successor(self, name: str, public: CertificatePublicKeyTypes) -> PrivateKey:
        """The replacement for a key, of the same kind and size."""
        if _encoded(public) not in self._keys:
            self._keys[_encoded(public)] = _new_key_like(name, public)
        return self._keys[_encoded(public)]

    def _stranger(self, certificate: x509.Certificate) -> PrivateKey:
        """A replacement for an issuer's key that the lab does not have, suitable for the algorithm of its signature."""
        if certificate.issuer not in self._strangers:
            self._strangers[certificate.issuer] = _key_that_signs(certificate)
        return self._strangers[certificate.issuer]


def _encoded(public: CertificatePublicKeyTypes) -> bytes:
    """DER of the SubjectPublicKeyInfo, as in a certificate."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _new_key_like(name: str, public: CertificatePublicKeyTypes) -> PrivateKey:
    if isinstance(public, rsa.RSAPublicKey):
        return rsa.generate_private_key(public.public_numbers().e, public.key_size)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return ec.generate_private_key(public.curve)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return ed25519.Ed25519PrivateKey.generate()
    raise LabError(f"no twin of certificate {name!r}: its key is neither RSA nor EC nor Ed25519")


def _key_that_signs(certificate: x509.Certificate) -> PrivateKey:
    algorithm = certificate.signature_algorithm_oid.dotted_string
    if algorithm.startswith(_SIGNED_BY_RSA):
        return rsa.generate_private_key(65537, 2048)
    if algorithm.startswith(_SIGNED_BY_ECDSA):
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()
