"""Data connections through an attacker in the middle that end early, late, twice or not at all."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import (
    ENDLESS,
    IN_TLS,
    connect_with_small_buffer,
    create_huge_file,
    intercepted,
    slow_data_connection,
)

if TYPE_CHECKING:
    from tests.conftest import Quiet
    from tests.lab.conftest import Client, Lab, Mode


def handshake_by_hand(client: Client, data: socket.socket) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """Complete TLS on a data connection; the test moves the bytes itself."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.context.wrap_bio(incoming, outgoing)
    while True:
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
            data.sendall(outgoing.read())
            return tls, incoming, outgoing
        data.sendall(outgoing.read())
        incoming.write(data.recv(65536))


def started_transfer(lab: Lab, client: Client, command: str) -> socket.socket:
    """A data connection in mid-transfer; of an upload, some bytes have reached the genuine server's disk."""
    data = client.transfercmd(command)
    if command.startswith("RETR"):
        assert data.recv(1000)
    else:
        data.sendall(bytes(100_000))
        up = lab.root / "up"
        lab.until(lambda: up.exists() and up.stat().st_size)
    return data


@pytest.mark.parametrize("protocol", IN_TLS)
@pytest.mark.parametrize("mode", ["pasv", "port"])
@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
def test_data_connection_reset_by_client_is_incomplete_in_both_testimonies(
    lab: Lab, protocol: str, mode: Mode, protect: bool, command: str
) -> None:
    """The client gets a 426, and its session continues."""
    create_huge_file(lab)
    server = intercepted(lab, protocol)
    client = lab.victim(server, mode=mode)
    if not protect:
        client.prot_c()
    data = started_transfer(lab, client, command)
    lab.close_with_reset(data)
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()
    assert client.get("three") == b"abc"
    client.quit()
    for testimony in lab.testimonies(server):
        first, second = testimony.transfers
        assert (first.name, first.completed) == (command.split()[1], False)
        assert first.size < ENDLESS
        assert second.completed
    lab.prove_served(server)


@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
@pytest.mark.parametrize("reset", [True, False])
def test_transfer_of_killed_client_leaves_nothing_open(lab: Lab, command: str, reset: bool) -> None:
    """All connections end at once; no download counts as completed."""
    create_huge_file(lab)
    server = intercepted(lab)
    lab.prove_served(server)
    files = lab.open_files()
    server.record()
    client = lab.victim(server)
    assert client.sock is not None
    data = started_transfer(lab, client, command)
    for sock in (data, client.sock):
        lab.close_with_reset(sock) if reset else sock.close()
    client.close()
    testimony, behind = lab.testimonies(server)
    assert lab.open_files() == files
    assert [t.name for t in testimony.transfers] == [t.name for t in behind.transfers] == [command.split()[1]]
    if reset or command.startswith("RETR"):
        assert not testimony.transfers[0].completed
        assert not behind.transfers[0].completed
    lab.prove_served(server)


@pytest.mark.parametrize("protect", [True, False])
def test_abandoned_download_also_stops_at_genuine_server(lab: Lab, protect: bool) -> None:
    """The genuine server's file is not read to its end."""
    create_huge_file(lab)
    server = intercepted(lab)
    client = lab.victim(server)
    if not protect:
        client.prot_c()
    data = client.transfercmd("RETR huge")
    assert data.recv(10)
    data.close()
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()
    client.quit()
    for testimony in lab.testimonies(server):
        assert [(t.size < ENDLESS, t.completed) for t in testimony.transfers] == [(True, False)]


@pytest.mark.parametrize("protect", [True, False])
def test_half_closed_client_still_gets_the_whole_download(lab: Lab, protect: bool) -> None:
    """The client shuts down its own direction before the download starts."""
    server = intercepted(lab)
    client = lab.victim(server)
    client.voidcmd("TYPE I")
    if not protect:
        client.prot_c()
    with client.transfercmd("RETR large") as data:
        data.shutdown(socket.SHUT_WR) if not protect else socket.socket.shutdown(data, socket.SHUT_WR)
        received = b"".join(iter(lambda: data.recv(65536), b""))
    assert received == lab.contents["large"]
    assert client.voidresp().startswith("226")
    client.quit()
    for testimony in lab.testimonies(server):
        assert [t.completed for t in testimony.transfers] == [True]


def test_download_reset_after_226_is_incomplete_for_the_attacker_only(lab: Lab, small_send_buffers: None) -> None:
    """The genuine server has delivered everything to the attacker; the client resets before it has read it."""
    server = intercepted(lab)
    client = lab.victim(server)
    client.voidcmd("TYPE I")
    with slow_data_connection(client, "RETR chunk") as data:
        handshake_by_hand(client, data)
        assert client.voidresp().startswith("226")
        lab.close_with_reset(data)
    client.quit()
    testimony, behind = lab.testimonies(server)
    assert [t.completed for t in testimony.transfers] == [False]
    assert [t.completed for t in behind.transfers] == [True]


