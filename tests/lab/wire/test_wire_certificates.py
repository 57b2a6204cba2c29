"""Which certificate a server presented, from the raw bytes; in TLS 1.3 with the secret that the tap recorded."""

from __future__ import annotations

import ssl
from ftplib import FTP_TLS
from typing import TYPE_CHECKING

import pytest

from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.interface import ServerSpec
from ftps_lab.server.tls import server_context, unverified
from ftps_lab.servers import FtpsServer
from ftps_lab.wire.certificates import leaf

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_lab.certificates import Certificate
    from ftps_lab.testimony import Wire


@pytest.fixture(scope="module")
def certificates() -> tuple[Certificate, Certificate]:
    issued = issue({"control": CertificateSpec(), "data": CertificateSpec(common_name="data")})
    return issued["control"], issued["data"]


def wire_of_a_listing(root: Path, spec: ServerSpec, context: ssl.SSLContext | None = None) -> tuple[Wire, str]:
    """The wire of one session with one listing, and the cipher suite."""
    with FtpsServer(spec, root=root, password="secret") as server:
        server.record()
        with FTP_TLS(context=context or unverified()) as client:
            client.connect(server.host, server.port)
            client.login("somebody", "secret")
            client.prot_p()
            client.nlst()
            cipher = client.sock.cipher()  # type: ignore[union-attr]
        server.settle()
        return server.wire(), cipher[0]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_leaf_of_each_connection_is_read(
    tmp_path: Path, certificates: tuple[Certificate, Certificate], version: str
) -> None:
    """The rest of the chain is not taken for the leaf; TLS 1.3 needs the secret."""
    control, data = certificates
    spec = ServerSpec(certificate=control, data_certificate=data, chain=(data,), tls=(version,))
    wire, _ = wire_of_a_listing(tmp_path, spec)
    assert {r.kind: leaf(r.to_client, r.secret) for r in wire.records} == {
        "control": control.sha256,
        "data": data.sha256,
    }
    without = {"1.2": control.sha256, "1.3": None}[version]
    (first, _) = wire.records
    assert leaf(first.to_client) == without


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_leaf_is_read_with_each_tls_1_3_cipher_suite(
    tmp_path: Path, certificates: tuple[Certificate, Certificate], suite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only(*arguments: object, **keywords: object) -> object:
        context = server_context(*arguments, **keywords)  # type: ignore[arg-type]
        context.set_tls13_ciphersuites(suite.encode())
        return context

    monkeypatch.setattr("ftps_lab.servers.server_context", only)
    wire, cipher = wire_of_a_listing(tmp_path, ServerSpec(certificate=certificates[0], tls=("1.3",)))
    assert cipher == suite
    assert {leaf(r.to_client, r.secret) for r in wire.records} == {certificates[0].sha256}


def test_leaf_is_unreadable_with_another_connections_secret(
    tmp_path: Path, certificates: tuple[Certificate, Certificate]
) -> None:
    wire, _ = wire_of_a_listing(tmp_path, ServerSpec(certificate=certificates[0], tls=("1.3",)))
    one, other = wire.records
    assert one.secret != other.secret
    assert leaf(one.to_client, other.secret) is None
    for broken in (one.to_client[:600], one.to_client[:-1]):
        assert leaf(broken, one.secret) in {None, "", certificates[0].sha256}


def test_resumed_session_has_no_leaf(tmp_path: Path, certificates: tuple[Certificate, Certificate]) -> None:
    """lftp's data connections resume like this."""

    class Resuming(FTP_TLS):
        def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[object, int | None]:  # type: ignore[override]
            connection, size = super(FTP_TLS, self).ntransfercmd(cmd, rest)
            assert isinstance(self.sock, ssl.SSLSocket)
            return self.context.wrap_socket(connection, session=self.sock.session), size

    for version in ("1.2", "1.3"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with FtpsServer(
            ServerSpec(certificate=certificates[0], tls=(version,)), root=tmp_path, password="secret"
        ) as server:
            server.record()
            with Resuming(context=context) as client:
                client.connect(server.host, server.port)
                client.login("somebody", "secret")
                client.prot_p()
                client.nlst()
            server.settle()
            shown = {r.kind: leaf(r.to_client, r.secret) for r in server.wire().records}
        assert shown == {"control": certificates[0].sha256, "data": ""}


def test_bytes_without_a_server_hello_have_no_leaf(tmp_path: Path) -> None:
    assert leaf(b"") == ""
    assert leaf(b"220 hello\r\n234 go on\r\n") == ""
    assert leaf(b"220 x\r\n234 y\r\n\x15\x03\x03\x00\x02\x02\x28") == ""
    assert leaf(b"220 x\r\n234 y\r\n\x16\x03\x03\x00\x04\x02\x00\x00\x00") == ""
