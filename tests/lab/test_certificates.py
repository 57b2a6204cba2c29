"""Certificates say what their spec says: read back from the bytes, and judged by openssl."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from ftps_lab.certificates import (
    KEY_USAGES,
    KEYS,
    SIGNATURES,
    USAGES,
    Certificate,
    CertificateSpec,
    check,
    from_trustme,
    issue,
    moment,
    twins,
)
from ftps_lab.certificates import issuing as issuing_module
from ftps_lab.certificates.impostor import _Impostor
from ftps_lab.certificates.issuing import NEW_KEY, SIGNATURE_HASH, USAGE
from ftps_lab.certificates.signing import DECLINED
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable
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
STRICT_ROOT = replace(ROOT, key_usage=("keyCertSign",))  # -x509_strict wants it; `openssl req` writes none
CHAIN = {"root": ROOT, "intermediate": INTERMEDIATE, "leaf": LEAF}


def one(**keys: Any) -> x509.Certificate:
    """The certificate of a spec, issued alone or under a root."""
    spec = CertificateSpec(**keys)
    specs = {"it": spec} if spec.issuer == "self" else {"it": spec, "root": ROOT}
    return issue(specs, NOW)["it"].x509


def stated(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> Any:
    """An extension's value, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def says(certificate: x509.Certificate) -> dict[str, object]:
    """Everything that a certificate says, by field, apart from its key, its serial number and its signature."""
    said: dict[str, object] = {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "validity": (certificate.not_valid_before_utc, certificate.not_valid_after_utc),
    }
    for extension in certificate.extensions:
        about_keys = isinstance(extension.value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier)
        said[extension.oid._name] = (extension.critical, None if about_keys else extension.value)
    return said


def public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def openssl(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=30)


def verify(folder: Path, leaf: Certificate, root: Certificate, *options: str) -> str:
    """What `openssl verify` says: an empty string when it is content."""
    (folder / "root.pem").write_bytes(root.pem)
    (folder / "leaf.pem").write_bytes(leaf.pem)
    (folder / "between.pem").write_bytes(b"".join(issuer.pem for issuer in leaf.chain) or leaf.pem)
    ran = openssl(
        "verify", "-auth_level", "0", "-no-CApath", "-no-CAstore", "-CAfile", folder / "root.pem",
        "-untrusted", folder / "between.pem", *options, folder / "leaf.pem",
    )  # fmt: skip
    return "" if ran.returncode == 0 else ran.stderr.decode()


# --- every key of a spec, read back ------------------------------------------------------------------------------


def bits(key_usage: x509.KeyUsage | None) -> set[str]:
    """The words of a KeyUsage, found without the table of the code under test."""
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


def key_kind(certificate: x509.Certificate) -> tuple[str, int]:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name, key.curve.key_size
    assert isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey)
    return ("rsa", key.key_size) if isinstance(key, rsa.RSAPublicKey) else ("ed25519", 256)


def signed_with(certificate: x509.Certificate) -> tuple[str, str]:
    assert certificate.signature_hash_algorithm is not None
    return certificate.signature_hash_algorithm.name, certificate.signature_algorithm_oid.dotted_string


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
    """The table above forgets no key; `same_key_as` has tests of its own."""
    assert {key for keys, _, _ in READ_BACK for key in keys} | {"same_key_as"} == {
        field.name for field in fields(CertificateSpec)
    }


def test_every_allowed_word_can_be_issued() -> None:
    """The words of the format and the tables that carry them out are the same."""
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
    """basicConstraints and keyUsage always, the SAN only when it is all that names the subject."""
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
    """Without `now` the present counts, cut to seconds, since X.509 has no smaller unit."""
    before = datetime.now(UTC).replace(microsecond=0)
    it = issue({"it": CertificateSpec(not_before="-0s")})["it"].x509
    assert before <= it.not_valid_before_utc <= datetime.now(UTC)
    late = NOW.replace(microsecond=999_999)
    assert issue({"it": CertificateSpec()}, late)["it"].x509.not_valid_before_utc == NOW - timedelta(days=1)


def test_serial_numbers_differ() -> None:
    certificates = issue({str(number): CertificateSpec() for number in range(20)}, NOW)
    assert len({certificate.x509.serial_number for certificate in certificates.values()}) == 20


