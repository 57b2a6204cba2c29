"""The attacker `clear-data` accepts PROT P and leaves data in clear: its effect on clients, and its testimony."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import HELLO, IN_TLS, MODES, read_until_closed

from ftps_lab.attackers import downgrade
from ftps_lab.attackers.downgrade import FORGED

if TYPE_CHECKING:
    from tests.lab.conftest import Client, Lab, Mode

    from ftps_lab.servers import FtpsServer


def prot_p_client(lab: Lab, server: FtpsServer, mode: Mode = "pasv") -> Client:
    """A client whose PROT P got a 200; it does not start TLS on data connections itself."""
    client = lab.victim(server, mode=mode)
    assert server.testimony().commands[-1].reply == 200
    client.voidcmd("TYPE I")
    return client


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("command", ["RETR chunk", "LIST", "NLST", "MLSD"])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_downloads_are_forged_in_clear(lab: Lab, protocol: str, command: str, mode: Mode) -> None:
    """Every download and listing gets the attacker's bytes; they are recorded as forged, the handshake as failed."""
    server = lab.serve(protocol, attack="clear-data")
    client = prot_p_client(lab, server, mode=mode)
    with client.transfercmd(command) as data:
        data.sendall(HELLO)
        assert data.recv(len(FORGED), socket.MSG_WAITALL) == FORGED
    assert client.voidresp().startswith("226")
    client.quit()
    testimony = lab.testimony(server)
    (transfer,) = testimony.transfers
    assert (transfer.channel, transfer.certificate, transfer.forged, transfer.completed) == ("clear", "", True, True)
    assert (transfer.size, transfer.sha256) == (len(FORGED), sha256(FORGED).hexdigest())
    assert [h.completed for h in testimony.handshakes] == [True, False]
    assert testimony.handshakes[1].error.startswith("the attacker")
    assert not server.wire().holds(lab.contents["chunk"][:1000])


def test_reply_waits_until_client_closes_data_connection(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The 226 comes only after the client has closed: two connections that end at once would race in the client."""
    monkeypatch.setattr(downgrade, "_PATIENCE", 60.0)
    server = lab.serve(attack="clear-data")
    client = prot_p_client(lab, server)
    with client.transfercmd("RETR chunk") as data:
        data.sendall(HELLO)
        assert data.recv(len(FORGED), socket.MSG_WAITALL) == FORGED
        assert client.sendcmd("NOOP").startswith("200")  # a 226 would have come first
    assert client.voidresp().startswith("226")
    client.quit()
    assert [t.completed for t in lab.testimony(server).transfers] == [True]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", ["RETR chunk", "STOR up"])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_client_hello_on_data_connection_is_answered_in_clear(lab: Lab, protocol: str, command: str, when: str) -> None:
    """A client that starts TLS before or after its transfer command reads text; its ClientHello is not content."""
    server = lab.serve(protocol, attack="clear-data")
    client = prot_p_client(lab, server)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client.context.wrap_bio(incoming, outgoing).do_handshake()
    with socket.create_connection(client.makepasv(), 5) as data:
        if when == "before":
            data.sendall(outgoing.read())
            lab.until(lambda: len(server.testimony().handshakes) == 2)
        assert client.sendcmd(command).startswith("1")
        data.sendall(outgoing.read())
        assert data.recv(4096) == FORGED
    with contextlib.suppress(ftplib.error_temp):
        client.voidresp()
    client.quit()
    testimony = lab.testimony(server)
    assert [h.completed for h in testimony.handshakes] == [True, False]
    (transfer,) = testimony.transfers
    if command.startswith("STOR"):
        assert (transfer.size, transfer.completed, transfer.forged) == (0, False, False)
        assert (lab.root / "up").read_bytes() == b""
    else:
        assert (transfer.size, transfer.forged) == (len(FORGED), True)


@pytest.mark.parametrize("size", [1, 100, 300_000])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_cleartext_upload_is_stored_and_on_the_wire(lab: Lab, protocol: str, size: int) -> None:
    """A client that sends in clear what PROT P should protect has uploaded it, readable on the wire."""
    server = lab.serve(protocol, attack="clear-data")
    client = prot_p_client(lab, server)
    content = bytes(n * 7 % 251 for n in range(size))
    with client.transfercmd("STOR up") as data:
        data.sendall(content)
    assert client.voidresp().startswith("226")
    client.quit()
    assert (lab.root / "up").read_bytes() == content
    (transfer,) = lab.testimony(server).transfers
    assert (transfer.channel, transfer.size, transfer.completed, transfer.forged) == ("clear", size, True, False)
    assert transfer.sha256 == sha256(content).hexdigest()
    assert server.wire().holds(content)


@pytest.mark.parametrize(("command", "sent"), [("RETR chunk", b""), ("RETR chunk", HELLO), ("STOR up", b"")])
def test_attacker_ends_transfer_of_waiting_client(lab: Lab, command: str, sent: bytes) -> None:
    """A download in clear ends after a second; an empty upload is complete."""
    server = lab.serve(attack="clear-data")
    client = prot_p_client(lab, server)
    with client.transfercmd(command) as data:
        data.sendall(sent)
        if command.startswith("RETR"):
            assert read_until_closed(data) == FORGED
    assert client.voidresp().startswith("226")
    client.quit()
    assert [(t.completed, t.forged) for t in lab.testimony(server).transfers] == [(True, command.startswith("RETR"))]


@pytest.mark.parametrize("sent", [b"", b"\x16", b"GET / HTTP/1.0\r\n\r\n"])
@pytest.mark.parametrize("reset", [True, False])
def test_data_connection_without_transfer_command_is_ignored(lab: Lab, sent: bytes, reset: bool) -> None:
    """It may send anything and end in any way: it causes no reply, and the session continues."""
    server = lab.serve(attack="clear-data")
    client = prot_p_client(lab, server)
    with socket.create_connection(client.makepasv(), 5) as data:
        data.sendall(sent)
        lab.close_with_reset(data) if reset else data.shutdown(socket.SHUT_WR)
        if not reset:
            read_until_closed(data)
    for _ in range(3):
        assert client.sendcmd("NOOP").startswith("200")
    client.quit()
    assert lab.testimony(server).transfers == ()
    lab.prove_served(server)
