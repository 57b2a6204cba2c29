"""TLS contexts do what was asked of them: handshakes in memory, with Python's `ssl` (another OpenSSL) as the client."""

from __future__ import annotations

import ssl
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from OpenSSL import SSL
from tests.lab.keys import EVERY_KEY

from ftps_lab.certificates import Certificate, CertificateSpec, from_trustme, issue, twins
from ftps_lab.errors import LabError
from ftps_lab.server.tls import VERSIONS, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftps_lab.certificates.spec import Key, Signature

CLIENT_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
VERSION_NAMES = {"1.0": "TLSv1", "1.1": "TLSv1.1", "1.2": "TLSv1.2", "1.3": "TLSv1.3"}


def certificate(**keys: Any) -> Certificate:
    return issue({"genuine": CertificateSpec(**keys)})["genuine"]


def client(*trusted: Certificate, version: str | None = None) -> ssl.SSLContext:
    """A client that accepts any algorithm; without trusted certificates it verifies nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1 are what some tests are about
        context.minimum_version = CLIENT_VERSIONS[version or "1.0"]
        context.maximum_version = CLIENT_VERSIONS[version or "1.3"]
    if trusted:
        context.load_verify_locations(cadata="".join(it.pem.decode() for it in trusted))
    else:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class MemorySession:
    """A client and a server that exchange bytes in memory until both have finished the handshake."""

    def __init__(
        self,
        server: SSL.Context,
        to: ssl.SSLContext,
        host: str = "localhost",
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._to_client, self._to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = to.wrap_bio(self._to_client, self._to_server, server_hostname=host, session=session)
        self.server = SSL.Connection(server, None)
        self.server.set_accept_state()
        self._until(self.client.do_handshake, self.server.do_handshake)

    def _until(self, *steps: Callable[[], object]) -> None:
        waiting = list(steps)
        for _ in range(20):
            for step in tuple(waiting):
                try:
                    step()
                except (ssl.SSLWantReadError, SSL.WantReadError):
                    pass
                else:
                    waiting.remove(step)
                self._carry()
            if not waiting:
                return
        raise AssertionError("the conversation does not end")

    def _carry(self) -> None:
        if sent := self._to_server.read():
            self.server.bio_write(sent)
        with suppress(SSL.WantReadError):
            self._to_client.write(self.server.bio_read(65536))

    def receive(self, text: bytes) -> bytes:
        """Send a text from the server to the client, which also makes the client process TLS 1.3 tickets."""
        self.server.sendall(text)
        self._carry()
        return self.client.read(65536)

    @property
    def shown(self) -> bytes | None:
        return self.client.getpeercert(binary_form=True)


@pytest.mark.parametrize("asked", VERSIONS)
@pytest.mark.parametrize("offered", VERSIONS)
def test_server_speaks_exactly_the_version_it_offers(offered: str, asked: str) -> None:
    """TLS 1.0 and 1.1 really work, although the library's default would refuse both."""
    context = server_context(certificate(), versions=(offered,))
    if offered == asked:
        assert MemorySession(context, client(version=asked)).client.version() == VERSION_NAMES[asked]
    else:
        with pytest.raises((ssl.SSLError, SSL.Error), match=r"version|protocol"):
            MemorySession(context, client(version=asked))


@pytest.mark.parametrize("versions", [("1.3", "1.0"), ("1.1", "1.3"), ("1.0", "1.0", "1.2")])
def test_versions_may_have_gaps_and_any_order(versions: Sequence[str]) -> None:
    """A version between two offered ones is refused."""
    it = certificate()
    for asked in VERSIONS:
        context = server_context(it, versions=versions)
        if asked in versions:
            assert MemorySession(context, client(version=asked)).client.version() == VERSION_NAMES[asked]
        else:
            with pytest.raises((ssl.SSLError, SSL.Error)):
                MemorySession(context, client(version=asked))


def test_default_versions_are_1_2_and_1_3() -> None:
    it = certificate()
    assert MemorySession(server_context(it), client(version="1.2")).client.version() == "TLSv1.2"
    assert MemorySession(server_context(it), client()).client.version() == "TLSv1.3"
    with pytest.raises((ssl.SSLError, SSL.Error)):
        MemorySession(server_context(it), client(version="1.1"))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("key", EVERY_KEY)
