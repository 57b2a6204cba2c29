"""Our servers, tested with ftplib, ssl and openssl s_client, so that a failing lftp test is about lftp."""

from __future__ import annotations

import contextlib
import ftplib
import re
import socket
import ssl
import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from pyftpdlib.handlers import FTPHandler
from tests.lab.sessions import CLOSED, MODES, PROTOCOLS, peer_der

from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from tests.lab.conftest import Client, Lab, Mode

FILES = ("empty", "three", "chunk", "large")


def fingerprint(connection: object) -> str:
    """The SHA-256 fingerprint, in the lab's form, of the certificate that the peer of a TLS socket presented."""
    return sha256(peer_der(connection)).digest().hex(":").upper()


def data_fingerprint(client: Client) -> str:
    """The fingerprint presented on the next data connection."""
    data = client.transfercmd("NLST")
    with data:
        certificate = fingerprint(data)
        while data.recv(8192):
            pass
    client.voidresp()
    return certificate


def prove_transfers(lab: Lab, client: Client) -> None:
    """Check that listings name every file, and that every size passes unchanged both ways."""
    assert all(name.encode() in client.download("LIST") for name in FILES)
    assert {"empty", "three", "chunk", "large"} <= set(client.download("NLST").decode().split())
    assert b"type=file;" in client.download("MLSD")
    for name in FILES:
        assert client.get(name) == lab.contents[name]
        assert client.put(f"up-{name}", lab.contents[name]).startswith("226")
        assert (lab.root / f"up-{name}").read_bytes() == lab.contents[name]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_transfers_in_every_mode(lab: Lab, protocol: str, mode: Mode) -> None:
    """Explicit, implicit and plain servers list, send and receive 0 B to 5 MiB, passive and active."""
    client = lab.login(lab.serve(protocol), mode=mode)
    prove_transfers(lab, client)
    assert client.quit().startswith("221")


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("offered", [("1.2", "1.3"), None])
def test_each_tls_version_transfers(lab: Lab, protocol: str, version: str, offered: tuple[str, ...] | None) -> None:
    """TLS 1.2 and 1.3, alone and with both offered."""
    client = lab.login(lab.serve(protocol, tls=offered or (version,)), version=version if offered else "")
    assert isinstance(client.sock, ssl.SSLSocket)
    assert client.sock.version() == f"TLSv{version}"
    prove_transfers(lab, client)


@pytest.mark.parametrize(("offered", "asked"), [("1.2", "1.3"), ("1.3", "1.2")])
def test_version_not_offered_is_refused(lab: Lab, offered: str, asked: str) -> None:
    client = lab.client(lab.serve(tls=(offered,)), version=asked)
    with pytest.raises(ssl.SSLError, match="version"):
        client.auth()


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_data_is_in_clear_until_prot_p_and_after_prot_c(lab: Lab, protocol: str) -> None:
    client = lab.login(lab.serve(protocol), protect=False)
    prove_transfers(lab, client)
    client.prot_p()
    assert client.get("three") == b"abc"
    client.prot_c()
    assert client.get("three") == b"abc"


def test_require_tls_refuses_a_cleartext_login(lab: Lab) -> None:
    """USER before AUTH gets 550; a login in TLS works."""
    server = lab.serve(require_tls=True)
    client = lab.client(server)
    with pytest.raises(ftplib.error_perm, match=r"^550"):
        client.login("anna", lab.password, secure=False)
    lab.prove_alive(server)


def test_require_tls_refuses_cleartext_data(lab: Lab) -> None:
    """A transfer before PROT P gets 550; one after it works."""
    client = lab.login(lab.serve(require_tls=True), protect=False)
    with pytest.raises(ftplib.error_perm, match=r"^550"):
        client.get("three")
    client.prot_p()
    assert client.get("three") == b"abc"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_wrong_password_is_refused_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    """Without pyftpdlib's pause; the right password still works afterwards."""
    monkeypatch.setattr(FTPHandler, "auth_failed_timeout", 600)  # the client would give up
    client = lab.client(lab.serve(protocol))
    with pytest.raises(ftplib.error_perm, match=r"^530"):
        client.login("anna", "wrong", secure=protocol != "plain")
    assert client.login("anna", lab.password, secure=False).startswith("230")