# --- issuing -----------------------------------------------------------------------------------------------------


def test_issuers_may_come_last() -> None:
    """Order in the file does not matter, and the result keeps it."""
    certificates = issue(dict(reversed(CHAIN.items())), NOW)
    assert list(certificates) == ["leaf", "intermediate", "root"]
    assert certificates["leaf"].issuers == (certificates["intermediate"], certificates["root"])
    assert certificates["leaf"].chain == (certificates["intermediate"],)
    assert certificates["root"].issuer is None


def test_every_certificate_gets_a_key_of_its_own() -> None:
    """Two with the same spec have two keys, and a second issue makes new ones."""
    specs = {"one": CertificateSpec(), "two": CertificateSpec()}
    assert len({public(it.x509) for _ in range(2) for it in issue(specs, NOW).values()}) == 4


def test_same_key_as_reuses_a_key_through_others() -> None:
    """A renewal keeps the key, also that of a renewal, and also when the original comes later."""
    certificates = issue(
        {
            "third": CertificateSpec(same_key_as="second"),
            "second": CertificateSpec(same_key_as="first", not_after="+730d"),
            "first": CertificateSpec(key="ec-p384"),
        },
        NOW,
    )
    assert len({public(it.x509) for it in certificates.values()}) == 1
    assert len({it.sha256 for it in certificates.values()}) == 3


def test_an_authority_may_have_the_key_of_what_it_issues() -> None:
    """Keys and signatures are two orders: a certificate signed by the one whose key it lends is no cycle."""
    certificates = issue({"leaf": CertificateSpec(issuer="root"), "root": replace(ROOT, same_key_as="leaf")}, NOW)
    assert certificates["leaf"].x509.public_key() == certificates["root"].x509.public_key()
    certificates["leaf"].x509.verify_directly_issued_by(certificates["root"].x509)


# Ed25519 has one hash, and nobody defined ECDSA with MD5.
ALGORITHMS = [
    (key, signature)
    for key in KEYS
    for signature in SIGNATURES
    if (signature == "sha256" or key != "ed25519") and (signature != "md5" or key.startswith("rsa-"))
]


@pytest.mark.parametrize(("key", "signature"), ALGORITHMS)
def test_openssl_verifies_every_kind_of_key_and_signature(tmp_path: Path, key: str, signature: str) -> None:
    """Whatever an authority signs with, an independent OpenSSL finds both signatures right."""
    specs = {
        "root": replace(ROOT, key=key, signature=signature),
        "leaf": replace(LEAF, issuer="root", signature=signature),
    }
    certificates = issue(specs)
    assert verify(tmp_path, certificates["leaf"], certificates["root"], "-check_ss_sig") == ""


def test_openssl_reads_the_algorithms_that_the_library_declines(tmp_path: Path) -> None:
    """The algorithm stands in the certificate twice, and openssl names both."""
    for weak, name in (
        (spec(key="rsa-1024", signature="md5"), b"md5WithRSAEncryption"),
        (spec(key="rsa-1024", signature="sha1"), b"sha1WithRSAEncryption"),
        (spec(signature="sha1"), b"ecdsa-with-SHA1"),
    ):
        pem = issue({"it": weak})["it"].pem
        assert openssl("x509", "-noout", "-text", stdin=pem).stdout.count(b"Signature Algorithm: " + name) == 2


def test_openssl_verifies_a_chain_and_only_with_its_intermediate(tmp_path: Path) -> None:
    certificates = issue(CHAIN | {"root": STRICT_ROOT})
    leaf, root = certificates["leaf"], certificates["root"]
    assert verify(tmp_path, leaf, root, "-purpose", "sslserver", "-x509_strict") == ""
    assert "unable to get local issuer" in verify(tmp_path, replace(leaf, issuer=None), root)


NO_AUTHORITY = {"invalid CA certificate", "unsuitable certificate purpose"}


