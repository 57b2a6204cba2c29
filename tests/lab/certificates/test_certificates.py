"""Certificates match their spec: every key of it is read back from the bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec.structs import replace
from tests.lab.certificates.readings import (
    CHAIN,
    LEAF,
    NOW,
    ROOT,
    extension_value,
    fields_of,
    key_kind,
    openssl,
    signature_algorithm,
)

from ftps_lab.certificates import KEY_USAGES, KEYS, SIGNATURES, USAGES, CertificateSpec, issue
from ftps_lab.certificates.issuing import NEW_KEY, SIGNATURE_HASH, USAGE
from ftps_lab.certificates.signing import DECLINED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def issue_one(**keys: Any) -> x509.Certificate:
    """The certificate of a spec, self-signed or issued by a root."""
    spec = CertificateSpec(**keys)
    specs = {"it": spec} if spec.issuer == "self" else {"it": spec, "root": ROOT}
    return issue(specs, NOW)["it"].x509


def key_usage_words(key_usage: x509.KeyUsage | None) -> set[str]:
    """The words of a KeyUsage, found without the table in the code under test."""
    if key_usage is None:
        return set()
    found = {
        "digitalSignature": key_usage.digital_signature,
        "nonRepudiation": key_usage.content_commitment,
        "keyEncipherment": key_usage.key_encipherment,
        "dataEncipherment": key_usage.data_encipherment,
        "keyAgreement": key_usage.key_agreement,
        "keyCertSign": key_usage.key_cert_sign,
        "cRLSign": key_usage.crl_sign,
        "encipherOnly": key_usage.key_agreement and key_usage.encipher_only,
        "decipherOnly": key_usage.key_agreement and key_usage.decipher_only,
    }
    return {word for word, is_set in found.items() if is_set}


def common_name(certificate: x509.Certificate) -> list[object]:
    return [attribute.value for attribute in certificate.subject]


def issuer_name(certificate: x509.Certificate) -> list[object]:
    return [attribute.value for attribute in certificate.issuer]


def san(certificate: x509.Certificate) -> list[object] | None:
    names = extension_value(certificate, x509.SubjectAlternativeName)
    return None if names is None else [name.value for name in names]


def basic_constraints(certificate: x509.Certificate) -> tuple[bool, int | None] | None:
    constraints = extension_value(certificate, x509.BasicConstraints)
    return None if constraints is None else (constraints.ca, constraints.path_length)


def extended_key_usage(certificate: x509.Certificate) -> list[x509.ObjectIdentifier] | None:
    extended = extension_value(certificate, x509.ExtendedKeyUsage)
    return None if extended is None else list(extended)


def key_ids(certificate: x509.Certificate) -> tuple[bool, bool]:
    return (
        extension_value(certificate, x509.SubjectKeyIdentifier) is not None,
        extension_value(certificate, x509.AuthorityKeyIdentifier) is not None,
    )


READ_BACK: list[tuple[dict[str, Any], Callable[[x509.Certificate], object], object]] = [
    ({}, issuer_name, ["localhost"]),
    ({"issuer": "root"}, issuer_name, ["Lab root"]),
    ({}, common_name, ["localhost"]),
    ({"common_name": "ftp.example.test"}, common_name, ["ftp.example.test"]),
    ({"common_name": ""}, common_name, []),
    ({"common_name": "Zoë's ftp"}, common_name, ["Zoë's ftp"]),
    ({}, san, ["localhost"]),
    ({"names": ()}, san, None),
    (
        {"names": ("a.test", "127.0.0.1", "::1", "*.b.test", "xn--bcher-kva.test")},
        san,
        ["a.test", ip_address("127.0.0.1"), ip_address("::1"), "*.b.test", "xn--bcher-kva.test"],
    ),
    ({}, lambda it: it.not_valid_before_utc, NOW - timedelta(days=1)),
    ({"not_before": "-90m"}, lambda it: it.not_valid_before_utc, NOW - timedelta(minutes=90)),
    ({"not_before": "+2h"}, lambda it: it.not_valid_before_utc, NOW + timedelta(hours=2)),
    ({}, lambda it: it.not_valid_after_utc, NOW + timedelta(days=365)),
    ({"not_after": "-30s"}, lambda it: it.not_valid_after_utc, NOW - timedelta(seconds=30)),
    ({"not_after": "2049-12-31T23:59:59Z"}, lambda it: it.not_valid_after_utc.year, 2049),
    ({"not_after": "9999-12-31T23:59:59Z"}, lambda it: it.not_valid_after_utc.year, 9999),
    ({}, key_kind, ("secp256r1", 256)),
    ({"key": "ec-p384"}, key_kind, ("secp384r1", 384)),
    ({"key": "ec-p521"}, key_kind, ("secp521r1", 521)),
    ({"key": "ed25519"}, key_kind, ("ed25519", 256)),
    ({"key": "rsa-1024"}, key_kind, ("rsa", 1024)),
    ({"key": "rsa-2048"}, key_kind, ("rsa", 2048)),
    ({"key": "rsa-4096"}, key_kind, ("rsa", 4096)),
    ({}, signature_algorithm, ("sha256", "1.2.840.10045.4.3.2")),
    ({"signature": "sha384"}, signature_algorithm, ("sha384", "1.2.840.10045.4.3.3")),
    ({"signature": "sha1"}, signature_algorithm, ("sha1", "1.2.840.10045.4.1")),
    ({"signature": "sha256", "key": "rsa-1024"}, signature_algorithm, ("sha256", "1.2.840.113549.1.1.11")),
    ({"signature": "sha384", "key": "rsa-1024"}, signature_algorithm, ("sha384", "1.2.840.113549.1.1.12")),
    ({"signature": "sha1", "key": "rsa-1024"}, signature_algorithm, ("sha1", "1.2.840.113549.1.1.5")),
    ({"signature": "md5", "key": "rsa-1024"}, signature_algorithm, ("md5", "1.2.840.113549.1.1.4")),
    ({"key": "ed25519"}, lambda it: it.signature_algorithm_oid.dotted_string, "1.3.101.112"),
    ({}, basic_constraints, (True, None)),
    ({"ca": False}, basic_constraints, (False, None)),
    ({"ca": "absent"}, basic_constraints, None),
    ({"issuer": "root"}, basic_constraints, (False, None)),
    ({"issuer": "root", "ca": True}, basic_constraints, (True, None)),
    ({"path_length": 0}, basic_constraints, (True, 0)),
    ({"issuer": "root", "ca": True, "path_length": 2}, basic_constraints, (True, 2)),
    ({}, lambda it: extension_value(it, x509.KeyUsage), None),
    ({"issuer": "root"}, lambda it: key_usage_words(extension_value(it, x509.KeyUsage)), {"digitalSignature"}),
    ({"issuer": "root", "key_usage": "absent"}, lambda it: extension_value(it, x509.KeyUsage), None),
    ({"key_usage": KEY_USAGES}, lambda it: key_usage_words(extension_value(it, x509.KeyUsage)), set(KEY_USAGES)),
    *(
        ({"key_usage": (word,)}, lambda it: key_usage_words(extension_value(it, x509.KeyUsage)), {word})
        for word in KEY_USAGES
        if word not in {"encipherOnly", "decipherOnly"}
    ),
    ({}, extended_key_usage, None),
    ({"issuer": "root"}, extended_key_usage, [ExtendedKeyUsageOID.SERVER_AUTH]),
    ({"usage": "server"}, extended_key_usage, [ExtendedKeyUsageOID.SERVER_AUTH]),
    ({"usage": "client"}, extended_key_usage, [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ({"usage": "any"}, extended_key_usage, [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    ({"issuer": "root", "usage": "absent"}, extended_key_usage, None),
    ({}, key_ids, (True, True)),
    ({"key_ids": False}, key_ids, (False, False)),
    ({"issuer": "root", "key_ids": False}, key_ids, (False, False)),
]


@pytest.mark.parametrize(("keys", "read", "expected"), READ_BACK)
def test_certificate_has_what_its_spec_states(
    keys: dict[str, Any], read: Callable[[x509.Certificate], object], expected: object
) -> None:
    assert read(issue_one(**keys)) == expected


def test_read_back_covers_every_key_of_a_spec() -> None:
    """`same_key_as` has its own tests."""
    assert {key for keys, _, _ in READ_BACK for key in keys} | {"same_key_as"} == {*CertificateSpec.__struct_fields__}


def test_every_allowed_word_is_implemented() -> None:
    """The format and the tables of issuing hold the same words."""
    assert set(NEW_KEY) == set(KEYS)
    assert {*SIGNATURE_HASH, *DECLINED} == set(SIGNATURES)
    assert {*USAGE, "absent"} == set(USAGES)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"usage": "server", "key_usage": ("digitalSignature",)}, {"basicConstraints", "keyUsage"}),
        ({"issuer": "root"}, {"basicConstraints", "keyUsage"}),
        ({"common_name": ""}, {"basicConstraints", "subjectAltName"}),
    ],
)
def test_extensions_are_critical_as_rfc_5280_requires(keys: dict[str, Any], expected: set[str]) -> None:
    """basicConstraints and keyUsage always are; the SAN only is if the subject is empty."""
    assert {extension.oid._name for extension in issue_one(**keys).extensions if extension.critical} == expected


def test_self_signed_certificate_equals_openssl_req_x509(tmp_path: Path) -> None:
    """In subject, extensions, their order and values, version and signature algorithm."""
    made = openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "key",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "365",
    )  # fmt: skip
    theirs, ours = x509.load_pem_x509_certificate(made.stdout), issue_one()

    assert list(fields_of(ours)) == list(fields_of(theirs))
    assert fields_of(ours) == fields_of(theirs) | {"validity": fields_of(ours)["validity"]}
    assert ours.version == theirs.version
    assert signature_algorithm(ours) == signature_algorithm(theirs)
    for certificate in (ours, theirs):
        own = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
        assert extension_value(certificate, x509.SubjectKeyIdentifier) == own
        assert extension_value(certificate, x509.AuthorityKeyIdentifier) == x509.AuthorityKeyIdentifier(
            own.digest, None, None
        )


def test_authority_key_id_is_the_issuers_subject_key_id() -> None:
    certificates = issue(CHAIN, NOW)
    named = extension_value(certificates["leaf"].x509, x509.AuthorityKeyIdentifier).key_identifier
    assert named == extension_value(certificates["intermediate"].x509, x509.SubjectKeyIdentifier).digest
    assert named != extension_value(certificates["leaf"].x509, x509.SubjectKeyIdentifier).digest


def test_authority_key_id_is_derived_from_an_issuer_without_key_ids() -> None:
    certificates = issue({"root": replace(ROOT, key_ids=False), "leaf": replace(LEAF, issuer="root")}, NOW)
    named = extension_value(certificates["leaf"].x509, x509.AuthorityKeyIdentifier)
    root_key = certificates["root"].x509.public_key()
    assert isinstance(root_key, ec.EllipticCurvePublicKey)
    assert named == x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key)


def test_dates_are_whole_seconds() -> None:
    """Without `now` the current time counts, cut to seconds: X.509 has no smaller unit."""
    before = datetime.now(UTC).replace(microsecond=0)
    it = issue({"it": CertificateSpec(not_before="-0s")})["it"].x509
    assert before <= it.not_valid_before_utc <= datetime.now(UTC)
    late = NOW.replace(microsecond=999_999)
    assert issue({"it": CertificateSpec()}, late)["it"].x509.not_valid_before_utc == NOW - timedelta(days=1)


def test_serial_numbers_are_unique() -> None:
    certificates = issue({str(number): CertificateSpec() for number in range(20)}, NOW)
    assert len({certificate.x509.serial_number for certificate in certificates.values()}) == 20