def test_third_wrong_password_ends_the_connection(lab: Lab) -> None:
    """As in pyftpdlib."""
    client = lab.client(lab.serve())
    client.auth()
    for _ in range(3):
        client.sendcmd("USER anna")
        with pytest.raises(ftplib.error_perm, match=r"^530"):
            client.sendcmd("PASS wrong")
    with pytest.raises(CLOSED):
        client.voidcmd("NOOP")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_anonymous_logs_in_with_any_password(lab: Lab, protocol: str) -> None:
    client = lab.login(lab.serve(protocol), user="anonymous", password="me@example.test")
    assert client.get("three") == b"abc"


def test_plain_server_does_not_know_auth(lab: Lab) -> None:
    """AUTH, PBSZ and PROT get 500, and FEAT does not list them."""
    client = lab.client(lab.serve("plain"))
    for command in ("AUTH TLS", "AUTH SSL", "PBSZ 0", "PROT P"):
        with pytest.raises(ftplib.error_perm, match=r"^500"):
            client.sendcmd(command)
    assert "AUTH" not in client.sendcmd("FEAT")
    assert "AUTH TLS" in lab.client(lab.serve()).sendcmd("FEAT")


def test_clients_of_these_tests_verify(lab: Lab) -> None:
    """They refuse an unrelated certificate."""
    client = lab.client(lab.serve(certificate="other"))
    with pytest.raises(ssl.SSLCertVerificationError):
        client.auth()


def test_server_works_over_ipv6(lab: Lab) -> None:
    """EPSV and EPRT on ::1; the testimony has the peers."""
    spec = ServerSpec(certificate=lab.certificates["genuine"])
    try:
        server = FtpsServer(spec, root=lab.root, password=lab.password, host="::1").start()
    except LabError as error:
        pytest.skip(str(error))
    try:
        for mode in ("epsv", "eprt"):
            client = lab.client(server, mode=mode)
            client.login("anna", lab.password)
            client.prot_p()
            assert client.get("chunk") == lab.contents["chunk"]
            client.quit()
        assert server.settle()
        assert [(c.kind, c.peer[0]) for c in server.testimony().connections] == [
            ("control", "::1"),
            ("data", "::1"),
        ] * 2
    finally:
        server.stop()


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_openssl_receives_the_chain_in_order(lab: Lab, protocol: str, version: str) -> None:
    """The leaf and the rest of the chain in the order of the spec; it verifies."""
    chain = (lab.certificates["intermediate"], lab.certificates["root"])
    server = lab.serve(protocol, "leaf", chain=chain)
    trusted = lab.root.parent / "root.pem"
    trusted.write_bytes(lab.certificates["root"].pem)
    command = ["openssl", "s_client", "-showcerts", "-connect", f"127.0.0.1:{server.port}", "-CAfile", str(trusted)]
    command += [f"-tls{version.replace('.', '_')}", "-verify_return_error", "-verify_hostname", "localhost"]
    command += ["-starttls", "ftp"] if protocol == "explicit" else []
    result = subprocess.run(command, input=b"QUIT\r\n", capture_output=True, timeout=10, check=False)
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", result.stdout, re.DOTALL)
    assert result.returncode == 0, result
    assert blocks[:3] == [lab.certificates[name].pem for name in ("leaf", "intermediate", "root")]


def test_client_that_trusts_the_root_refuses_a_missing_chain(lab: Lab) -> None:
    """The server sends no certificate that is not in `chain`."""
    client = lab.client(lab.serve(certificate="leaf"), trust=("root",))
    with pytest.raises(ssl.SSLCertVerificationError, match="local issuer"):
        client.auth()


