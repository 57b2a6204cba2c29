"""The interceptor: a client that does not verify notices nothing, and the interceptor has its password and files."""

from __future__ import annotations

import ftplib
import io
import ssl
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from tests.lab.certificates.readings import apart_from_the_key
from tests.lab.sessions import IN_TLS, MODES, intercepted, shown

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


def prove_both_accounts(lab: Lab, server: FtpsServer, *, files: int = 3, channel: str = "tls") -> None:
    """Check that interceptor and genuine server witnessed the same transfers, and that the former has the content."""
    told = lab.told(server)
    assert told.behind is not None
    assert (told.role, told.behind.role) == ("impostor", "genuine")
    genuine = lab.certificates["genuine"].sha256
    assert {transfer.certificate for transfer in told.behind.transfers} == {genuine}
    assert {transfer.channel for transfer in told.transfers} == {channel}
    assert [key(transfer) for transfer in told.transfers] == [key(transfer) for transfer in told.behind.transfers]
    assert len(told.transfers) == 3 + 3 * files
    assert all(transfer.completed and not transfer.forged for transfer in told.transfers)
    for transfer in told.transfers:
        assert len(transfer.captured) == min(transfer.size, CAPTURED)
        if transfer.verb in {"RETR", "STOR", "APPE"}:
            content = lab.contents[transfer.name.removeprefix("up-")]
            assert (transfer.size, transfer.sha256) == (len(content), sha256(content).hexdigest())
            assert transfer.captured == content[:CAPTURED]


def key(transfer: Transfer) -> tuple[object, ...]:
    return (transfer.verb, transfer.name, transfer.direction, transfer.size, transfer.sha256, transfer.completed)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protocol", IN_TLS)
def test_every_size_goes_through_unchanged(lab: Lab, protocol: str, mode: Mode) -> None:
    """Listings, downloads, uploads and appends of 0 B to 5 MiB, passive and active; both records agree."""
    server = intercepted(lab, protocol)
    client = lab.victim(server, mode=mode)
    files = FILES if mode in {"pasv", "port"} else FILES[:3]
    transfer_all(lab, client, files)
    assert client.quit().startswith("221")
    prove_both_accounts(lab, server, files=len(files))


