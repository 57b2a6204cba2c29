"""Twins: certificates of an impostor, identical to the genuine ones except for key and signature."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from tests.lab.certificates.readings import (
    CHAIN,
    NOW,
    assert_signed_by,
    key_kind,
    public_key_der,
    spec,
    verify,
    without_public_key,
)

from ftps_lab.certificates import KEY_USAGES, Certificate, issue, twins
from ftps_lab.certificates.impostor import _Impostor
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path


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


def test_twin_differs_only_in_key_and_signature() -> None:
    """Serial number, names, dates, extensions, key identifiers and algorithms are the same bytes."""
    originals = issue(TWINNED)
    for name, twin in twins(originals).items():
        original = originals[name]
        assert without_public_key(twin.x509) == without_public_key(original.x509), name
        assert public_key_der(twin.x509) != public_key_der(original.x509), name
        assert twin.x509.signature != original.x509.signature, name
        assert twin.x509.signature_algorithm_oid == original.x509.signature_algorithm_oid, name
        assert twin.key.public_key() == twin.x509.public_key(), name
        assert key_kind(twin.x509) == key_kind(original.x509), name
        assert twin.name == name


def test_twins_verify_under_the_twin_root_only(tmp_path: Path) -> None:
    """The impostor's signatures are valid under its own root, and invalid under the genuine one."""
    originals = issue(TWINNED)
    copies = twins(originals)
    for name, twin in copies.items():
        if name == "bare":
            continue  # without basicConstraints openssl accepts no certificate as an issuer, not even of itself
        root_of_twin, root = (it.issuers[-1] if it.issuers else it for it in (twin, originals[name]))
        assert verify(tmp_path, twin, root_of_twin, "-check_ss_sig") == "", name
        assert verify(tmp_path, twin, root, "-check_ss_sig") != "", name
    assert "signature failure" in verify(
        tmp_path, replace(copies["leaf"], issuer=originals["intermediate"]), originals["root"]
    )


def test_issuers_of_a_twin_are_twins() -> None:
    """Also if only the leaf was given; a certificate given twice gets one twin."""
    originals = issue(CHAIN)
    copies = twins({"only": originals["leaf"], "again": replace(originals["leaf"], name="other")})
    assert [(name, it.name) for name, it in copies.items()] == [("only", "leaf"), ("again", "other")]
    assert copies["only"].x509 == copies["again"].x509
    assert [it.x509.subject for it in copies["only"].issuers] == [it.x509.subject for it in originals["leaf"].issuers]
    keys = {public_key_der(it.x509) for chain in (copies["only"], originals["leaf"]) for it in (chain, *chain.issuers)}
    assert len(keys) == 6

    together = twins(originals)
    assert together["leaf"].issuer == together["intermediate"]
    assert together["leaf"].issuers[-1] == together["root"]


def test_certificates_with_one_key_get_twins_with_one_key() -> None:
    originals = issue({"old": spec(), "renewed": spec(same_key_as="old"), "other": spec()})
    copies = twins(originals)
    assert (
        public_key_der(copies["old"].x509)
        == public_key_der(copies["renewed"].x509)
        != public_key_der(copies["other"].x509)
    )
    assert public_key_der(copies["old"].x509) != public_key_der(originals["old"].x509)


def test_each_impostor_has_its_own_keys() -> None:
    originals = issue({"it": spec()})
    assert public_key_der(twins(originals)["it"].x509) != public_key_der(twins(originals)["it"].x509)


def test_twin_of_a_foreign_certificate_keeps_every_other_byte() -> None:
    """Made elsewhere: other string types in the subject, RSA-PSS, an issuer whose key is unknown."""
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
    assert without_public_key(twin.x509) == without_public_key(signed)
    assert public_key_der(twin.x509) != public_key_der(signed)
    assert_signed_by(impostor._strangers[theirs], twin.x509)
    assert isinstance(twin.x509.signature_algorithm_parameters, padding.PSS)


def test_twin_is_refused_if_key_and_certificate_differ() -> None:
    """Its twin would silently keep the genuine key."""
    one_, two = issue({"one": spec(), "two": spec()}).values()
    with pytest.raises(LabError, match=r"no twin of certificate 'one'"):
        twins({"one": Certificate("one", one_.x509, two.key)})
