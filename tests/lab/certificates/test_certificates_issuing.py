"""Issuing: which key signs what, what openssl accepts, what is refused, and the encodings that result."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec.structs import replace
from tests.lab.certificates.readings import CHAIN, LEAF, NOW, ROOT, STRICT_ROOT, openssl, public_key_der, spec, verify

from ftps_lab.certificates import KEYS, SIGNATURES, CertificateSpec, check, issue, twins
from ftps_lab.certificates import issuing as issuing_module
from ftps_lab.certificates.issuing import NEW_KEY
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import rsa

    from ftps_lab.certificates.spec import Key, Signature


def test_issuers_may_follow_what_they_issue() -> None:
    """The order of the specs does not matter, and the result keeps it."""
    certificates = issue(dict(reversed(CHAIN.items())), NOW)
    assert list(certificates) == ["leaf", "intermediate", "root"]
    assert certificates["leaf"].issuers == (certificates["intermediate"], certificates["root"])
    assert certificates["leaf"].chain == (certificates["intermediate"],)
    assert certificates["root"].issuer is None


def test_certificates_of_one_spec_have_different_keys() -> None:
    """Issuing again makes new ones too."""
    specs = {"one": CertificateSpec(), "two": CertificateSpec()}
    assert len({public_key_der(it.x509) for _ in range(2) for it in issue(specs, NOW).values()}) == 4


def test_same_key_as_follows_a_chain_of_renewals() -> None:
    """A renewal keeps the key of another renewal, even if the original comes later."""
    certificates = issue(
        {
            "third": CertificateSpec(same_key_as="second"),
            "second": CertificateSpec(same_key_as="first", not_after="+730d"),
            "first": CertificateSpec(key="ec-p384"),
        },
        NOW,
    )
    assert len({public_key_der(it.x509) for it in certificates.values()}) == 1
    assert len({it.sha256 for it in certificates.values()}) == 3


def test_authority_may_have_the_key_of_its_leaf() -> None:
    """Keys and signatures are ordered separately, so this is not a cycle."""
    certificates = issue({"leaf": CertificateSpec(issuer="root"), "root": replace(ROOT, same_key_as="leaf")}, NOW)
    assert certificates["leaf"].x509.public_key() == certificates["root"].x509.public_key()
    certificates["leaf"].x509.verify_directly_issued_by(certificates["root"].x509)


# Ed25519 has a fixed hash, and ECDSA with MD5 was never defined.
ALGORITHMS = [
    pytest.param(key, signature, marks=pytest.mark.long if key == "rsa-4096" else ())  # a second for each new key
    for key in KEYS
    for signature in SIGNATURES
    if (signature == "sha256" or key != "ed25519") and (signature != "md5" or key.startswith("rsa-"))
]


@pytest.mark.parametrize(("key", "signature"), ALGORITHMS)
def test_openssl_accepts_every_key_and_signature_algorithm(tmp_path: Path, key: Key, signature: Signature) -> None:
    """On root and leaf."""
    specs = {
        "root": replace(ROOT, key=key, signature=signature),
        "leaf": replace(LEAF, issuer="root", signature=signature),
    }
    certificates = issue(specs)
    assert verify(tmp_path, certificates["leaf"], certificates["root"], "-check_ss_sig") == ""


def test_openssl_reads_md5_and_sha1_signatures(tmp_path: Path) -> None:
    """cryptography refuses to sign with them; the algorithm is in the certificate twice, and openssl names both."""
    for weak, name in (
        (spec(key="rsa-1024", signature="md5"), b"md5WithRSAEncryption"),
        (spec(key="rsa-1024", signature="sha1"), b"sha1WithRSAEncryption"),
        (spec(signature="sha1"), b"ecdsa-with-SHA1"),
    ):
        pem = issue({"it": weak})["it"].pem
        assert openssl("x509", "-noout", "-text", stdin=pem).stdout.count(b"Signature Algorithm: " + name) == 2


def test_openssl_accepts_a_chain_only_with_its_intermediate(tmp_path: Path) -> None:
    certificates = issue(CHAIN | {"root": STRICT_ROOT})
    leaf, root = certificates["leaf"], certificates["root"]
    assert verify(tmp_path, leaf, root, "-purpose", "sslserver", "-x509_strict") == ""
    assert "unable to get local issuer" in verify(tmp_path, dataclasses.replace(leaf, issuer=None), root)


NOT_A_CA = {"invalid CA certificate", "unsuitable certificate purpose"}


@pytest.mark.parametrize(
    ("changed", "complaints"),
    [
        ({"leaf": {"not_after": "-1h"}}, {"certificate has expired"}),
        ({"leaf": {"not_before": "+1h"}}, {"certificate is not yet valid"}),
        ({"leaf": {"usage": "client"}}, {"unsuitable certificate purpose"}),
        ({"intermediate": {"not_after": "-1h"}}, {"certificate has expired"}),
        ({"intermediate": {"ca": False}}, NOT_A_CA),
        (
            {"intermediate": {"key_usage": ("digitalSignature",)}},
            NOT_A_CA | {"key usage does not include certificate signing"},
        ),
        ({"root": {"path_length": 0}}, {"path length constraint exceeded"}),
    ],
)
def test_defective_chain_has_only_the_named_defect(
    tmp_path: Path, changed: dict[str, dict[str, Any]], complaints: set[str]
) -> None:
    """openssl names every error that it sees."""
    specs = {name: replace(spec, **changed.get(name, {})) for name, spec in CHAIN.items()}
    certificates = issue(specs)
    printed = verify(tmp_path, certificates["leaf"], certificates["root"], "-purpose", "sslserver")
    assert {line.split(" lookup: ")[1] for line in printed.splitlines() if " lookup: " in line} == complaints, printed


def test_issue_resolves_dates_at_the_given_time() -> None:
    """A spec that is in order at `now` is issued, whatever the current time."""
    long_ago = {"it": CertificateSpec(not_after="2001-01-01T00:00:00Z")}
    it = issue(long_ago, datetime(2000, 12, 1, tzinfo=UTC))["it"].x509
    assert it.not_valid_before_utc == datetime(2000, 11, 30, tzinfo=UTC)
    with pytest.raises(LabError, match="not_after"):
        issue(long_ago, NOW)


def test_issuer_without_ca_may_issue() -> None:
    """The lab needs such bad chains: refusing them is the client's part."""
    specs = {"root": replace(ROOT, ca=False), "leaf": replace(LEAF, issuer="root")}
    assert check(specs) == []
    assert issue(specs)["leaf"].issuer is not None


