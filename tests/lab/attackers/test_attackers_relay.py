"""The interceptor is transparent to a client that does not verify, and records its password and files."""

from __future__ import annotations

import ftplib
import io
import ssl
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from tests.lab.certificates.readings import without_public_key
from tests.lab.sessions import IN_TLS, MODES, intercepted, peer_der

from ftps_lab.testimony import CAPTURED, Credential

if TYPE_CHECKING:
    from tests.lab.conftest import Client, Lab, Mode

    from ftps_lab.servers import FtpsServer
    from ftps_lab.testimony import Transfer

FILES = ("empty", "three", "chunk", "large")


def transfer_all(lab: Lab, client: Client, files: tuple[str, ...] = FILES[:3]) -> None:
    """Check that listings name every file, and that every size passes unchanged both ways."""
    listing = client.download("LIST")
    assert all(name.encode() in listing for name in FILES)
    assert set(FILES) <= set(client.download("NLST").decode().split())
    assert b"type=file;" in client.download("MLSD")
    for name in files:
        content = lab.contents[name]
        assert client.get(name) == content
        assert client.put(f"up-{name}", content).startswith("226")
        assert (lab.root / f"up-{name}").read_bytes() == content
        assert client.storbinary(f"APPE up-{name}", io.BytesIO(content)).startswith("226")
        assert (lab.root / f"up-{name}").read_bytes() == content * 2
        (lab.root / f"up-{name}").unlink()


def prove_testimonies_agree(lab: Lab, server: FtpsServer, *, files: int = 3, channel: str = "tls") -> None:
    """Check that interceptor and genuine server witnessed the same transfers, and that the former has the content."""
    testimony = lab.testimony(server)
    assert testimony.behind is not None
    assert (testimony.role, testimony.behind.role) == ("impostor", "genuine")
    genuine = lab.certificates["genuine"].sha256
    assert {transfer.certificate for transfer in testimony.behind.transfers} == {genuine}
    assert {transfer.channel for transfer in testimony.transfers} == {channel}
    assert [fields(transfer) for transfer in testimony.transfers] == [
        fields(transfer) for transfer in testimony.behind.transfers
    ]
    assert len(testimony.transfers) == 3 + 3 * files
    assert all(transfer.completed and not transfer.forged for transfer in testimony.transfers)
    for transfer in testimony.transfers:
        assert len(transfer.captured) == min(transfer.size, CAPTURED)
        if transfer.verb in {"RETR", "STOR", "APPE"}:
            content = lab.contents[transfer.name.removeprefix("up-")]
            assert (transfer.size, transfer.sha256) == (len(content), sha256(content).hexdigest())
            assert transfer.captured == content[:CAPTURED]


def fields(transfer: Transfer) -> tuple[object, ...]:
    return (transfer.verb, transfer.name, transfer.direction, transfer.size, transfer.sha256, transfer.completed)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protocol", IN_TLS)
def test_interceptor_passes_every_size_unchanged(lab: Lab, protocol: str, mode: Mode) -> None:
    """Listings, downloads, uploads and appends of 0 B to 5 MiB, passive and active; both testimonies agree."""
    server = intercepted(lab, protocol)
    client = lab.victim(server, mode=mode)
    files = FILES if mode in {"pasv", "port"} else FILES[:3]
    transfer_all(lab, client, files)
    assert client.quit().startswith("221")
    prove_testimonies_agree(lab, server, files=len(files))


@pytest.mark.parametrize("protocol", IN_TLS)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("alone", [True, False])
def test_interceptor_offers_the_genuine_servers_tls_versions(
    lab: Lab, protocol: str, version: str, alone: bool
) -> None:
    """TLS 1.2 and 1.3, alone and as the client's choice."""
    server = intercepted(lab, protocol, tls=(version,) if alone else ("1.2", "1.3"))
    client = lab.victim(server, version="" if alone else version)
    transfer_all(lab, client)
    client.quit()
    prove_testimonies_agree(lab, server)
    assert {handshake.version for handshake in server.testimony().handshakes} == {f"TLSv{version}"}
    assert server.behind is not None
    assert (bool(server.wire().records), server.behind.wire().records) == (True, ())  # one witness is enough


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protocol", IN_TLS)
def test_prot_c_is_clear_to_the_client_and_tls_behind(lab: Lab, protocol: str, mode: Mode) -> None:
    server = intercepted(lab, protocol, require_tls=True)
    client = lab.victim(server, mode=mode)
    client.prot_c()
    transfer_all(lab, client)
    client.quit()
    prove_testimonies_agree(lab, server, channel="clear")
    testimony = server.testimony()
    assert testimony.behind is not None
    assert {transfer.channel for transfer in testimony.behind.transfers} == {"tls"}
    assert {transfer.certificate for transfer in testimony.transfers} == {""}
    assert server.wire().holds(lab.contents["chunk"][:4096])