@pytest.mark.parametrize("mode", ["pasv", "port"])
def test_only_the_last_of_several_data_connections_counts(lab: Lab, mode: Mode) -> None:
    """The attacker closes the client's ends of the earlier ones, and none stays open."""
    server = intercepted(lab)
    lab.prove_served(server)
    files = lab.open_files()
    client = lab.victim(server)
    with contextlib.ExitStack() as stack:
        if mode == "pasv":
            client.makepasv()
            early = [stack.enter_context(socket.create_connection(client.makepasv(), 5)) for _ in range(3)]
        else:
            listeners = [stack.enter_context(client.makeport()) for _ in range(3)]
            early = [stack.enter_context(listener.accept()[0]) for listener in listeners]
        assert client.get("three") == b"abc"
        for sock in early:
            sock.settimeout(5)
            with contextlib.suppress(ConnectionError):
                assert sock.recv(1) == b""
    client.quit()
    client.close()
    testimony, _ = lab.testimonies(server)
    assert [t.name for t in testimony.transfers][-1:] == ["three"]
    assert len(testimony.transfers) == 2  # prove_served had one as well
    assert lab.open_files() == files


def test_second_transfer_on_same_data_connection_gets_425(lab: Lab) -> None:
    """Only the first is recorded as a transfer."""
    server = intercepted(lab)
    client = lab.victim(server)
    with client.transfercmd("RETR three") as data:
        assert data.recv(10) == b"abc"
        assert client.voidresp().startswith("226")
        with pytest.raises(ftplib.error_temp, match=r"^425"):
            client.sendcmd("RETR chunk")
    client.quit()
    for testimony in lab.testimonies(server):
        assert [(t.name, t.size, t.completed) for t in testimony.transfers] == [("three", 3, True)]


def test_data_connection_of_refused_transfer_serves_the_next(lab: Lab) -> None:
    """A missing file gets 550; the next command uses the open connection."""
    server = intercepted(lab)
    client = lab.victim(server)
    client.voidcmd("TYPE I")
    with socket.create_connection(client.makepasv(), 5) as raw:
        with pytest.raises(ftplib.error_perm, match=r"^550"):
            client.sendcmd("RETR missing")
        assert client.sendcmd("RETR three")[:3] in {"125", "150"}
        with client.context.wrap_socket(raw) as data:
            assert data.makefile("rb").read() == b"abc"
    assert client.voidresp().startswith("226")
    client.quit()
    for testimony in lab.testimonies(server):
        assert [(t.name, t.size, t.completed) for t in testimony.transfers] == [("three", 3, True)]


@pytest.mark.parametrize("prot", ["P", "C"])
def test_prot_after_pasv_applies_to_the_data_connection(lab: Lab, prot: str) -> None:
    """The PROT level at the time of the connection counts, as with the genuine server."""
    server = intercepted(lab)
    client = lab.victim(server)
    client.voidcmd("TYPE I")
    client.sendcmd(f"PROT {'PC'[prot == 'P']}")
    address = client.makepasv()
    client.sendcmd(f"PROT {prot}")
    with socket.create_connection(address, 5) as raw, contextlib.ExitStack() as stack:
        assert client.sendcmd("RETR three")[:3] in {"125", "150"}
        data = stack.enter_context(client.context.wrap_socket(raw)) if prot == "P" else raw
        assert data.makefile("rb").read() == b"abc"
    assert client.voidresp().startswith("226")
    client.quit()
    (transfer,) = lab.testimony(server).transfers
    assert (transfer.channel, bool(transfer.certificate)) == (("tls", True) if prot == "P" else ("clear", False))


@pytest.mark.parametrize("protect", [True, False])
def test_upload_ended_by_fin_is_complete_at_slow_genuine_server(lab: Lab, protect: bool) -> None:
    """Everything before a FIN without close_notify reaches the genuine server, through full buffers."""
    server = intercepted(lab)
    client = lab.victim(server)
    client.voidcmd("TYPE I")
    if not protect:
        client.prot_c()
    assert server.behind is not None
    content = lab.contents["large"] * 4
    with client.transfercmd("STOR up") as data:
        server.behind.waker.call(lambda: time.sleep(0.3))
        data.sendall(content)
    assert client.voidresp().startswith("226")
    client.quit()
    assert (lab.root / "up").read_bytes() == content
    for testimony in lab.testimonies(server):
        assert [(t.size, t.completed) for t in testimony.transfers] == [(len(content), True)]


@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("name", ["three", "large"])
def test_upload_is_complete_though_client_does_not_wait_for_226(lab: Lab, protect: bool, name: str) -> None:
    """The client closes control and data connections right after its last byte; both testimonies agree."""
    server = intercepted(lab)
    for _ in range(5):
        server.record()
        client = lab.victim(server)
        client.voidcmd("TYPE I")
        if not protect:
            client.prot_c()
        with client.transfercmd("STOR up") as data:
            data.sendall(lab.contents[name])
            data.unwrap() if isinstance(data, ssl.SSLSocket) else None
        client.close()
        for testimony in lab.testimonies(server):
            assert [(t.size, t.completed) for t in testimony.transfers] == [(len(lab.contents[name]), True)]
        assert (lab.root / "up").read_bytes() == lab.contents[name]


