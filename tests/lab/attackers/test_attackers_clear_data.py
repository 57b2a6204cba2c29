"""PROT P is promised, but data connections are in clear: what a client gets, and what the testimony says."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import HELLO, IN_TLS, MODES, read_all

from ftps_lab.attackers import downgrade
from ftps_lab.attackers.downgrade import FORGED

if TYPE_CHECKING:
    from tests.lab.conftest import Client, Lab, Mode

    from ftps_lab.servers import FtpsServer


def promised(lab: Lab, server: FtpsServer, mode: Mode = "pasv") -> Client:
    """A client that was promised PROT P and does not start TLS on data connections itself."""
    client = lab.victim(server, mode=mode)
    assert server.testimony().commands[-1].reply == 200
    client.voidcmd("TYPE I")
    return client


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("command", ["RETR chunk", "LIST", "NLST", "MLSD"])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_downloads_are_forged_in_clear(lab: Lab, protocol: str, command: str, mode: Mode) -> None:
    """A client gets the attacker's bytes for any request; they are recorded as forged, its handshake as failed."""
    server = lab.serve(protocol, attack="clear-data")
    client = promised(lab, server, mode=mode)
    with client.transfercmd(command) as data:
        data.sendall(HELLO)
        assert data.recv(len(FORGED), socket.MSG_WAITALL) == FORGED
    assert client.voidresp().startswith("226")
    client.quit()
    told = lab.told(server)
    (transfer,) = told.transfers
    assert (transfer.channel, transfer.certificate, transfer.forged, transfer.completed) == ("clear", "", True, True)
    assert (transfer.size, transfer.sha256) == (len(FORGED), sha256(FORGED).hexdigest())
    assert [h.completed for h in told.handshakes] == [True, False]
    assert told.handshakes[1].error.startswith("the attacker")
    assert not server.wire().holds(lab.contents["chunk"][:1000])


def test_the_client_closes_first(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connections that end at once would race in the client, so no reply comes before the client has closed."""
    monkeypatch.setattr(downgrade, "_PATIENCE", 60.0)
    server = lab.serve(attack="clear-data")
    client = promised(lab, server)
    with client.transfercmd("RETR chunk") as data:
        data.sendall(HELLO)
        assert data.recv(len(FORGED), socket.MSG_WAITALL) == FORGED
        assert client.sendcmd("NOOP").startswith("200")  # a 226 would have come first
    assert client.voidresp().startswith("226")
    client.quit()
    assert [t.completed for t in lab.told(server).transfers] == [True]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", ["RETR chunk", "STOR up"])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_a_real_handshake_is_answered_in_clear(lab: Lab, protocol: str, command: str, when: str) -> None:
    """A client that starts TLS before or after its transfer command reads text; its ClientHello is not content."""
    server = lab.serve(protocol, attack="clear-data")
    client = promised(lab, server)
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
    told = lab.told(server)
    assert [h.completed for h in told.handshakes] == [True, False]
    (transfer,) = told.transfers
    if command.startswith("STOR"):
        assert (transfer.size, transfer.completed, transfer.forged) == (0, False, False)
        assert (lab.root / "up").read_bytes() == b""
    else:
        assert (transfer.size, transfer.forged) == (len(FORGED), True)


@pytest.mark.parametrize("size", [1, 100, 300_000])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_an_upload_in_clear_is_content(lab: Lab, protocol: str, size: int) -> None:
    """A client that sends in clear what should have been in TLS has uploaded it, readable by anyone."""
    server = lab.serve(protocol, attack="clear-data")
    client = promised(lab, server)
    content = bytes(n * 7 % 251 for n in range(size))
    with client.transfercmd("STOR up") as data:
        data.sendall(content)
    assert client.voidresp().startswith("226")
    client.quit()
    assert (lab.root / "up").read_bytes() == content
    (transfer,) = lab.told(server).transfers
    assert (transfer.channel, transfer.size, transfer.completed, transfer.forged) == ("clear", size, True, False)
    assert transfer.sha256 == sha256(content).hexdigest()
    assert server.wire().holds(content)


@pytest.mark.parametrize(("command", "said"), [("RETR chunk", b""), ("RETR chunk", HELLO), ("STOR up", b"")])
def test_a_client_that_waits_gets_an_end(lab: Lab, command: str, said: bytes) -> None:
    """A download in clear ends a second later; an empty upload is complete."""
    server = lab.serve(attack="clear-data")
    client = promised(lab, server)
    with client.transfercmd(command) as data:
        data.sendall(said)
        if command.startswith("RETR"):
            assert read_all(data) == FORGED
    assert client.voidresp().startswith("226")
    client.quit()
    assert [(t.completed, t.forged) for t in lab.told(server).transfers] == [(True, command.startswith("RETR"))]


@pytest.mark.parametrize("said", [b"", b"\x16", b"GET / HTTP/1.0\r\n\r\n"])
@pytest.mark.parametrize("reset", [True, False])
def test_a_data_connection_that_nobody_asked_for(lab: Lab, said: bytes, reset: bool) -> None:
    """It may send anything and end in any way: it causes no reply, and the session continues."""
    server = lab.serve(attack="clear-data")
    client = promised(lab, server)
    with socket.create_connection(client.makepasv(), 5) as data:
        data.sendall(said)
        lab.vanish(data) if reset else data.shutdown(socket.SHUT_WR)
        if not reset:
            read_all(data)
    for _ in range(3):
        assert client.sendcmd("NOOP").startswith("200")
    client.quit()
    assert lab.told(server).transfers == ()
    lab.prove_served(server)