def test_client_without_auth_is_served_over_the_interceptors_tls(lab: Lab) -> None:
    """A client that never sends AUTH is served in clear; the genuine server requires TLS and gets it."""
    server = intercepted(lab, require_tls=True)
    client = lab.client(server)
    client.login("anna", lab.password, secure=False)
    transfer_all(lab, client)
    client.quit()
    prove_testimonies_agree(lab, server, channel="clear")
    assert server.testimony().credentials == (Credential(1, "anna", lab.password, "clear", accepted=True),)


@pytest.mark.parametrize("protocol", IN_TLS)
def test_testimonies_hold_every_command_handshake_and_password(lab: Lab, protocol: str) -> None:
    """The attacker has the client's session; the genuine server has the attacker's, with PBSZ and PROT of its own."""
    server = intercepted(lab, protocol)
    client = lab.victim(server)
    assert client.sock is not None
    peer = client.sock.getsockname()
    assert client.get("chunk") == lab.contents["chunk"]
    client.quit()
    testimony = lab.testimony(server)
    control, data = testimony.connections
    assert (control.kind, control.peer, control.greeted, control.error) == ("control", peer, True, "")
    assert (data.kind, data.greeted, data.error) == ("data", False, "")
    assert [(h.connection, h.completed, h.error) for h in testimony.handshakes] == [(1, True, ""), (2, True, "")]
    assert testimony.credentials == (Credential(1, "anna", lab.password, "tls", accepted=True),)
    commands = [(c.verb, c.argument, c.channel, c.reply) for c in testimony.commands]
    started = commands[-2][3]
    assert started in {125, 150}
    begin = [("AUTH", "TLS", "clear", 234)] if protocol == "explicit" else []
    assert commands == [
        *begin,
        ("USER", "anna", "tls", 331),
        ("PASS", "", "tls", 230),
        ("PBSZ", "0", "tls", 200),
        ("PROT", "P", "tls", 200),
        ("TYPE", "I", "tls", 200),
        ("PASV", "", "tls", 227),
        ("RETR", "chunk", "tls", started),
        ("QUIT", "", "tls", 221),
    ]
    (transfer,) = testimony.transfers
    assert (transfer.connection, transfer.control) == (2, 1)
    assert testimony.behind is not None
    assert testimony.behind.credentials == testimony.credentials
    assert [c.kind for c in testimony.behind.connections] == ["control", "data"]
    assert [h.completed for h in testimony.behind.handshakes] == [True, True]
    before = ["AUTH"] if protocol == "explicit" else []
    assert [c.verb for c in testimony.behind.commands] == [
        *before,
        *("PBSZ", "PROT", "USER", "PASS", "TYPE", "PASV", "RETR", "QUIT"),
    ]


@pytest.mark.parametrize("protocol", IN_TLS)
def test_wrong_password_is_recorded_as_not_accepted(lab: Lab, protocol: str) -> None:
    """The genuine server's 530 reaches the client."""
    server = intercepted(lab, protocol)
    client = lab.client(server, trust=None)
    for password in ("wrong", "wronger"):
        with pytest.raises(ftplib.error_perm, match=r"^530"):
            client.login("anna", password)
    assert client.login("anna", lab.password).startswith("230")
    client.quit()
    testimony = lab.testimony(server)
    assert [(c.password, c.accepted) for c in testimony.credentials] == [
        ("wrong", False),
        ("wronger", False),
        (lab.password, True),
    ]
    assert testimony.behind is not None
    assert testimony.behind.credentials == testimony.credentials