@pytest.mark.parametrize(
    ("changed", "complaints"),
    [
        ({"leaf": {"not_after": "-1h"}}, {"certificate has expired"}),
        ({"leaf": {"not_before": "+1h"}}, {"certificate is not yet valid"}),
        ({"leaf": {"usage": "client"}}, {"unsuitable certificate purpose"}),
        ({"intermediate": {"not_after": "-1h"}}, {"certificate has expired"}),
        ({"intermediate": {"ca": False}}, NO_AUTHORITY),
        (
            {"intermediate": {"key_usage": ("digitalSignature",)}},
            NO_AUTHORITY | {"key usage does not include certificate signing"},
        ),
        ({"root": {"path_length": 0}}, {"path length constraint exceeded"}),
    ],
)
def test_a_defect_comes_alone(tmp_path: Path, changed: dict[str, dict[str, Any]], complaints: set[str]) -> None:
    """A chain with one thing wrong is refused for that alone: openssl names every error that it sees."""
    specs = {name: replace(spec, **changed.get(name, {})) for name, spec in CHAIN.items()}
    certificates = issue(specs)
    said = verify(tmp_path, certificates["leaf"], certificates["root"], "-purpose", "sslserver")
    assert {line.split(" lookup: ")[1] for line in said.splitlines() if " lookup: " in line} == complaints, said


def test_issue_judges_dates_at_the_given_time() -> None:
    """What is in order at `now` is issued, wherever the present is."""
    long_ago = {"it": CertificateSpec(not_after="2001-01-01T00:00:00Z")}
    it = issue(long_ago, datetime(2000, 12, 1, tzinfo=UTC))["it"].x509
    assert it.not_valid_before_utc == datetime(2000, 11, 30, tzinfo=UTC)
    with pytest.raises(LabError, match="not_after"):
        issue(long_ago, NOW)


def test_an_issuer_that_is_no_authority_may_issue() -> None:
    """Bad chains are what the lab is for: nothing to complain about before a client does."""
    specs = {"root": replace(ROOT, ca=False), "leaf": replace(LEAF, issuer="root")}
    assert check(specs) == []
    assert issue(specs)["leaf"].issuer is not None


def test_what_cannot_be_issued_is_a_lab_error_that_names_certificate_and_key() -> None:
    with pytest.raises(LabError, match=r"'leaf', key 'issuer': there is no certificate 'root'.*'other', key 'usage'"):
        issue({"leaf": CertificateSpec(issuer="root"), "other": CertificateSpec(usage="mail")})


def test_a_library_that_declines_a_signature_is_a_lab_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system whose crypto policy forbids SHA-1 gets a sentence, not a traceback."""

    def decline(*_: object) -> x509.Certificate:
        raise UnsupportedAlgorithm("sha1 is not supported here")

    monkeypatch.setattr(issuing_module, "sign_as_declined", decline)
    with pytest.raises(LabError, match=r"'old', key 'signature': the library here does not sign with sha1: sha1 is"):
        issue({"old": CertificateSpec(signature="sha1")})


def test_a_library_that_declines_a_key_is_a_lab_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def decline() -> rsa.RSAPrivateKey:
        raise ValueError("key_size must be at least 2048-bits")

    monkeypatch.setitem(NEW_KEY, "rsa-1024", decline)
    with pytest.raises(LabError, match=r"'small', key 'key': the library here makes no rsa-1024: key_size must"):
        issue({"small": CertificateSpec(key="rsa-1024")})


def test_the_working_directory_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    twins(issue(CHAIN))
    assert list(tmp_path.iterdir()) == []


# --- what comes out ----------------------------------------------------------------------------------------------


def test_fingerprints_are_those_of_openssl() -> None:
    """Upper case with colons, as lftp prints the first and pyftpdlib's users paste the second."""
    it = issue({"it": CertificateSpec()})["it"]
    for option, fingerprint in (("-sha1", it.sha1), ("-sha256", it.sha256)):
        printed = openssl("x509", "-noout", "-fingerprint", option, stdin=it.pem).stdout.decode()
        assert printed.strip().split("=")[1] == fingerprint


@pytest.mark.parametrize("key", ["ec-p256", "ed25519", "rsa-1024"])
def test_the_encodings_belong_together(key: str) -> None:
    """PEM and DER hold the certificate, and the key's PEM is the key in it, unencrypted PKCS #8."""
    it = issue({"it": CertificateSpec(key=key)})["it"]
    assert x509.load_pem_x509_certificate(it.pem) == x509.load_der_x509_certificate(it.der) == it.x509
    assert it.key_pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert load_pem_private_key(it.key_pem, None).public_key() == it.x509.public_key()