@pytest.mark.parametrize("protect", [True, False])
def test_slow_reader_gets_the_whole_download(
    lab: Lab, small_send_buffers: None, prove_quiet: Quiet, protect: bool
) -> None:
    """It is complete even if QUIT came long before its end, and the attacker does not spin meanwhile."""
    server = intercepted(lab)
    client = lab.victim(server)
    client.voidcmd("TYPE I")
    if not protect:
        client.prot_c()
    sock = connect_with_small_buffer(client.makepasv())
    assert client.sock is not None
    client.sock.sendall(b"RETR large\r\nQUIT\r\n")
    data = client.context.wrap_socket(sock) if protect else sock
    received = bytearray()
    with data:
        while part := data.recv(1 << 20):
            if len(received) >> 20 != (len(received) + len(part)) >> 20:
                prove_quiet(server)
            received += part
    assert received == lab.contents["large"]
    assert [client.getresp()[:3] for _ in range(3)][1:] == ["226", "221"]
    assert client.file is not None
    assert client.file.read() == ""
    for testimony in lab.testimonies(server):
        assert [(t.size, t.completed) for t in testimony.transfers] == [(5 << 20, True)]


@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("command", ["RETR huge", "STOR up", "LIST"])
def test_attacker_is_idle_during_stalled_transfer(lab: Lab, prove_quiet: Quiet, command: str, protect: bool) -> None:
    """It does not spin while it waits for a client that neither reads nor writes, or never starts the handshake."""
    create_huge_file(lab)
    server = intercepted(lab)
    client = lab.victim(server)
    if not protect:
        client.prot_c()
    connections = [client.data(command)] if command == "LIST" else [started_transfer(lab, client, command)]
    with connections[0]:
        prove_quiet(server, turns=20_000)  # once the attacker has filled every buffer
        lab.prove_served(server)


def test_failed_data_handshake_gets_a_reply_and_is_recorded(lab: Lab) -> None:
    """The client does not trust the attacker's certificate on the data connection."""
    server = intercepted(lab)
    client = lab.victim(server)
    client.context = lab.trusting("genuine")
    with pytest.raises(ssl.SSLCertVerificationError):
        client.get("three")
    # 425 if everything ended before the genuine server had looked at its data connection.
    with pytest.raises(ftplib.Error, match=r"^(425|426|522)"):
        client.voidresp()
    client.quit()
    testimony, behind = lab.testimonies(server)
    assert [handshake.completed for handshake in testimony.handshakes] == [True, False]
    assert [alert.description for alert in testimony.alerts if alert.direction == "received"] == ["unknown_ca"]
    assert [(t.size, t.completed) for t in testimony.transfers] == [(0, False)]
    assert not any(t.completed for t in behind.transfers)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x03\xff\xff" + bytes(70_000), b"\x16\x03"])
@pytest.mark.parametrize("command", ["RETR three", "STOR up", "LIST"])
def test_garbage_instead_of_data_handshake_transfers_nothing(lab: Lab, command: str, garbage: bytes) -> None:
    """The client gets a 4xx or 5xx, and its session continues."""
    server = intercepted(lab)
    client = lab.victim(server)
    with client.data(command) as data, contextlib.suppress(OSError):
        data.sendall(garbage)
        data.shutdown(socket.SHUT_WR)
        while data.recv(65536):
            pass
    with pytest.raises(ftplib.Error, match=r"^(425|426|522)") as answer:
        client.voidresp()
    assert client.get("three") == b"abc"
    client.quit()
    testimony, behind = lab.testimonies(server)
    assert [(t.size, t.completed) for t in testimony.transfers] == [(0, False), (3, True)]
    # 425 if everything ended before the genuine server had looked at its data connection: it then records no transfer.
    begun = [] if str(answer.value).startswith("425") else [(0, False)]
    assert [(t.size, t.completed) for t in behind.transfers] == [*begun, (3, True)]


@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
@pytest.mark.parametrize("garbage", [b"\x17\x03\x03\x00\x20" + bytes(32), b"\xff" * 30_000])
def test_garbage_within_data_tls_makes_transfer_incomplete(lab: Lab, command: str, garbage: bytes) -> None:
    """In both testimonies."""
    create_huge_file(lab)
    server = intercepted(lab)
    client = lab.victim(server)
    data = started_transfer(lab, client, command)
    with socket.socket(fileno=data.detach()) as raw, contextlib.suppress(ConnectionError):
        raw.sendall(garbage)
        raw.settimeout(5)
        while raw.recv(65536):
            pass
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()
    client.quit()
    for testimony in lab.testimonies(server):
        assert [t.completed for t in testimony.transfers] == [False]
