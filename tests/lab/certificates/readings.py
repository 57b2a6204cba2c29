"""Specs that the certificate tests issue, and ways to read certificates back: from the bytes, and with openssl."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from ftps_lab.certificates import Certificate, CertificateSpec

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_lab.certificates import PrivateKey

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
ROOT = CertificateSpec(common_name="Lab root", names=())
INTERMEDIATE = CertificateSpec(
    issuer="root",
    common_name="Lab intermediate",
    names=(),
    ca=True,
    key_usage=("keyCertSign", "cRLSign"),
    usage="absent",
)
LEAF = CertificateSpec(issuer="intermediate")
STRICT_ROOT = replace(ROOT, key_usage=("keyCertSign",))  # -x509_strict requires it; `openssl req` writes none
CHAIN = {"root": ROOT, "intermediate": INTERMEDIATE, "leaf": LEAF}


def spec(**keys: Any) -> CertificateSpec:
    return CertificateSpec(**keys)


def extension_value(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> Any:
    """An extension's value, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def fields_of(certificate: x509.Certificate) -> dict[str, object]:
    """All fields of a certificate by name, except its key, its serial number and its signature."""
    fields: dict[str, object] = {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "validity": (certificate.not_valid_before_utc, certificate.not_valid_after_utc),
    }
    for extension in certificate.extensions:
        about_keys = isinstance(extension.value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier)
        fields[extension.oid._name] = (extension.critical, None if about_keys else extension.value)
    return fields


def public_key_der(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def openssl(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=30)


def verify(folder: Path, leaf: Certificate, root: Certificate, *options: str) -> str:
    """The error output of `openssl verify`; empty if it accepts the chain."""
    (folder / "root.pem").write_bytes(root.pem)
    (folder / "leaf.pem").write_bytes(leaf.pem)
    (folder / "between.pem").write_bytes(b"".join(issuer.pem for issuer in leaf.chain) or leaf.pem)
    ran = openssl(
        "verify", "-auth_level", "0", "-no-CApath", "-no-CAstore", "-CAfile", folder / "root.pem",
        "-untrusted", folder / "between.pem", *options, folder / "leaf.pem",
    )  # fmt: skip
    return "" if ran.returncode == 0 else ran.stderr.decode()


def key_kind(certificate: x509.Certificate) -> tuple[str, int]:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name, key.curve.key_size
    assert isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey)
    return ("rsa", key.key_size) if isinstance(key, rsa.RSAPublicKey) else ("ed25519", 256)


def signature_algorithm(certificate: x509.Certificate) -> tuple[str, str]:
    assert certificate.signature_hash_algorithm is not None
    return certificate.signature_hash_algorithm.name, certificate.signature_algorithm_oid.dotted_string


def without_public_key(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """The bytes before and after the public key in the signed body."""
    before, after = certificate.tbs_certificate_bytes.split(public_key_der(certificate))
    return before, after


def assert_signed_by(key: PrivateKey, certificate: x509.Certificate) -> None:
    """Raise InvalidSignature unless this key signed the certificate with SHA-256, as the certificate states."""
    public_key, body = key.public_key(), certificate.tbs_certificate_bytes
    how = certificate.signature_algorithm_parameters
    if isinstance(public_key, rsa.RSAPublicKey):
        assert isinstance(how, padding.PKCS1v15 | padding.PSS)
        public_key.verify(certificate.signature, body, how, hashes.SHA256())
    else:
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        public_key.verify(certificate.signature, body, ec.ECDSA(hashes.SHA256()))