# --- certificates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["other", "leaf"])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_attack_certificate_is_presented_on_control_and_data(lab: Lab, protocol: str, name: str) -> None:
    """Also a leaf of the attacker's own authority; the genuine server's is recorded behind it."""
    own = lab.certificates[name]
    server = intercepted(lab, protocol, attack_certificate=own)
    client = lab.victim(server)
    assert peer_der(client.sock) == own.der
    with client.transfercmd("NLST") as data:
        assert peer_der(data) == own.der
        while data.recv(8192):
            pass
    client.voidresp()
    client.quit()
    testimony = lab.testimony(server)
    assert {handshake.certificate for handshake in testimony.handshakes} == {own.sha256}
    assert testimony.behind is not None
    assert {handshake.certificate for handshake in testimony.behind.handshakes} == {lab.certificates["genuine"].sha256}


def test_interceptor_sends_the_chain_of_its_certificate(lab: Lab) -> None:
    """A client that trusts the attacker's root can build the chain, and is deceived."""
    server = intercepted(lab, attack_certificate=lab.certificates["leaf"])
    assert lab.login(server, trust=("root",)).get("three") == b"abc"


@pytest.mark.parametrize("protocol", IN_TLS)
def test_default_attack_certificate_is_a_twin(lab: Lab, protocol: str) -> None:
    """It equals the genuine one in every field but the key."""
    from cryptography import x509

    server = intercepted(lab, protocol)
    der = peer_der(lab.victim(server).sock)
    genuine = lab.certificates["genuine"]
    assert der != genuine.der
    assert without_public_key(x509.load_der_x509_certificate(der)) == without_public_key(genuine.x509)


@pytest.mark.parametrize("protocol", IN_TLS)
@pytest.mark.parametrize("own", ["other", None])
def test_verifying_client_sends_no_password_to_interceptor(lab: Lab, protocol: str, own: str | None) -> None:
    """It trusts only the genuine certificate and refuses the handshake."""
    server = intercepted(lab, protocol, attack_certificate=lab.certificates[own] if own else None)
    with pytest.raises(ssl.SSLCertVerificationError):
        lab.login(server)
    testimony = lab.testimony(server)
    assert testimony.credentials == ()
    assert [handshake.completed for handshake in testimony.handshakes] == [False]
    assert testimony.behind is not None
    assert {command.verb for command in testimony.behind.commands} <= {"AUTH", "PBSZ", "PROT"}


def test_interceptor_accepts_a_data_certificate_behind_it(lab: Lab) -> None:
    """A genuine server with another certificate for data connections does not stop the interceptor."""
    server = intercepted(lab, data_certificate=lab.certificates["data"])
    client = lab.victim(server)
    assert client.get("chunk") == lab.contents["chunk"]
    client.quit()
    testimony = lab.testimony(server)
    assert testimony.behind is not None
    assert testimony.behind.transfers[0].certificate == lab.certificates["data"].sha256
    assert len({handshake.certificate for handshake in testimony.handshakes}) == 1


# --- the wire ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_tap_holds_what_an_independent_relay_saw(lab: Lab, protocol: str, protect: bool, mode: Mode) -> None:
    """Every byte that the client sent and got on each connection, and none from the genuine server's side."""
    server = intercepted(lab, protocol)
    relays = lab.relays()
    client = lab.victim(server, mode=mode, relays=relays)
    if not protect:
        client.prot_c()
    client.download("LIST")
    assert client.get("chunk") == lab.contents["chunk"]
    client.put("up", lab.contents["chunk"])
    client.quit()
    client.close()
    relays.wait()
    assert server.settle()
    records = server.wire().records
    assert [record.kind for record in records] == ["control", "data", "data", "data"]
    assert [record.peer for record in records] == [peer for peer, _, _ in relays.seen]
    for record, (_, to_server, to_client) in zip(records, relays.seen, strict=True):
        # A client that has read the server's close_notify sends its own to a socket that is already closed.
        unheard = to_server[len(record.to_server) :]
        assert len(unheard) <= 31
        assert bytes(to_server).removesuffix(unheard) == record.to_server
        assert to_client == record.to_client