def test_no_key_is_shown_by_accident() -> None:
    """A Certificate in a failed assertion prints its name, not its key."""
    it = issue({"genuine": CertificateSpec()})["genuine"]
    assert "genuine" in repr(it)
    assert "key=" not in repr(it)


def test_reading_scenarios_needs_no_tls_library() -> None:
    """Specs and their rules load without cryptography, whose import would double the time of `ftps-lab list`."""
    code = (
        "import sys; from ftps_lab.certificates import CertificateSpec, check, moment; "
        "assert check({'a': CertificateSpec()}) == []; "
        "print([name for name in sys.modules if name.split('.')[0] in ('cryptography', 'OpenSSL', 'ssl', 'trustme')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_the_package_has_no_other_names() -> None:
    """Names are looked up late, and a misspelt one is still an error."""
    import ftps_lab.certificates as package  # the subject of this test

    assert package.issue is issue
    with pytest.raises(AttributeError, match="has no attribute 'isue'"):
        getattr(package, "isue")  # noqa: B009 - mypy knows that there is none


# --- check -------------------------------------------------------------------------------------------------------


LONGEST = ".".join(["x" * 63, "x" * 63, "x" * 63, "x" * 61])  # 253 bytes: 255 on the wire, RFC 1035 section 2.3.4


def spec(**keys: Any) -> CertificateSpec:
    return CertificateSpec(**keys)


PROBLEMS: list[tuple[dict[str, CertificateSpec], list[tuple[str, str, str]]]] = [
    ({"a": spec(issuer="root")}, [("a", "issuer", "there is no certificate 'root'")]),
    ({"a": spec(issuer="root"), "b": spec()}, [("a", "issuer", "or one of b")]),
    ({"a": spec(issuer="a")}, [("a", "issuer", "back to itself")]),
    (
        {"a": spec(issuer="b"), "b": spec(issuer="a"), "c": spec(issuer="a")},
        [("a", "issuer", "back to itself"), ("b", "issuer", "back to itself")],
    ),
    ({"self": spec()}, [("self", "issuer", "rename it")]),
    ({"a": spec(same_key_as="z")}, [("a", "same_key_as", "there is no certificate 'z'")]),
    ({"a": spec(same_key_as="a")}, [("a", "same_key_as", "back to itself")]),
    (
        {"a": spec(same_key_as="b"), "b": spec(same_key_as="a")},
        [("a", "same_key_as", "back to itself"), ("b", "same_key_as", "back to itself")],
    ),
    (
        {"a": spec(), "b": spec(same_key_as="a"), "c": spec(same_key_as="b", key="rsa-2048")},
        [("c", "key", "the key of 'b' is ec-p256, not rsa-2048")],
    ),
    ({"a": spec(key="dsa")}, [("a", "key", "use one of ec-p256, ec-p384")]),
    ({"a": spec(signature="crc32")}, [("a", "signature", "use one of sha256")]),
    ({"a": spec(usage="mail")}, [("a", "usage", "use one of server, client, any, absent")]),
    ({"a": spec(key_usage=("keyCertsign",))}, [("a", "key_usage", "'keyCertsign' is not known")]),
    ({"a": spec(key_usage=())}, [("a", "key_usage", '"absent"')]),
    ({"a": spec(key_usage=("encipherOnly",))}, [("a", "key_usage", "add keyAgreement")]),
    ({"a": spec(key="ed25519", signature="sha384")}, [("a", "signature", "its own hash")]),
    (
        {"a": spec(issuer="b", signature="sha1"), "b": spec(same_key_as="c"), "c": spec(key="ed25519")},
        [("a", "signature", "its own hash")],
    ),
    ({"a": spec(signature="md5")}, [("a", "signature", "RSA")]),
    ({"a": spec(signature="md5", key="rsa-1024", issuer="b"), "b": spec()}, [("a", "signature", "RSA")]),
    ({"a": spec(path_length=1, ca=False)}, [("a", "path_length", "add ca = true")]),
    ({"a": spec(path_length=1, ca="absent")}, [("a", "path_length", "add ca = true")]),
    ({"a": spec(path_length=1, issuer="b"), "b": spec()}, [("a", "path_length", "add ca = true")]),
    ({"a": spec(path_length=-1)}, [("a", "path_length", "write 0 or more")]),
    ({"a": spec(not_before="yesterday")}, [("a", "not_before", "-1d or +365d")]),
    ({"a": spec(not_after="-2d")}, [("a", "not_after", "is before not_before")]),
    ({"a": spec(not_before="1949-12-31T23:59:59Z")}, [("a", "not_before", "1950")]),
    ({"a": spec(not_after="-9999999999d")}, [("a", "not_after", "outside of the years")]),
    ({"a": spec(common_name="x" * 65)}, [("a", "common_name", "65 bytes")]),
    ({"a": spec(names=("bücher.test",))}, [("a", "names", "xn--")]),
    *(
        ({"a": spec(names=(name,))}, [("a", "names", "neither a DNS name")])
        for name in (
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "-a",
            "a-",
            "a.*",
            "1.2.3.400",
            "127.1",
            "fe80::1%eth0",
            "10.0.0.0/8",
            "user@a.test",
            "a\0b",
            "a\n",
            "https://a.test",
            "x" * 64,
            LONGEST + "x",
        )
    ),
    (
        {"a": spec(issuer="x", usage="mail", names=("!",)), "b": spec(key="dsa")},
        [("a", "issuer", "'x'"), ("a", "names", "'!'"), ("a", "usage", "'mail'"), ("b", "key", "'dsa'")],
    ),
]


@pytest.mark.parametrize(("specs", "expected"), PROBLEMS)
def test_check_names_every_problem(specs: dict[str, CertificateSpec], expected: list[tuple[str, str, str]]) -> None:
    """Each problem once, with its certificate, its key and a sentence that says what would be right."""
    found = check(specs)
    assert [(name, key) for name, key, _ in found] == [(name, key) for name, key, _ in expected]
    for (_, _, sentence), (_, _, part) in zip(found, expected, strict=True):
        assert part in sentence


@pytest.mark.parametrize(
    "specs",
    [
        {},
        CHAIN,
        {"a": spec(same_key_as="b"), "b": spec(key="rsa-2048")},
        {"a": spec(same_key_as="b", key="rsa-2048"), "b": spec(key="rsa-2048")},
        {"a": spec(key="ed25519"), "b": spec(issuer="a", signature="sha256")},
        {"a": spec(issuer="b", signature="md5"), "b": spec(key="rsa-1024")},
        {"a": spec(key="ed25519", issuer="b", signature="sha384"), "b": spec()},
        {"a": spec(not_before="+1h", not_after="+1h")},
        {"a": spec(common_name="x" * 64, names=("x" * 63, LONGEST, "a_b", "*", "f*.test"))},
        {"a": spec(key_usage=("keyAgreement", "encipherOnly"))},
        {"a": spec(path_length=0)},
    ],
)
def test_check_leaves_alone_what_can_be_issued(specs: dict[str, CertificateSpec]) -> None:
    assert check(specs) == []
    assert list(issue(specs)) == list(specs)


def test_check_judges_relative_dates_at_the_given_time() -> None:
    """A relative start and an absolute end are in order at one time, and out of it at another."""
    specs = {"a": spec(not_after="2026-11-22T12:00:00Z")}
    assert check(specs, NOW) == []
    assert [key for _, key, _ in check(specs, NOW + timedelta(days=2))] == ["not_after"]


# --- moment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1d", NOW - timedelta(days=1)),
        ("+365d", NOW + timedelta(days=365)),
        ("+90s", NOW + timedelta(seconds=90)),
        ("-5m", NOW - timedelta(minutes=5)),
        ("+36h", NOW + timedelta(hours=36)),
        ("+0s", NOW),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31t12:00:00z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00.987+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        (
            datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=-1))),
            datetime(2026, 1, 31, 13, tzinfo=UTC),
        ),
    ],
)
def test_moments_in_utc_and_whole_seconds(text: str | datetime, expected: datetime) -> None:
    found = moment(text, NOW.replace(microsecond=7).astimezone(timezone(timedelta(hours=5))))
    assert (found, found.tzinfo) == (expected, UTC)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1d", "sign, number"),
        ("+1w", "one of s m h d"),
        ("+1.5d", "sign, number"),
        ("+d", "sign, number"),
        ("", "is no moment"),
        ("-1d\n", "is no moment"),
        ("+\N{FULLWIDTH DIGIT ONE}d", "is no moment"),
        ("tomorrow", "is no moment"),
        ("2026-01-31", "RFC 3339"),
        ("2026-01-31T12:00:00", "RFC 3339"),
        ("20260131T120000Z", "RFC 3339"),
        ("2026-02-30T12:00:00Z", "day is out of range"),
        ("2026-01-31T25:00:00Z", "hour must be in"),
        ("+999999999999d", "outside of the years"),
        ("0001-01-01T00:00:00+01:00", "outside of the years"),
        (datetime(2026, 1, 31, 12), "no time zone"),  # noqa: DTZ001 - the subject of this row
    ],
)
def test_what_is_no_moment_gets_a_sentence(text: str | datetime, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        moment(text, NOW)


# --- twins -------------------------------------------------------------------------------------------------------


def apart_from_the_key(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """What stands before and after the public key in the signed body, byte for byte."""
    before, after = certificate.tbs_certificate_bytes.split(public(certificate))
    return before, after


def assert_signed_by(key: PrivateKey, certificate: x509.Certificate) -> None:
    """Raises InvalidSignature unless this key signed the certificate, as the certificate says, with SHA-256."""
    public_key, body = key.public_key(), certificate.tbs_certificate_bytes
    how = certificate.signature_algorithm_parameters
    if isinstance(public_key, rsa.RSAPublicKey):
        assert isinstance(how, padding.PKCS1v15 | padding.PSS)
        public_key.verify(certificate.signature, body, how, hashes.SHA256())
    else:
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        public_key.verify(certificate.signature, body, ec.ECDSA(hashes.SHA256()))


TWINNED = {
    "default": spec(),
    "p384": spec(key="ec-p384", signature="sha384"),
    "p521": spec(key="ec-p521"),
    "ed25519": spec(key="ed25519"),
    "rsa": spec(key="rsa-2048"),
    "rsa-md5": spec(key="rsa-1024", signature="md5"),
    "ec-sha1": spec(signature="sha1"),
    "bare": spec(common_name="", names=(), ca="absent", key_ids=False),
    "rich": spec(
        names=("a.test", "::1"), path_length=3, key_usage=KEY_USAGES, usage="any", not_after="2060-01-01T00:00:00Z"
    ),
    **CHAIN,
}


def test_a_twin_differs_in_key_and_signature_only() -> None:
    """Every other byte is the same: serial number, names, dates, extensions, key identifiers, algorithms."""
    originals = issue(TWINNED)
    for name, twin in twins(originals).items():
        original = originals[name]
        assert apart_from_the_key(twin.x509) == apart_from_the_key(original.x509), name
        assert public(twin.x509) != public(original.x509), name
        assert twin.x509.signature != original.x509.signature, name
        assert twin.x509.signature_algorithm_oid == original.x509.signature_algorithm_oid, name
        assert twin.key.public_key() == twin.x509.public_key(), name
        assert key_kind(twin.x509) == key_kind(original.x509), name
        assert twin.name == name


def test_twins_verify_among_themselves_and_never_under_the_original(tmp_path: Path) -> None:
    """The impostor's signatures are right, under the impostor's root; under the genuine one the signature is wrong."""
    originals = issue(TWINNED)
    copies = twins(originals)
    for name, twin in copies.items():
        if name == "bare":
            continue  # without basicConstraints openssl accepts none as an issuer, not even of itself
        root_of_twin, root = (it.issuers[-1] if it.issuers else it for it in (twin, originals[name]))
        assert verify(tmp_path, twin, root_of_twin, "-check_ss_sig") == "", name
        assert verify(tmp_path, twin, root, "-check_ss_sig") != "", name
    assert "signature failure" in verify(
        tmp_path, replace(copies["leaf"], issuer=originals["intermediate"]), originals["root"]
    )


def test_the_issuers_of_a_twin_are_twins_of_its_issuers() -> None:
    """Also when only the leaf was given; what is given twice is one."""
    originals = issue(CHAIN)
    copies = twins({"only": originals["leaf"], "again": replace(originals["leaf"], name="other")})
    assert [(name, it.name) for name, it in copies.items()] == [("only", "leaf"), ("again", "other")]
    assert copies["only"].x509 == copies["again"].x509
    assert [it.x509.subject for it in copies["only"].issuers] == [it.x509.subject for it in originals["leaf"].issuers]
    keys = {public(it.x509) for chain in (copies["only"], originals["leaf"]) for it in (chain, *chain.issuers)}
    assert len(keys) == 6

    together = twins(originals)
    assert together["leaf"].issuer == together["intermediate"]
    assert together["leaf"].issuers[-1] == together["root"]


def test_who_shared_a_key_shares_the_twins_key() -> None:
    originals = issue({"old": spec(), "renewed": spec(same_key_as="old"), "other": spec()})
    copies = twins(originals)
    assert public(copies["old"].x509) == public(copies["renewed"].x509) != public(copies["other"].x509)
    assert public(copies["old"].x509) != public(originals["old"].x509)


def test_two_impostors_share_nothing() -> None:
    originals = issue({"it": spec()})
    assert public(twins(originals)["it"].x509) != public(twins(originals)["it"].x509)


def test_a_twin_of_a_stranger_keeps_every_byte_too() -> None:
    """A certificate made elsewhere: a subject of other string types, an RSA-PSS signature, an issuer without key."""
    key = rsa.generate_private_key(65537, 2048)
    authority = rsa.generate_private_key(65537, 2048)
    theirs, its = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, x509.name._ASN1Type.PrintableString)])
        for text in ("Old authority", "Old leaf")
    )
    signed = (
        x509.CertificateBuilder(theirs, its, key.public_key(), 1, NOW, NOW + timedelta(days=1))
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), critical=True)
        .sign(authority, hashes.SHA256(), rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), 20))
    )
    impostor = _Impostor()
    twin = impostor.twin(Certificate("it", signed, key))
    assert apart_from_the_key(twin.x509) == apart_from_the_key(signed)
    assert public(twin.x509) != public(signed)
    assert_signed_by(impostor._strangers[theirs], twin.x509)
    assert isinstance(twin.x509.signature_algorithm_parameters, padding.PSS)


