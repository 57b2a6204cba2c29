"""Certificates with hostile text: they contain every byte, clients load them, and their signatures are valid."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.lab.keys import EVERY_KEY
from tests.lab.scripted.test_scripted_steps import client_context, connect_tls
from tests.lab.sessions import peer_der

from ftps_lab.certificates import Certificate, CertificateSpec, hostile, issue, twins
from ftps_lab.certificates.hostile import ATTRIBUTES, FETCHED_BYTES
from ftps_lab.scripted.peers import ftps
from ftps_lab.scripted.texts import HOSTILE_TEXT

if TYPE_CHECKING:
    from tests.lab.scripted.serving import Scripted

    from ftps_lab.certificates.spec import Key

HOST = "backup.example"
SHORT = {name: text for name, text in HOSTILE_TEXT.items() if len(text) < 1000}


def openssl(certificate: Certificate, *words: str) -> bytes:
    return subprocess.run(
        ["openssl", *words], input=certificate.pem, capture_output=True, check=True, timeout=20
    ).stdout


def openssl_accepts(certificate: Certificate, host: str) -> bool:
    """Whether openssl, which trusts only this certificate, accepts it for a host."""
    pem = certificate.pem
    done = subprocess.run(
        ["sh", "-c", 'cat > pin && openssl verify -CAfile pin -verify_hostname "$0" pin', host],
        input=pem,
        capture_output=True,
        check=False,
        timeout=20,
    )
    return done.returncode == 0


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))


@pytest.mark.parametrize("name", HOSTILE_TEXT)
def test_hostile_text_is_in_subject_issuer_san_and_comment(name: str) -> None:
    text = HOSTILE_TEXT[name]
    certificate = hostile(HOST, {"CN": text, "O": text, "OU": text}, names=[text], comment=text)
    assert certificate.der.count(text) >= 2 * 3 + 2
    assert openssl(certificate, "x509", "-noout", "-subject", "-ext", "subjectAltName")
    assert openssl_accepts(certificate, HOST)
    assert not openssl_accepts(certificate, "another.example")


@pytest.mark.parametrize("key", EVERY_KEY)
def test_hostile_certificate_is_self_signed_with_every_kind_of_key(key: Key) -> None:
    certificate = hostile(HOST, {"CN": SHORT["quotes"]}, key=key)
    assert certificate.x509.public_key() == certificate.key.public_key()
    certificate.x509.verify_directly_issued_by(certificate.x509)
    assert certificate.signed_itself
    assert certificate.chain == ()


def test_subject_has_the_given_attributes_in_order() -> None:
    subject = dict.fromkeys(reversed(ATTRIBUTES), b"XY")
    printed = openssl(hostile(HOST, subject), "x509", "-noout", "-subject", "-nameopt", "sname,sep_comma_plus")
    names = [each.split("=")[0].strip() for each in printed.decode().removeprefix("subject=").split(",")]
    assert [name.lower() for name in names] == [name.lower() for name in reversed(ATTRIBUTES)]
    assert openssl(hostile(HOST, {}), "x509", "-noout", "-subject").strip() == b"subject="


@pytest.mark.parametrize("size", [64, 65, 127, 128, 255, 256, 65535, 65536])
def test_subject_may_exceed_the_length_limits_of_x520(size: int) -> None:
    text = b"x" * size
    printed = openssl(hostile(HOST, {"CN": text, "O": text}), "x509", "-noout", "-subject")
    assert printed.count(text) == 2


@pytest.mark.parametrize("where", ["comment", "one name", "many names"])
def test_client_fetches_certificate_with_64_kib_of_text(scripted: Scripted, where: str) -> None:
    long = b"A" * 65536
    certificate = {
        "comment": lambda: hostile(HOST, {"CN": b"x"}, comment=long),
        "one name": lambda: hostile(HOST, {"CN": b"x"}, names=[long]),
        "many names": lambda: hostile(HOST, {"CN": b"x"}, names=[b"n%04d.example" % at for at in range(4600)]),
    }[where]()
    assert 65536 < len(certificate.der) < FETCHED_BYTES
    server = scripted.serve(ftps(certificate))
    with connect_tls(scripted.connect(server), certificate) as client:
        assert peer_der(client) == certificate.der


@pytest.mark.parametrize("name", SHORT)
def test_client_that_trusts_hostile_certificate_is_served(scripted: Scripted, name: str) -> None:
    certificate = hostile(HOST, {"CN": SHORT[name], "O": SHORT[name]}, names=[SHORT[name]])
    server = scripted.serve(ftps(certificate))
    context = client_context(certificate)
    context.check_hostname = True
    sock = scripted.connect(server)
    sock.recv(512)
    sock.sendall(b"AUTH TLS\r\n")
    sock.recv(512)
    with context.wrap_socket(sock, server_hostname=HOST) as client:
        assert peer_der(client) == certificate.der
    (connection,) = server.connections(10)
    assert connection.certificate == certificate.sha256


def test_unknown_subject_attribute_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        hostile(HOST, {"colour": b"blue"})


@pytest.mark.parametrize(
    "text", ["a\nset ssl:verify-certificate no\r\n", "$(touch x)`touch x`;'\"", "\x1b[2J\x07", "a\0b", "x" * 64]
)
def test_common_name_of_a_spec_may_have_any_characters(text: str) -> None:
    """Up to 64 bytes; twins of such certificates have the same text."""
    certificate = issue({"it": CertificateSpec(common_name=text, names=(HOST,))})["it"]
    assert certificate.der.count(text.encode()) == 2
    assert twins({"it": certificate})["it"].der.count(text.encode()) == 2
