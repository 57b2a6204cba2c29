"""Sign a certificate's body that the library's builder refuses to sign.

`cryptography.x509.CertificateBuilder` signs neither with SHA-1 nor with MD5 (measured on 50), and it re-encodes its
input. Its keys still sign any bytes, and a certificate has a simple structure (RFC 5280 section 4.1):

    Certificate  ::=  SEQUENCE  {
        tbsCertificate       TBSCertificate,          the body, which names the algorithm a second time
        signatureAlgorithm   AlgorithmIdentifier,
        signatureValue       BIT STRING  }
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from ftps_lab.certificates.certificate import PrivateKey

SEQUENCE: Final = 0x30
_BIT_STRING: Final = 0x03

DECLINED: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - a certificate that clients should refuse
    "md5": hashes.MD5(),  # noqa: S303 - the same
}
"""The hashes of `signature` that the builder refuses, by their names in a spec."""

# AlgorithmIdentifiers as DER, by kind of key and hash: RFC 3279 sections 2.2.1 and 2.2.3. RSA has a NULL parameter.
_ALGORITHMS: Final = {
    ("rsa", "sha1"): bytes.fromhex("300d 06092a864886f70d010105 0500"),
    ("rsa", "md5"): bytes.fromhex("300d 06092a864886f70d010104 0500"),
    ("ec", "sha1"): bytes.fromhex("3009 06072a8648ce3d0401"),
}


def sign_as_declined(draft: x509.Certificate, signature: str, key: PrivateKey) -> x509.Certificate:
    """The same certificate, signed with a hash that the builder refuses.

    Args:
        draft: Signed by the same key, with another hash.
        signature: One of `DECLINED`.
        key: The issuer's, RSA or (not for md5) EC.

    Raises:
        UnsupportedAlgorithm: OpenSSL refuses the hash, too: a strict build, or a system's crypto policy.
    """
    kind = "rsa" if isinstance(key, rsa.RSAPrivateKey) else "ec"
    algorithm = _ALGORITHMS[kind, signature]
    content = content_of(draft.tbs_certificate_bytes).replace(_algorithm_of(draft), algorithm, 1)
    body = tagged(SEQUENCE, content)
    return _assemble(body, algorithm, _sign(body, key, DECLINED[signature], padding.PKCS1v15()))


def sign_like(original: x509.Certificate, body: bytes, key: PrivateKey) -> x509.Certificate:
    """Sign a body with the algorithm of another certificate, which the body must name.

    Args:
        original: The certificate with the algorithm.
        body: DER of a TBSCertificate.
        key: Of the same kind as the key that signed the original.
    """
    # The library gives no parameters for MD5 and for ECDSA with SHA-1; of the others, only PSS needs its own.
    stated = original.signature_algorithm_parameters
    how = stated if isinstance(stated, padding.PSS) else padding.PKCS1v15()
    return _assemble(body, _algorithm_of(original), _sign(body, key, original.signature_hash_algorithm, how))


def _sign(
    body: bytes,
    key: PrivateKey,
    digest: hashes.HashAlgorithm | None,
    how: padding.PKCS1v15 | padding.PSS,
) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(body)
    assert digest is not None  # only the algorithms of RFC 8410 have none
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(body, how, digest)
    return key.sign(body, ec.ECDSA(digest))


def _assemble(body: bytes, algorithm: bytes, signature: bytes) -> x509.Certificate:
    bits = tagged(_BIT_STRING, b"\x00" + signature)  # no unused bits in the last byte
    return x509.load_der_x509_certificate(tagged(SEQUENCE, body + algorithm + bits))


def _algorithm_of(certificate: x509.Certificate) -> bytes:
    """The AlgorithmIdentifier between the body and the signature (always shorter than 128 bytes)."""
    der, body = certificate.public_bytes(Encoding.DER), certificate.tbs_certificate_bytes
    start = der.index(body) + len(body)
    return der[start : start + 2 + der[start + 1]]


def tagged(tag: int, content: bytes) -> bytes:
    """DER of a value (X.690 section 8.1.3): tag, length, content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def content_of(der: bytes) -> bytes:
    """The content after tag and length."""
    return der[2 + (der[1] & 0x7F if der[1] & 0x80 else 0) :]