def test_no_twin_of_a_certificate_with_another_key() -> None:
    """What would quietly keep the genuine key is refused."""
    one_, two = issue({"one": spec(), "two": spec()}).values()
    with pytest.raises(LabError, match=r"no twin of certificate 'one'"):
        twins({"one": Certificate("one", one_.x509, two.key)})


# --- trustme -----------------------------------------------------------------------------------------------------


def different(one_: x509.Certificate, other: x509.Certificate) -> set[str]:
    first, second = says(one_), says(other)
    return {field for field in {*first, *second} if first.get(field) != second.get(field)}


def test_what_trustme_cannot_express_in_a_leaf() -> None:
    """Why no spec is issued by trustme; the day that it can, this fails and `issue` may hand leaves over."""
    like_trustme = replace(LEAF, issuer="root", key_usage=("digitalSignature", "keyEncipherment"))
    certificates = issue({"root": ROOT, "leaf": like_trustme}, NOW)
    root, leaf = certificates["root"], certificates["leaf"].x509
    theirs = trustme.CA.from_pem(root.pem, root.key_pem).issue_cert(
        "localhost", common_name="localhost", not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=365)
    )
    closest = x509.load_pem_x509_certificate(theirs.cert_chain_pems[0].bytes())
    assert different(leaf, closest) == {"subject", "subjectAltName", "extendedKeyUsage"}
    assert {attribute.oid for attribute in closest.subject} > {NameOID.COMMON_NAME}
    assert closest.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).critical
    assert len(stated(closest, x509.ExtendedKeyUsage)) == 3