def test_every_kind_of_key_is_served(key: str, version: str) -> None:
    """Also RSA-1024, which OpenSSL refuses by default."""
    it = certificate(key=key)
    conversation = MemorySession(server_context(it), client(version=version))
    assert conversation.shown == it.der
    assert conversation.receive(b"220 ready\r\n") == b"220 ready\r\n"


@pytest.mark.parametrize("key", ["ec-p256", "rsa-2048"])
@pytest.mark.parametrize("signature", ["sha1", "md5"])
def test_sha1_and_md5_signatures_are_served(key: Key, signature: Signature) -> None:
    """On the leaf, and on its intermediate."""
    certificates = issue(
        {
            "root": CertificateSpec(common_name="root", key="rsa-1024"),
            "leaf": CertificateSpec(issuer="root", key=key, signature=signature),
            "outdated": CertificateSpec(issuer="root", common_name="i", ca=True, signature=signature, key="rsa-1024"),
            "below": CertificateSpec(issuer="outdated", key=key),
        }
    )
    for name in ("leaf", "below"):
        it = certificates[name]
        assert MemorySession(server_context(it, it.chain), client()).shown == it.der


OUTDATED = [
    {"key": "rsa-1024"},
    {"signature": "sha1"},
    {"signature": "sha1", "key": "rsa-2048"},
    {"signature": "md5", "key": "rsa-2048"},
]


def cipher_strings(
    monkeypatch: pytest.MonkeyPatch, *shown: Certificate, versions: Sequence[str] = ("1.2", "1.3")
) -> list[bytes]:
    """The cipher strings that a context gets: OpenSSL 4.0 would serve most of these at its own level too."""
    given: list[bytes] = []
    monkeypatch.setattr(SSL.Context, "set_cipher_list", lambda _, ciphers: given.append(ciphers))
    with suppress(LabError):  # without the requested level, OpenSSL may refuse
        server_context(shown[0], shown[1:], versions)
    return given


@pytest.mark.parametrize("keys", OUTDATED)
def test_only_outdated_material_lowers_the_security_level(
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]
) -> None:
    """An outdated leaf, chain or version lowers it; otherwise the library's own level stays."""
    ordinary, old = certificate(key="rsa-2048"), certificate(**keys)
    lowered = [b"DEFAULT:@SECLEVEL=0"]
    assert cipher_strings(monkeypatch, ordinary, certificate()) == []
    assert cipher_strings(monkeypatch, old) == lowered
    assert cipher_strings(monkeypatch, ordinary, old) == lowered
    assert cipher_strings(monkeypatch, ordinary, versions=("1.1", "1.2")) == lowered


def test_lowered_level_offers_no_anonymous_ciphers() -> None:
    """An outdated server still presents its certificate to every client."""
    offered = SSL.Connection(server_context(certificate(key="rsa-1024")), None).get_cipher_list()
    assert [name for name in offered if "ADH" in name or "AECDH" in name or "NULL" in name] == []
    assert offered


def test_pinning_client_accepts_the_certificate_but_not_its_twin() -> None:
    """With name and dates checked: the twin's signature is invalid."""
    it = certificate()
    conversation = MemorySession(server_context(it), client(it))
    assert conversation.shown == it.der
    twin = twins({"genuine": it})["genuine"]
    with pytest.raises(ssl.SSLCertVerificationError):
        MemorySession(server_context(twin), client(it))
    assert MemorySession(server_context(twin), client(twin)).shown == twin.der


@pytest.mark.parametrize(
    ("keys", "host", "complaint"),
    [
        ({"not_after": "-1h"}, "localhost", "certificate has expired"),
        ({"not_before": "+1h"}, "localhost", "certificate is not yet valid"),
        ({"usage": "client"}, "localhost", "unsuitable certificate purpose|unsupported certificate purpose"),
        ({"names": ("ftp.example.test",)}, "localhost", "Hostname mismatch"),
        ({"names": ("127.0.0.1",)}, "127.0.0.2", "IP address mismatch"),
        ({"names": ("*.example.test",)}, "a.b.example.test", "Hostname mismatch"),
    ],
)
def test_client_names_the_one_defect_of_the_certificate(keys: dict[str, Any], host: str, complaint: str) -> None:
    """The certificate is pinned, so only the defect of the spec is left."""
    it = certificate(**keys)
    with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
        MemorySession(server_context(it), client(it), host)


