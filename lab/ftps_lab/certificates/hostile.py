"""Certificates with an attacker's text, in places and sizes that the library's builder and `CertificateSpec` refuse.

A `CertificateSpec` has one attribute, the common name, of at most 64 bytes (RFC 5280 appendix A, ub-common-name): it
may contain any character, including NUL, newlines and escape sequences. Here a subject may have any number of
attributes with any bytes of any length, a SAN any names, and a comment any text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtensionOID

from ftps_lab.certificates.certificate import Certificate
from ftps_lab.certificates.issuing import NEW_KEY, draft
from ftps_lab.certificates.signing import SEQUENCE, content_of, sign_like, tagged
from ftps_lab.certificates.spec import CertificateSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ftps_lab.certificates.spec import Key

ATTRIBUTES: Final = {"CN": 3, "SN": 4, "serialNumber": 5, "C": 6, "L": 7, "ST": 8, "street": 9, "O": 10, "OU": 11}
"""A subject's attributes by their openssl names: the last number of 2.5.4.x (RFC 5280 appendix A.1)."""

_COMMENT: Final = x509.ObjectIdentifier("2.16.840.1.113730.1.13")
"""nsComment, which `openssl x509 -text` prints."""

FETCHED_BYTES: Final = 100_000
"""No client with OpenSSL accepts a longer certificate (SSL_CTX_set_max_cert_list(3)), and none with GnuTLS one above
128 KiB (measured on 3.7.9). The text of a subject counts twice, because the issuer is the same."""

_OID, _UTF8, _T61, _IA5, _SET, _DNS_NAME = 0x06, 0x0C, 0x14, 0x16, 0x31, 0x82
"""DER tags; the last one is [2] of GeneralName (RFC 5280 section 4.2.1.6)."""


def hostile(
    host: str,
    subject: Mapping[str, bytes],
    *,
    names: Iterable[bytes] = (),
    comment: bytes = b"",
    key: Key = "ec-p256",
) -> Certificate:
    """A self-signed certificate for a host, like one of `openssl req -x509` except for the text in it.

    The library cannot read a subject with a TeletexString beyond ASCII, and warns about a common name of more than
    64 characters: do not use `Certificate.x509.subject` or `twins` with such a certificate.

    Args:
        host: The SAN's first name, so that clients that verify accept the certificate.
        subject: All of the subject's attributes by their names in `ATTRIBUTES`, in this order: UTF8Strings, or
            TeletexStrings if the bytes are not UTF-8. OpenSSL does not even load an invalid UTF8String.
        names: Further DNS names of the SAN, with any content.
        comment: The text of an nsComment; empty for none.
        key: The kind of key.

    Returns:
        The certificate, called ``hostile``.

    Raises:
        KeyError: The subject has an unknown attribute.
    """
    secret = NEW_KEY[key]()
    spec = CertificateSpec(common_name=host[:64], names=(), key=key).resolved()
    builder = draft(spec, secret, None, datetime.now(UTC))
    sans = b"".join(tagged(_DNS_NAME, name) for name in (host.encode(), *names))
    builder = _with(builder, ExtensionOID.SUBJECT_ALTERNATIVE_NAME, tagged(SEQUENCE, sans))
    if comment:
        builder = _with(builder, _COMMENT, tagged(_IA5, comment))
    ordinary = builder.sign(secret, None if isinstance(secret, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    body = content_of(ordinary.tbs_certificate_bytes).replace(ordinary.subject.public_bytes(), _name(subject))
    return Certificate("hostile", sign_like(ordinary, tagged(SEQUENCE, body), secret), secret)


def _with(builder: x509.CertificateBuilder, oid: x509.ObjectIdentifier, value: bytes) -> x509.CertificateBuilder:
    return builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)


def _name(subject: Mapping[str, bytes]) -> bytes:
    """DER of a Name (RFC 5280 section 4.1.2.4), each attribute in a separate set."""
    attributes = (
        tagged(_OID, bytes((0x55, 0x04, ATTRIBUTES[name]))) + tagged(_T61 if _other(value) else _UTF8, value)
        for name, value in subject.items()
    )
    return tagged(SEQUENCE, b"".join(tagged(_SET, tagged(SEQUENCE, each)) for each in attributes))


def _other(value: bytes) -> bool:
    """Whether bytes are not UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return True
    return False