def test_what_trustme_cannot_express_in_an_authority() -> None:
    """The same for roots: a subject of its own choice, its own dates, an authority key identifier."""
    like_trustme = replace(ROOT, key_usage=("digitalSignature", "keyCertSign", "cRLSign"), path_length=9)
    theirs = x509.load_pem_x509_certificate(trustme.CA().cert_pem.bytes())
    ours = issue({"root": like_trustme}, NOW)["root"].x509
    assert different(ours, theirs) == {"subject", "issuer", "validity", "authorityKeyIdentifier"}


def test_our_authority_serves_another_issuer(tmp_path: Path) -> None:
    """A leaf that trustme issues with our root's key is verified under our root: it is an authority to others."""
    root = issue({"root": STRICT_ROOT})["root"]
    leaf = from_trustme(trustme.CA.from_pem(root.pem, root.key_pem).issue_cert("localhost"))
    assert verify(tmp_path, leaf, root, "-purpose", "sslserver", "-x509_strict") == ""


def test_a_leaf_of_trustme_is_a_certificate_like_others(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    it = from_trustme(leaf, "theirs")
    assert (it.name, it.pem, it.chain) == ("theirs", leaf.cert_chain_pems[0].bytes(), ())
    assert it.key.public_key() == it.x509.public_key()

    root = from_trustme(leaf, authority=authority).issuers[-1]
    assert root.pem == authority.cert_pem.bytes()
    assert verify(tmp_path, it, root) == ""


@pytest.mark.parametrize("kind", list(trustme.KeyType))
def test_a_leaf_of_a_child_authority_brings_its_chain(tmp_path: Path, kind: trustme.KeyType) -> None:
    """The intermediates in order, without the root, as trustme's own chain has them."""
    child = trustme.CA(key_type=kind).create_child_ca(kind).create_child_ca(kind)
    leaf = child.issue_cert("localhost", key_type=kind)
    it = from_trustme(leaf, authority=child)
    assert [issuer.pem for issuer in it.chain] == [pem.bytes() for pem in leaf.cert_chain_pems[1:]]
    assert verify(tmp_path, it, it.issuers[-1]) == ""

    twin = twins({"it": it})["it"]
    assert apart_from_the_key(twin.x509) == apart_from_the_key(it.x509)
    assert verify(tmp_path, twin, twin.issuers[-1]) == ""
    assert verify(tmp_path, twin, it.issuers[-1]) != ""


def test_a_chain_without_its_authority_is_refused() -> None:
    """A server that silently sent too short a chain would prove something else."""
    leaf = trustme.CA().create_child_ca().issue_cert("localhost")
    with pytest.raises(LabError, match=r"'theirs'.*authority=…"):
        from_trustme(leaf, "theirs")
    with pytest.raises(LabError, match=r"'theirs' was not issued by the given authority"):
        from_trustme(leaf, "theirs", trustme.CA())


@pytest.mark.parametrize("kind", list(trustme.KeyType))
def test_the_twin_of_a_leaf_whose_authority_is_not_known(tmp_path: Path, kind: trustme.KeyType) -> None:
    """Without its authority's key a leaf gets a twin all the same, signed by a new key, one for each authority."""
    authority = trustme.CA(key_type=kind)
    root = from_trustme(authority.issue_cert("a"), authority=authority).issuers[-1]
    originals = [from_trustme(authority.issue_cert("localhost", key_type=kind), name) for name in ("one", "two")]
    impostor = _Impostor()
    copies = [impostor.twin(original) for original in originals]
    assert list(impostor._strangers) == [root.x509.subject]
    for original, copy in zip(originals, copies, strict=True):
        assert apart_from_the_key(copy.x509) == apart_from_the_key(original.x509)
        assert verify(tmp_path, original, root) == ""
        assert "signature failure" in verify(tmp_path, copy, root)
        assert_signed_by(impostor._strangers[root.x509.subject], copy.x509)


def test_an_authority_whose_parent_is_not_known_is_sent_along() -> None:
    """A child that trustme loaded from PEM has no parent, and is no root for that."""
    child = trustme.CA().create_child_ca()
    loaded = trustme.CA.from_pem(child.cert_pem.bytes(), child.private_key_pem.bytes())
    it = from_trustme(loaded.issue_cert("localhost"), authority=loaded)
    assert [issuer.pem for issuer in it.chain] == [child.cert_pem.bytes()]


def test_other_kinds_of_key_are_refused() -> None:
    leaf = trustme.CA().issue_cert("localhost")
    ed448 = openssl("genpkey", "-algorithm", "ed448").stdout
    odd = trustme.LeafCert(ed448, leaf.cert_chain_pems[0].bytes(), [])
    with pytest.raises(LabError, match="use one of EC, RSA or Ed25519"):
        from_trustme(odd)
