"""Certificates match their spec: every key of it, read back from the bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec.structs import replace
from tests.lab.certificates.readings import CHAIN, LEAF, NOW, ROOT, key_kind, openssl, says, signed_with, stated

from ftps_lab.certificates import KEY_USAGES, KEYS, SIGNATURES, USAGES, CertificateSpec, issue
from ftps_lab.certificates.issuing import NEW_KEY, SIGNATURE_HASH, USAGE
from ftps_lab.certificates.signing import DECLINED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def one(**keys: Any) -> x509.Certificate:
    """The certificate of a spec, issued alone or under a root."""
    spec = CertificateSpec(**keys)
    specs = {"it": spec} if spec.issuer == "self" else {"it": spec, "root": ROOT}
    return issue(specs, NOW)["it"].x509


def bits(key_usage: x509.KeyUsage | None) -> set[str]:
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
    names = stated(certificate, x509.SubjectAlternativeName)
    return None if names is None else [name.value for name in names]


def basic(certificate: x509.Certificate) -> tuple[bool, int | None] | None:
    constraints = stated(certificate, x509.BasicConstraints)
    return None if constraints is None else (constraints.ca, constraints.path_length)


def usage(certificate: x509.Certificate) -> list[x509.ObjectIdentifier] | None:
    extended = stated(certificate, x509.ExtendedKeyUsage)
    return None if extended is None else list(extended)


def key_ids(certificate: x509.Certificate) -> tuple[bool, bool]:
    return (
        stated(certificate, x509.SubjectKeyIdentifier) is not None,
        stated(certificate, x509.AuthorityKeyIdentifier) is not None,
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
    ({}, signed_with, ("sha256", "1.2.840.10045.4.3.2")),
    ({"signature": "sha384"}, signed_with, ("sha384", "1.2.840.10045.4.3.3")),
    ({"signature": "sha1"}, signed_with, ("sha1", "1.2.840.10045.4.1")),
    ({"signature": "sha256", "key": "rsa-1024"}, signed_with, ("sha256", "1.2.840.113549.1.1.11")),
    ({"signature": "sha384", "key": "rsa-1024"}, signed_with, ("sha384", "1.2.840.113549.1.1.12")),
    ({"signature": "sha1", "key": "rsa-1024"}, signed_with, ("sha1", "1.2.840.113549.1.1.5")),
    ({"signature": "md5", "key": "rsa-1024"}, signed_with, ("md5", "1.2.840.113549.1.1.4")),
    ({"key": "ed25519"}, lambda it: it.signature_algorithm_oid.dotted_string, "1.3.101.112"),
    ({}, basic, (True, None)),
    ({"ca": False}, basic, (False, None)),
    ({"ca": "absent"}, basic, None),
    ({"issuer": "root"}, basic, (False, None)),
    ({"issuer": "root", "ca": True}, basic, (True, None)),
    ({"path_length": 0}, basic, (True, 0)),
    ({"issuer": "root", "ca": True, "path_length": 2}, basic, (True, 2)),
    ({}, lambda it: stated(it, x509.KeyUsage), None),
    ({"issuer": "root"}, lambda it: bits(stated(it, x509.KeyUsage)), {"digitalSignature"}),
    ({"issuer": "root", "key_usage": "absent"}, lambda it: stated(it, x509.KeyUsage), None),
    ({"key_usage": KEY_USAGES}, lambda it: bits(stated(it, x509.KeyUsage)), set(KEY_USAGES)),
    *(
        ({"key_usage": (word,)}, lambda it: bits(stated(it, x509.KeyUsage)), {word})
        for word in KEY_USAGES
        if word not in {"encipherOnly", "decipherOnly"}
    ),
    ({}, usage, None),
    ({"issuer": "root"}, usage, [ExtendedKeyUsageOID.SERVER_AUTH]),
    ({"usage": "server"}, usage, [ExtendedKeyUsageOID.SERVER_AUTH]),
    ({"usage": "client"}, usage, [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ({"usage": "any"}, usage, [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    ({"issuer": "root", "usage": "absent"}, usage, None),
    ({}, key_ids, (True, True)),
    ({"key_ids": False}, key_ids, (False, False)),
    ({"issuer": "root", "key_ids": False}, key_ids, (False, False)),
]


@pytest.mark.parametrize(("keys", "read", "expected"), READ_BACK)
def test_what_a_spec_says_stands_in_the_certificate(
    keys: dict[str, Any], read: Callable[[x509.Certificate], object], expected: object
) -> None:
    assert read(one(**keys)) == expected


def test_every_key_of_a_spec_is_read_back() -> None:
    """The table above has every key; `same_key_as` has its own tests."""
    assert {key for keys, _, _ in READ_BACK for key in keys} | {"same_key_as"} == {*CertificateSpec.__struct_fields__}


def test_every_allowed_word_can_be_issued() -> None:
    """The words of the format equal those in the tables that implement them."""
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
def test_extensions_are_critical_where_rfc_5280_has_them_so(keys: dict[str, Any], expected: set[str]) -> None:
    """basicConstraints and keyUsage always are; the SAN only is if nothing else names the subject."""
    assert {extension.oid._name for extension in one(**keys).extensions if extension.critical} == expected


def test_a_self_signed_certificate_says_what_openssl_req_writes(tmp_path: Path) -> None:
    """The extensions, their order, their values and the subject are those of `openssl req -x509` here."""
    made = openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "key",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "365",
    )  # fmt: skip
    theirs, ours = x509.load_pem_x509_certificate(made.stdout), one()

    assert list(says(ours)) == list(says(theirs))
    assert says(ours) == says(theirs) | {"validity": says(ours)["validity"]}
    assert ours.version == theirs.version
    assert signed_with(ours) == signed_with(theirs)
    for certificate in (ours, theirs):
        own = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
        assert stated(certificate, x509.SubjectKeyIdentifier) == own
        assert stated(certificate, x509.AuthorityKeyIdentifier) == x509.AuthorityKeyIdentifier(own.digest, None, None)


def test_a_leaf_names_its_issuers_key() -> None:
    """The authority key identifier of a leaf is the subject key identifier of its issuer, not its own."""
    certificates = issue(CHAIN, NOW)
    named = stated(certificates["leaf"].x509, x509.AuthorityKeyIdentifier).key_identifier
    assert named == stated(certificates["intermediate"].x509, x509.SubjectKeyIdentifier).digest
    assert named != stated(certificates["leaf"].x509, x509.SubjectKeyIdentifier).digest


def test_an_issuer_without_identifier_is_named_by_its_key() -> None:
    certificates = issue({"root": replace(ROOT, key_ids=False), "leaf": replace(LEAF, issuer="root")}, NOW)
    named = stated(certificates["leaf"].x509, x509.AuthorityKeyIdentifier)
    root_key = certificates["root"].x509.public_key()
    assert isinstance(root_key, ec.EllipticCurvePublicKey)
    assert named == x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key)


def test_dates_are_whole_seconds_of_now() -> None:
    """Without `now` the current time counts, cut to seconds, because X.509 has no smaller unit."""
    before = datetime.now(UTC).replace(microsecond=0)
    it = issue({"it": CertificateSpec(not_before="-0s")})["it"].x509
    assert before <= it.not_valid_before_utc <= datetime.now(UTC)
    late = NOW.replace(microsecond=999_999)
    assert issue({"it": CertificateSpec()}, late)["it"].x509.not_valid_before_utc == NOW - timedelta(days=1)


def test_serial_numbers_differ() -> None:
    certificates = issue({str(number): CertificateSpec() for number in range(20)}, NOW)
    assert len({certificate.x509.serial_number for certificate in certificates.values()}) == 20
