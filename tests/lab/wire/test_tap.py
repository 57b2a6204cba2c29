"""The wire tap holds exactly the bytes on the network, as an independent relay confirms."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from OpenSSL import SSL

from ftps_lab.recorder import Recorder
from ftps_lab.server.tls import server_context
from ftps_lab.wire.tap import TappedSocket, TappedTls

if TYPE_CHECKING:
    from tests.lab.conftest import Lab, Mode

    from ftps_lab.servers import FtpsServer
    from ftps_lab.testimony import Wire

MODES = ("pasv", "epsv", "port", "eprt")
PROTOCOLS = ("explicit", "implicit", "plain")
SECRET_NAME = "secret-name.txt"
SECRET_UP = b"the uploaded secret " * 3
SECRET_DOWN = b"the downloaded secret " * 3


@pytest.fixture
def secrets(lab: Lab) -> None:
    """A file whose name and content are secret."""
    (lab.root / SECRET_NAME).write_bytes(SECRET_DOWN)


def settled_wire(server: FtpsServer) -> Wire:
    """The complete raw bytes."""
    assert server.settle()
    return server.wire()


def run_session_with_secrets(lab: Lab, server: FtpsServer, *, protect: bool, mode: Mode) -> None:
    """Run a session that puts a password, a file name and contents in both directions on the network."""
    client = lab.login(server, protect=protect, mode=mode)
    assert SECRET_NAME.encode() in client.download("NLST")
    client.get(SECRET_NAME)
    client.put("up", SECRET_UP)
    client.quit()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("protocol", "protect", "password", "content"),
    [
        ("plain", False, True, True),
        ("explicit", False, False, True),
        ("explicit", True, False, False),
        ("implicit", False, False, True),
        ("implicit", True, False, False),
    ],
)
def test_wire_holds_secrets_only_where_the_channel_is_clear(
    lab: Lab, secrets: None, protocol: str, protect: bool, mode: Mode, password: bool, content: bool
) -> None:
    """Password, file name and contents."""
    server = lab.serve(protocol)
    run_session_with_secrets(lab, server, protect=protect, mode=mode)
    seen = settled_wire(server)
    assert seen.holds(lab.password.encode()) is password
    assert seen.holds(SECRET_UP) is content
    assert seen.holds(SECRET_DOWN) is content
    assert seen.holds(SECRET_NAME.encode()) is content  # in the listing, or in RETR


def test_secret_split_over_connections_or_directions_is_not_found(lab: Lab, secrets: None) -> None:
    """Within one connection it is found in either direction."""
    server = lab.serve("plain")
    for half in (b"USER half", b"USER-other"):
        with lab.connect(server) as sock:
            sock.sendall(half)
    seen = settled_wire(server)
    assert seen.holds(b"half")
    assert seen.holds(b"220 ")
    assert not seen.holds(b"halfUSER-other")
    assert not seen.holds(b"half220")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tap_has_every_connection_of_the_testimony(lab: Lab, protocol: str, protect: bool, mode: Mode) -> None:
    """Of the same kind and peer, and none of them empty."""
    server = lab.serve(protocol)
    client = lab.login(server, protect=protect, mode=mode)
    client.get("three")
    client.put("up", b"abc")
    client.quit()
    records = settled_wire(server).records
    assert [(record.kind, record.peer) for record in records] == [
        (connection.kind, connection.peer) for connection in server.testimony().connections
    ]
    assert [record.kind for record in records] == ["control", "data", "data"]
    assert all(record.to_server or record.to_client for record in records)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tap_holds_what_an_independent_relay_saw(lab: Lab, protocol: str, protect: bool, mode: Mode) -> None:
    """Every byte on every connection."""
    server = lab.serve(protocol)
    relays = lab.relays()
    client = lab.login(server, protect=protect, mode=mode, relays=relays)
    client.download("LIST")
    name = "large" if protocol == "explicit" and mode in {"pasv", "port"} else "chunk"
    assert client.get(name) == lab.contents[name]
    client.put("up", lab.contents["chunk"])
    client.quit()
    client.close()
    relays.wait()
    records = settled_wire(server).records
    assert [record.peer for record in records] == [peer for peer, _, _ in relays.seen]
    assert len(records) == 4
    for record, (_, to_server, to_client) in zip(records, relays.seen, strict=True):
        # A client that has read the server's close_notify sends its own to a socket that is already closed.
        unheard = to_server[len(record.to_server) :]
        assert len(unheard) <= 31
        assert bytes(unheard[:1]) in {b"", b"\x15", b"\x17"}  # a TLS record, RFC 8446 section 5.1
        assert bytes(to_server).removesuffix(unheard) == record.to_server
        assert to_client == record.to_client


def test_tap_holds_bytes_that_the_server_never_read(lab: Lab) -> None:
    """Those after something that ended the connection were readable on the network too."""
    server = lab.serve("implicit")
    with lab.connect(server, receive=b"") as sock:
        sock.sendall(b"USER anna\r\nPASS in clear to implicit\r\n" + b"x" * 100_000 + b"the end")
    seen = settled_wire(server)
    assert seen.holds(b"PASS in clear to implicit")
    assert seen.holds(b"the end")


def test_tap_holds_bytes_after_quit(lab: Lab) -> None:
    """A password there never becomes a command, but was on the wire."""
    server = lab.serve("plain")
    with lab.connect(server) as sock:
        sock.sendall(b"QUIT\r\nPASS behind\r\n")
        while sock.recv(512):
            pass
    assert settled_wire(server).holds(b"PASS behind")


def test_tls_shutdown_waits_until_close_notify_is_sent(lab: Lab) -> None:
    """While the socket accepts nothing it raises WantWriteError; afterwards the client gets a clean end."""
    near, far = socket.socketpair()
    recorder = Recorder("genuine")
    raw = TappedSocket(far, recorder.tap("data", ("", 0)))
    context = server_context(lab.certificates["genuine"])
    tls = TappedTls(context, raw, recorder.opened("data", ("", 0)), "")
    tls.set_accept_state()
    with near, far, ThreadPoolExecutor(1) as client:
        handshake = client.submit(lab.trusting("genuine").wrap_socket, near, server_hostname="localhost")
        tls.do_handshake()
        with handshake.result(5) as tls_socket:
            far.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    far.send(bytes(1 << 16))
            tls.set_shutdown(SSL.RECEIVED_SHUTDOWN)
            for _ in range(2):
                with pytest.raises(SSL.WantWriteError):
                    tls.shutdown()
            assert tls.unsent
            raw_near = socket.socket(fileno=tls_socket.detach())
            with raw_near:
                while set(raw_near.recv(1 << 16)) == {0}:
                    if tls.flush():
                        break
                assert tls.shutdown()
                assert not tls.unsent


@pytest.mark.parametrize("kept", [True, False])
def test_wire_is_kept_only_where_it_is_asked_for(kept: bool) -> None:
    near, far = socket.socketpair()
    recorder = Recorder("genuine", keeps_wire=kept)
    tap = recorder.tap("control", ("", 0))
    with near, far:
        raw = TappedSocket(far, tap)
        near.sendall(b"USER x\r\nPASS behind\r\n")
        assert raw.recv(8) == b"USER x\r\n"
        raw.send(b"331\r\n")
        raw.close()
        assert near.recv(9) == b"331\r\n"
    assert raw.received == 21
    heard, said = (b"USER x\r\nPASS behind\r\n", b"331\r\n") if kept else (b"", b"")
    assert (bytes(tap.to_server), bytes(tap.to_client)) == (heard, said)
    assert [record.to_server for record in recorder.wire().records] == ([heard] if kept else [])


def test_record_starts_an_empty_tap(lab: Lab) -> None:
    """A connection that is still open keeps writing to its old tap."""
    server = lab.serve("plain")
    late = lab.login(server)
    before = server.recorder
    server.record()
    assert server.wire().records == ()
    late.sendcmd("NOOP")
    late.quit()
    assert server.settle()
    assert server.wire().records == ()
    assert before.wire().holds(b"NOOP")


def test_connection_reset_at_once_is_recorded_with_its_peer(lab: Lab) -> None:
    server = lab.serve()
    peers = set()
    for _ in range(20):
        with contextlib.closing(socket.create_connection((server.host, server.port), 5)) as sock:
            peers.add(sock.getsockname())
            lab.close_with_reset(sock)
    assert {record.peer for record in settled_wire(server).records} == peers
    assert {connection.peer for connection in server.testimony().connections} == peers
    lab.prove_alive(server)