def test_rotation_affects_later_clients_only(lab: Lab) -> None:
    """A connected client keeps the certificate, also on new data connections."""
    genuine, other = lab.certificates["genuine"], lab.certificates["other"]
    server = lab.serve()
    before = lab.login(server)
    server.change(lab.spec(certificate="other"))
    after = lab.login(server, trust=("other",))
    assert (fingerprint(before.sock), data_fingerprint(before)) == (genuine.sha256, genuine.sha256)
    assert (fingerprint(after.sock), data_fingerprint(after)) == (other.sha256, other.sha256)
    with pytest.raises(ssl.SSLCertVerificationError):
        lab.client(server).auth()


def test_connection_has_the_certificate_at_its_acceptance(lab: Lab) -> None:
    """Also if the server rotates between greeting and AUTH."""
    server = lab.serve()
    client = lab.client(server)
    server.change(lab.spec(certificate="other"))
    client.auth()
    assert fingerprint(client.sock) == lab.certificates["genuine"].sha256


def test_change_of_protocol_keeps_the_port(lab: Lab) -> None:
    """The role changes with the next record."""
    server = lab.serve()
    port = server.port
    lab.prove_alive(server)
    for protocol in ("plain", "implicit", "explicit"):
        server.change(lab.spec(protocol, role="impostor"))
        assert server.testimony().role != ("genuine" if protocol != "plain" else "impostor")
        server.record()
        assert (server.port, server.testimony().role) == (port, "impostor")
        lab.prove_alive(server)


def test_change_to_an_impossible_spec_is_refused(lab: Lab) -> None:
    """The server continues unchanged."""
    server = lab.serve()
    with pytest.raises(LabError, match="needs a certificate"):
        server.change(ServerSpec(protocol="implicit"))
    assert server.spec.protocol == "explicit"
    lab.prove_alive(server)


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_data_connections_present_the_data_certificate(lab: Lab, protocol: str) -> None:
    """The testimony names both certificates."""
    genuine, data = lab.certificates["genuine"], lab.certificates["data"]
    server = lab.serve(protocol, data_certificate=data)
    client = lab.login(server, trust=("genuine", "data"))
    assert (fingerprint(client.sock), data_fingerprint(client)) == (genuine.sha256, data.sha256)
    assert [handshake.certificate for handshake in server.testimony().handshakes] == [genuine.sha256, data.sha256]
    assert server.testimony().transfers[0].certificate == data.sha256


def test_servers_share_neither_certificates_nor_sessions(lab: Lab) -> None:
    """Two servers in one process."""
    one, two = lab.serve(tls=("1.2",)), lab.serve(certificate="other", tls=("1.2",))
    context = lab.trusting("genuine", "other")
    with contextlib.ExitStack() as stack:

        def greet(server: FtpsServer, session: ssl.SSLSession | None) -> ssl.SSLSocket:
            raw = stack.enter_context(socket.create_connection((server.host, server.port), 5))
            raw.recv(512)
            raw.sendall(b"AUTH TLS\r\n")
            raw.recv(512)
            return stack.enter_context(context.wrap_socket(raw, server_hostname="localhost", session=session))

        first = greet(one, None)
        assert fingerprint(first) == lab.certificates["genuine"].sha256
        assert greet(one, first.session).session_reused
        second = greet(two, first.session)
        assert not second.session_reused
        assert fingerprint(second) == lab.certificates["other"].sha256


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o007, 0o000])
def test_mlsd_and_mlst_give_modes_as_octal_numbers(lab: Lab, mode: int) -> None:
    """In the form `0644` (RFC 3659 section 7): lftp reads an octal number up to the first letter."""
    name = "unix.mode=0o644; in its name"
    (lab.root / name).write_bytes(b"x")
    (lab.root / name).chmod(mode)
    client = lab.login(lab.serve())
    client.sendcmd("OPTS MLST type;unix.mode;")
    lines = [*client.download("MLSD").decode().splitlines(), *client.sendcmd(f"MLST {name}").splitlines()]
    facts = [line.strip().partition(" ")[0] for line in lines if line.endswith(name) and "type=" in line]
    assert facts == [f"type=file;unix.mode={mode:04o};"] * 2
    assert sum(line.endswith(name) for line in lines) == 2
