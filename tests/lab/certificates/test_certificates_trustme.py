"""Certificates from trustme beside ours: what trustme cannot express, and how the lab adopts its certificates."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID
from msgspec.structs import replace
from tests.lab.certificates.readings import (
    LEAF,
    NOW,
    ROOT,
    STRICT_ROOT,
    assert_signed_by,
    extension_value,
    fields_of,
    openssl,
    verify,
    without_public_key,
)

from ftps_lab.certificates import from_trustme, issue, twins
from ftps_lab.certificates.impostor import _Impostor
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path


def different_fields(one_: x509.Certificate, other: x509.Certificate) -> set[str]:
    first, second = fields_of(one_), fields_of(other)
    return {field for field in {*first, *second} if first.get(field) != second.get(field)}


def test_trustme_leaf_differs_in_subject_san_and_usage() -> None:
    """This is why trustme issues no spec; once it can, this test fails and `issue` may delegate leaves to it."""
    like_trustme = replace(LEAF, issuer="root", key_usage=("digitalSignature", "keyEncipherment"))
    certificates = issue({"root": ROOT, "leaf": like_trustme}, NOW)
    root, leaf = certificates["root"], certificates["leaf"].x509
    theirs = trustme.CA.from_pem(root.pem, root.key_pem).issue_cert(
        "localhost", common_name="localhost", not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=365)
    )
    closest = x509.load_pem_x509_certificate(theirs.cert_chain_pems[0].bytes())
    assert different_fields(leaf, closest) == {"subject", "subjectAltName", "extendedKeyUsage"}
    assert {attribute.oid for attribute in closest.subject} > {NameOID.COMMON_NAME}
    assert closest.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).critical
    assert len(extension_value(closest, x509.ExtendedKeyUsage)) == 3


def test_trustme_authority_differs_in_subject_dates_and_key_id() -> None:
    """trustme chooses subject and dates itself, and adds an authority key identifier."""
    like_trustme = replace(ROOT, key_usage=("digitalSignature", "keyCertSign", "cRLSign"), path_length=9)
    theirs = x509.load_pem_x509_certificate(trustme.CA().cert_pem.bytes())
    ours = issue({"root": like_trustme}, NOW)["root"].x509
    assert different_fields(ours, theirs) == {"subject", "issuer", "validity", "authorityKeyIdentifier"}


def test_leaf_signed_by_trustme_verifies_under_our_root(tmp_path: Path) -> None:
    """trustme can issue with the key of our authority."""
    root = issue({"root": STRICT_ROOT})["root"]
    leaf = from_trustme(trustme.CA.from_pem(root.pem, root.key_pem).issue_cert("localhost"))
    assert verify(tmp_path, leaf, root, "-purpose", "sslserver", "-x509_strict") == ""


def test_from_trustme_adopts_leaf_key_and_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    it = from_trustme(leaf, "theirs")
    assert (it.name, it.pem, it.chain) == ("theirs", leaf.cert_chain_pems[0].bytes(), ())
    assert it.key.public_key() == it.x509.public_key()

    root = from_trustme(leaf, authority=authority).issuers[-1]
    assert root.pem == authority.cert_pem.bytes()
    assert verify(tmp_path, it, root) == ""


@pytest.mark.parametrize("kind", list(trustme.KeyType))
def test_leaf_of_a_trustme_child_authority_has_its_chain(tmp_path: Path, kind: trustme.KeyType) -> None:
    """The chain has the intermediates in order, without the root, like trustme's own chain; twins copy it."""
    child = trustme.CA(key_type=kind).create_child_ca(kind).create_child_ca(kind)
    leaf = child.issue_cert("localhost", key_type=kind)
    it = from_trustme(leaf, authority=child)
    assert [issuer.pem for issuer in it.chain] == [pem.bytes() for pem in leaf.cert_chain_pems[1:]]
    assert verify(tmp_path, it, it.issuers[-1]) == ""

    twin = twins({"it": it})["it"]
    assert without_public_key(twin.x509) == without_public_key(it.x509)
    assert verify(tmp_path, twin, twin.issuers[-1]) == ""
    assert verify(tmp_path, twin, it.issuers[-1]) != ""


def test_from_trustme_refuses_a_chain_without_its_authority() -> None:
    """A server that silently sent an incomplete chain would prove something else."""
    leaf = trustme.CA().create_child_ca().issue_cert("localhost")
    with pytest.raises(LabError, match=r"'theirs'.*authority=…"):
        from_trustme(leaf, "theirs")
    with pytest.raises(LabError, match=r"'theirs' was not issued by the given authority"):
        from_trustme(leaf, "theirs", trustme.CA())


@pytest.mark.parametrize("kind", list(trustme.KeyType))
def test_leaf_with_unknown_authority_gets_a_twin(tmp_path: Path, kind: trustme.KeyType) -> None:
    """A new key signs it, one for each authority."""
    authority = trustme.CA(key_type=kind)
    root = from_trustme(authority.issue_cert("a"), authority=authority).issuers[-1]
    originals = [from_trustme(authority.issue_cert("localhost", key_type=kind), name) for name in ("one", "two")]
    impostor = _Impostor()
    copies = [impostor.twin(original) for original in originals]
    assert list(impostor._strangers) == [root.x509.subject]
    for original, copy in zip(originals, copies, strict=True):
        assert without_public_key(copy.x509) == without_public_key(original.x509)
        assert verify(tmp_path, original, root) == ""
        assert "signature failure" in verify(tmp_path, copy, root)
        assert_signed_by(impostor._strangers[root.x509.subject], copy.x509)


def test_authority_with_unknown_parent_is_in_the_chain() -> None:
    """A child that trustme loaded from PEM has no parent, which does not make it a root."""
    child = trustme.CA().create_child_ca()
    loaded = trustme.CA.from_pem(child.cert_pem.bytes(), child.private_key_pem.bytes())
    it = from_trustme(loaded.issue_cert("localhost"), authority=loaded)
    assert [issuer.pem for issuer in it.chain] == [child.cert_pem.bytes()]


def test_from_trustme_refuses_other_kinds_of_key() -> None:
    leaf = trustme.CA().issue_cert("localhost")
    ed448 = openssl("genpkey", "-algorithm", "ed448").stdout
    odd = trustme.LeafCert(ed448, leaf.cert_chain_pems[0].bytes(), [])
    with pytest.raises(LabError, match="use one of EC, RSA or Ed25519"):
        from_trustme(odd)