@pytest.mark.parametrize("protocol", IN_TLS)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("alone", [True, False])
def test_each_tls_version(lab: Lab, protocol: str, version: str, alone: bool) -> None:
    """TLS 1.2 and 1.3, alone and with a choice for the client: the versions are those of the imitated server."""
    server = intercepted(lab, protocol, tls=(version,) if alone else ("1.2", "1.3"))
    client = lab.victim(server, version="" if alone else version)
    transfer_all(lab, client)
    client.quit()
    prove_both_accounts(lab, server)
    assert {handshake.version for handshake in server.testimony().handshakes} == {f"TLSv{version}"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protocol", IN_TLS)
def test_a_victim_with_prot_c(lab: Lab, protocol: str, mode: Mode) -> None:
    """Data connections that the client wants in clear are clear on its side, and in TLS behind the attacker."""
    server = intercepted(lab, protocol, require_tls=True)
    client = lab.victim(server, mode=mode)
    client.prot_c()
    transfer_all(lab, client)
    client.quit()
    prove_both_accounts(lab, server, channel="clear")
    told = server.testimony()
    assert told.behind is not None
    assert {transfer.channel for transfer in told.behind.transfers} == {"tls"}
    assert {transfer.certificate for transfer in told.transfers} == {""}
    assert server.wire().holds(lab.contents["chunk"][:4096])


def test_a_victim_without_tls(lab: Lab) -> None:
    """A client that never asks for TLS is served in clear, over the attacker's own TLS connection."""
    server = intercepted(lab, require_tls=True)
    client = lab.client(server)
    client.login("anna", lab.password, secure=False)
    transfer_all(lab, client)
    client.quit()
    prove_both_accounts(lab, server, channel="clear")
    assert server.testimony().credentials == (Credential(1, "anna", lab.password, "clear", accepted=True),)


@pytest.mark.parametrize("protocol", IN_TLS)
def test_the_whole_story_in_two_accounts(lab: Lab, protocol: str) -> None:
    """The attacker has user, password, every command and reply; the genuine server a client with an extra handshake."""
    server = intercepted(lab, protocol)
    client = lab.victim(server)
    assert client.sock is not None
    peer = client.sock.getsockname()
    assert client.get("chunk") == lab.contents["chunk"]
    client.quit()
    told = lab.told(server)
    control, data = told.connections
    assert (control.kind, control.peer, control.greeted, control.error) == ("control", peer, True, "")
    assert (data.kind, data.greeted, data.error) == ("data", False, "")
    assert [(h.connection, h.completed, h.error) for h in told.handshakes] == [(1, True, ""), (2, True, "")]
    assert told.credentials == (Credential(1, "anna", lab.password, "tls", accepted=True),)
    commands = [(c.verb, c.argument, c.channel, c.reply) for c in told.commands]
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
    (transfer,) = told.transfers
    assert (transfer.connection, transfer.control) == (2, 1)
    assert told.behind is not None
    assert told.behind.credentials == told.credentials
    assert [c.kind for c in told.behind.connections] == ["control", "data"]
    assert [h.completed for h in told.behind.handshakes] == [True, True]
    before = ["AUTH"] if protocol == "explicit" else []
    assert [c.verb for c in told.behind.commands] == [
        *before,
        *("PBSZ", "PROT", "USER", "PASS", "TYPE", "PASV", "RETR", "QUIT"),
    ]


@pytest.mark.parametrize("protocol", IN_TLS)
def test_a_wrong_password_is_not_let_in(lab: Lab, protocol: str) -> None:
    """The genuine server's 530 passes through, and the attacker records the password as not accepted."""
    server = intercepted(lab, protocol)
    client = lab.client(server, trust=None)
    for password in ("wrong", "wronger"):
        with pytest.raises(ftplib.error_perm, match=r"^530"):
            client.login("anna", password)
    assert client.login("anna", lab.password).startswith("230")
    client.quit()
    told = lab.told(server)
    assert [(c.password, c.accepted) for c in told.credentials] == [
        ("wrong", False),
        ("wronger", False),
        (lab.password, True),
    ]
    assert told.behind is not None
    assert told.behind.credentials == told.credentials


# --- certificates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["other", "leaf"])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_the_attackers_own_certificate(lab: Lab, protocol: str, name: str) -> None:
    """A look-alike, or a leaf of the attacker's authority, is shown on control and data connections, and recorded."""
    own = lab.certificates[name]
    server = intercepted(lab, protocol, attack_certificate=own)
    client = lab.victim(server)
    assert shown(client.sock) == own.der
    with client.transfercmd("NLST") as data:
        assert shown(data) == own.der
        while data.recv(8192):
            pass
    client.voidresp()
    client.quit()
    told = lab.told(server)
    assert {handshake.certificate for handshake in told.handshakes} == {own.sha256}
    assert told.behind is not None
    assert {handshake.certificate for handshake in told.behind.handshakes} == {lab.certificates["genuine"].sha256}


def test_the_chain_of_the_attackers_authority_is_sent(lab: Lab) -> None:
    """A client that trusts the attacker's root is deceived, because it gets the intermediate too."""
    server = intercepted(lab, attack_certificate=lab.certificates["leaf"])
    assert lab.login(server, trust=("root",)).get("three") == b"abc"


@pytest.mark.parametrize("protocol", IN_TLS)
def test_without_a_certificate_of_his_own_it_is_a_twin(lab: Lab, protocol: str) -> None:
    """By default the attacker's certificate is the genuine one in every field but the key."""
    from cryptography import x509

    server = intercepted(lab, protocol)
    der = shown(lab.victim(server).sock)
    genuine = lab.certificates["genuine"]
    assert der != genuine.der
    assert apart_from_the_key(x509.load_der_x509_certificate(der)) == apart_from_the_key(genuine.x509)


@pytest.mark.parametrize("protocol", IN_TLS)
@pytest.mark.parametrize("own", ["other", None])
def test_a_client_that_verifies_gives_nothing_away(lab: Lab, protocol: str, own: str | None) -> None:
    """A client that trusts only the genuine certificate refuses, and the attacker learns no password."""
    server = intercepted(lab, protocol, attack_certificate=lab.certificates[own] if own else None)
    with pytest.raises(ssl.SSLCertVerificationError):
        lab.login(server)
    told = lab.told(server)
    assert told.credentials == ()
    assert [handshake.completed for handshake in told.handshakes] == [False]
    assert told.behind is not None
    assert {command.verb for command in told.behind.commands} <= {"AUTH", "PBSZ", "PROT"}


def test_a_data_certificate_behind(lab: Lab) -> None:
    """A genuine server with another certificate for data connections does not stop the interceptor."""
    server = intercepted(lab, data_certificate=lab.certificates["data"])
    client = lab.victim(server)
    assert client.get("chunk") == lab.contents["chunk"]
    client.quit()
    told = lab.told(server)
    assert told.behind is not None
    assert told.behind.transfers[0].certificate == lab.certificates["data"].sha256
    assert len({handshake.certificate for handshake in told.handshakes}) == 1


# --- the wire ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_the_tap_agrees_with_a_relay_of_the_tests(lab: Lab, protocol: str, protect: bool, mode: Mode) -> None:
    """The tap holds everything that the client sent and got on every connection, and nothing of the other side."""
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