@pytest.mark.parametrize(
    ("keys", "host"),
    [
        ({"names": ("::1", "127.0.0.1")}, "127.0.0.1"),
        ({"names": ("::1", "127.0.0.1")}, "::1"),
        ({"names": ("*.example.test",)}, "ftp.example.test"),
        ({"common_name": "", "names": ("localhost",)}, "localhost"),
        ({"not_before": "-0s"}, "localhost"),
    ],
)
def test_client_accepts_the_names_in_the_certificate(keys: dict[str, Any], host: str) -> None:
    it = certificate(**keys)
    assert MemorySession(server_context(it), client(it), host).shown == it.der


CHAIN = {
    "root": CertificateSpec(common_name="root", names=()),
    "upper": CertificateSpec(issuer="root", common_name="upper", ca=True, key_usage=("keyCertSign",), usage="absent"),
    "lower": CertificateSpec(issuer="upper", common_name="lower", ca=True, key_usage=("keyCertSign",), usage="absent"),
    "leaf": CertificateSpec(issuer="lower"),
}


@pytest.mark.parametrize(
    "sent", [[], ["lower"], ["lower", "upper"], ["upper", "lower"], ["lower", "upper", "root"], ["leaf"]]
)
def test_chain_is_sent_as_given(sent: list[str]) -> None:
    """The leaf, then these certificates in this order, right or wrong."""
    certificates = issue(CHAIN)
    context = server_context(certificates["leaf"], [certificates[name] for name in sent])
    server, other = SSL.Connection(context, None), SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    server.set_accept_state()
    other.set_connect_state()
    for sender, receiver in ((other, server), (server, other)):
        with pytest.raises(SSL.WantReadError):
            sender.do_handshake()
        receiver.bio_write(sender.bio_read(65536))
    other.do_handshake()
    shown = other.get_peer_cert_chain(as_cryptography=True)
    assert shown == [certificates[name].x509 for name in ["leaf", *sent]]


def test_client_needs_the_intermediates() -> None:
    certificates = issue(CHAIN)
    leaf, root = certificates["leaf"], certificates["root"]
    assert MemorySession(server_context(leaf, leaf.chain), client(root)).shown == leaf.der
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
        MemorySession(server_context(leaf), client(root))
    copies = twins(certificates)
    with pytest.raises(ssl.SSLCertVerificationError):
        MemorySession(server_context(copies["leaf"], copies["leaf"].chain), client(root))


def test_trustme_leaf_is_served_with_its_chain() -> None:
    """A client that trusts the authority of trustme accepts it."""
    authority = trustme.CA()
    child = authority.create_child_ca()
    it = from_trustme(child.issue_cert("localhost"), authority=child)
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    assert MemorySession(server_context(it, it.chain), trusting).shown == it.der


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_session_is_resumed_on_the_same_context_only(version: str) -> None:
    """lftp's data connection resumes the control connection's session, but not another server's."""
    it = certificate()
    context, trusting = server_context(it), client(it, version=version)
    control = MemorySession(context, trusting)
    control.receive(b"220 ready\r\n")
    session = control.client.session
    assert session is not None
    assert not control.client.session_reused
    assert MemorySession(context, trusting, session=session).client.session_reused
    assert not MemorySession(server_context(it), trusting, session=session).client.session_reused


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_session_is_resumed_with_client_certificates_requested(version: str) -> None:
    """OpenSSL then requires a session id context; without one it ends the handshake with an error."""
    it = certificate()
    context, trusting = server_context(it), client(it, version=version)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    control = MemorySession(context, trusting)
    control.receive(b"220 ready\r\n")
    assert MemorySession(context, trusting, session=control.client.session).client.session_reused


@pytest.mark.parametrize("versions", [(), ("1.4",), ("1.2", "TLSv1.3"), ("",)])
def test_unknown_versions_are_a_lab_error(versions: Sequence[str]) -> None:
    with pytest.raises(LabError, match=r"cannot offer the TLS versions .* 1\.0, 1\.1, 1\.2, 1\.3"):
        server_context(certificate(), versions=versions)


def test_mismatched_key_is_a_lab_error() -> None:
    """It names the certificate, instead of a traceback of the library."""
    mixed = replace(certificate(), key=certificate().key)
    with pytest.raises(
        LabError, match=r"OpenSSL here refuses to serve the certificate 'genuine' over TLS 1\.2, 1\.3: .*mismatch"
    ):
        server_context(mixed)


def test_serving_writes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    MemorySession(server_context(certificate()), client())
    assert list(tmp_path.iterdir()) == []