def test_issue_reports_certificate_and_key_of_every_problem() -> None:
    with pytest.raises(LabError, match=r"'leaf', key 'issuer': unknown certificate 'root'.*'other', key 'usage'"):
        issue({"leaf": CertificateSpec(issuer="root"), "other": spec(usage="mail")})


def test_unsupported_signature_is_a_lab_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system whose crypto policy forbids SHA-1 gets a sentence, not a traceback."""

    def decline(*_: object) -> x509.Certificate:
        raise UnsupportedAlgorithm("sha1 is not supported here")

    monkeypatch.setattr(issuing_module, "sign_as_declined", decline)
    with pytest.raises(LabError, match=r"'old', key 'signature': the TLS library here cannot sign with sha1: sha1 is"):
        issue({"old": CertificateSpec(signature="sha1")})


def test_unsupported_key_is_a_lab_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def decline() -> rsa.RSAPrivateKey:
        raise ValueError("key_size must be at least 2048-bits")

    monkeypatch.setitem(NEW_KEY, "rsa-1024", decline)
    with pytest.raises(
        LabError,
        match=r"'small', key 'key': the TLS library here cannot generate a key of kind rsa-1024: key_size must",
    ):
        issue({"small": CertificateSpec(key="rsa-1024")})


def test_issuing_writes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    twins(issue(CHAIN))
    assert list(tmp_path.iterdir()) == []


# --- what comes out ----------------------------------------------------------------------------------------------


def test_fingerprints_equal_those_of_openssl() -> None:
    """Upper case with colons, as lftp prints SHA-1 and users paste SHA-256."""
    it = issue({"it": CertificateSpec()})["it"]
    for option, fingerprint in (("-sha1", it.sha1), ("-sha256", it.sha256)):
        printed = openssl("x509", "-noout", "-fingerprint", option, stdin=it.pem).stdout.decode()
        assert printed.strip().split("=")[1] == fingerprint


@pytest.mark.parametrize("key", ["ec-p256", "ed25519", "rsa-1024"])
def test_pem_der_and_key_pem_agree(key: Key) -> None:
    """PEM and DER hold the certificate, and the key's PEM holds the certificate's key as unencrypted PKCS #8."""
    it = issue({"it": CertificateSpec(key=key)})["it"]
    assert x509.load_pem_x509_certificate(it.pem) == x509.load_der_x509_certificate(it.der) == it.x509
    assert it.key_pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert load_pem_private_key(it.key_pem, None).public_key() == it.x509.public_key()


def test_repr_hides_the_key() -> None:
    """A certificate in a failed assertion prints its name, not its key."""
    it = issue({"genuine": CertificateSpec()})["genuine"]
    assert "genuine" in repr(it)
    assert "key=" not in repr(it)


def test_specs_load_no_tls_library() -> None:
    """Importing cryptography would double the time of `ftps-lab list`."""
    code = (
        "import sys; from ftps_lab.certificates import CertificateSpec, check, moment; "
        "assert check({'a': CertificateSpec()}) == []; "
        "print([name for name in sys.modules if name.split('.')[0] in ('cryptography', 'OpenSSL', 'ssl', 'trustme')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_unknown_name_in_the_package_is_an_attribute_error() -> None:
    """The package looks names up lazily."""
    import ftps_lab.certificates as package  # the subject of this test

    assert package.issue is issue
    with pytest.raises(AttributeError, match="has no attribute 'isue'"):
        getattr(package, "isue")  # noqa: B009 - mypy knows that there is none
