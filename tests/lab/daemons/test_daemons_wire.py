"""Facts from the relay and the raw bytes of TLS: real handshakes in memory, real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.wire.tapped import VERSIONS, client_context, pair, server_context

from ftps_lab.daemons.relay import Relay
from ftps_lab.errors import LabError
from ftps_lab.wire import tls as wiretls

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    return server_context(tmp_path_factory.mktemp("pem"))


@pytest.mark.parametrize("version", VERSIONS)
def test_full_handshake_is_read_from_the_bytes(contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion) -> None:
    tapped = pair(contexts[0], version)
    tapped.handshake()
    seen = tapped.seen()
    assert (seen.pure, seen.began, seen.finished, seen.answered) == (True, True, True, True)
    assert seen.version == {772: "TLSv1.3", 771: "TLSv1.2"}[version]
    assert seen.server_name == "localhost"
    assert seen.certificate == ("" if version == ssl.TLSVersion.TLSv1_3 else contexts[1])
    assert seen.alerts == ()
    assert seen.listed == 0
    tapped.send(tapped.server, b"x" * 300)
    assert 0 < tapped.seen().listed <= 300
    tapped.send(tapped.client, b"x" * 300)
    assert 0 < tapped.seen().stored <= 300
    assert tapped.seen().turns == 0  # the client's bytes got no answer, and its Finished is not a question


@pytest.mark.parametrize("version", VERSIONS)
def test_turns_count_client_messages_that_were_answered(
    contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion
) -> None:
    tapped = pair(contexts[0], version)
    tapped.handshake()
    for turn, command in enumerate((b"USER alice\r\n", b"PWD\r\n"), 1):
        tapped.send(tapped.client, command)
        assert tapped.seen().turns == turn - 1
        tapped.send(tapped.server, b"211-one\r\n")
        tapped.send(tapped.server, b"211 two\r\n")
        assert tapped.seen().turns == turn
    for command in (b"PASV\r\n", b"LIST\r\n"):  # sent together: the second may be unread
        tapped.send(tapped.client, command)
    tapped.send(tapped.server, b"227 (1,2,3,4,5,6)\r\n")
    assert tapped.seen().turns == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_close_notify_is_not_a_turn(contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion) -> None:
    tapped = pair(contexts[0], version)
    tapped.handshake()
    for end in (tapped.client, tapped.server):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.unwrap()
        tapped.carry()
    assert tapped.seen().turns == 0


def test_session_tickets_are_not_an_answer(contexts: tuple[ssl.SSLContext, str]) -> None:
    """A client that sends a command together with its Finished gets the tickets after its command."""
    tapped = pair(contexts[0], ssl.TLSVersion.TLSv1_3)
    for end in (tapped.client, tapped.server):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
        tapped.carry()
    tapped.client.do_handshake()
    tapped.client.write(b"USER alice\r\n")
    tapped.carry()
    tapped.server.do_handshake()
    tapped.carry()
    before = len(tapped.down)
    assert before > tapped.marks[-1][1]
    assert tapped.seen().turns == 0
    tapped.send(tapped.server, b"331 x\r\n")
    assert tapped.seen().turns == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_alert_refusing_the_certificate_is_not_a_finished(
    contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context()
    context.minimum_version = context.maximum_version = version
    tapped = pair(contexts[0], version, context=context)
    for end in (tapped.client, tapped.server):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
        tapped.carry()
    with pytest.raises(ssl.SSLCertVerificationError):
        tapped.client.do_handshake()
    tapped.carry()
    seen = tapped.seen()
    assert (seen.began, seen.finished, seen.answered) == (True, False, False)


def test_encrypted_alert_is_not_taken_for_a_finished(contexts: tuple[ssl.SSLContext, str]) -> None:
    """The alert has the same record type (RFC 8446 section 5.2), but is shorter."""
    tapped = pair(contexts[0], ssl.TLSVersion.TLSv1_3)
    tapped.handshake()
    up, down = bytes(tapped.up), bytes(tapped.down)
    finished = next(r for r in wiretls.records(up)[0] if r.kind == wiretls.APPLICATION_DATA)
    assert wiretls.read(up, down, lambda _: 0).finished
    alert = bytes((wiretls.APPLICATION_DATA, 3, 3, 0, 19)) + bytes(19)
    seen = wiretls.read(up[: finished.start] + alert, down, lambda _: 0)
    assert (seen.pure, seen.finished, seen.answered) == (True, False, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_handshake_without_the_servers_end_is_unanswered(
    contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion
) -> None:
    tapped = pair(contexts[0], version)
    if version == ssl.TLSVersion.TLSv1_3:
        tapped.handshake(until_client=True)
        assert tapped.seen().finished
    else:
        with pytest.raises(ssl.SSLWantReadError):
            tapped.client.do_handshake()
        tapped.carry()
        assert not tapped.seen().finished
    assert not tapped.seen().answered


@pytest.mark.parametrize("version", VERSIONS)
def test_resumed_handshake_is_finished_without_a_certificate(
    contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion
) -> None:
    context = client_context(version)
    first = pair(contexts[0], version, context=context)
    first.handshake()
    first.send(first.server, b"x")
    first.client.read()
    second = pair(contexts[0], version, session=first.client.session, context=context)
    second.handshake()
    assert second.client.session_reused
    seen = second.seen()
    assert seen.finished
    assert seen.certificate == ""
    assert seen.listed == 0
    second.send(second.server, b"y" * 100)
    seen = second.seen()
    assert seen.answered
    assert 0 < seen.listed <= 100


def test_version_mismatch_is_read_as_an_alert(contexts: tuple[ssl.SSLContext, str]) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    tapped = pair(server, ssl.TLSVersion.TLSv1_2)
    for end in (tapped.client, tapped.server):
        with pytest.raises(ssl.SSLError):
            end.do_handshake()
        tapped.carry()
    seen = tapped.seen()
    assert seen.alerts == (("sent", 2, 70),)
    assert not seen.finished
    assert wiretls.alert_of(1, seen.alerts[0]).description == "protocol_version"


@pytest.mark.parametrize("version", VERSIONS)
def test_cleartext_after_or_within_tls_is_not_pure(
    contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion
) -> None:
    tapped = pair(contexts[0], version)
    tapped.handshake()
    tapped.up += b"PASS secret\r\n"
    assert not tapped.seen().pure
    assert not wiretls.read(b"USER x\r\n", b"", lambda _: 0).pure
    assert not wiretls.read(b"\x17\x03\x03\x00\x01x", b"", lambda _: 0).pure


@pytest.mark.parametrize("version", VERSIONS)
def test_truncated_or_corrupt_tls_is_read_without_an_error(
    contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion
) -> None:
    tapped = pair(contexts[0], version)
    tapped.handshake()
    up, down = bytes(tapped.up), bytes(tapped.down)
    for cut in range(0, len(up), 7):
        assert wiretls.read(up[:cut], down, lambda _: 0).pure
    for at in range(5, len(up), 3):
        wiretls.read(up[:at] + b"\xff" + up[at + 1 :], down, lambda _: 0)
    for at in range(5, len(down), 5):
        wiretls.read(up, down[:at] + b"\xff" + down[at + 1 :], lambda _: 0)


# The relay.


class BackendServer:
    """A server on its own loopback address, with one thread per connection."""

    def __init__(self, act: Any) -> None:
        self.listener = socket.create_server(("127.77.1.1", 0))
        self.listener.settimeout(5)
        self.address: tuple[str, int] = self.listener.getsockname()
        self.peers: list[str] = []
        self.threads: list[threading.Thread] = []
        self._act = act
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            if peer[0] == "127.77.1.1":  # the signal to stop
                sock.close()
                return
            self.peers.append(peer[0])
            thread = threading.Thread(target=self._act, args=(sock,))
            thread.start()
            self.threads.append(thread)

    def close(self) -> None:
        socket.create_connection(self.address, source_address=("127.77.1.1", 0)).close()
        self._thread.join()
        self.listener.close()
        for thread in self.threads:
            thread.join()


@dataclass
class RelayedServer:
    relay: Relay
    behind: BackendServer


def _echo(sock: socket.socket) -> None:
    with sock:
        sock.settimeout(5)
        received = bytearray()
        try:
            while data := sock.recv(65536):
                received += data
            sock.sendall(received)  # only after the client's end, so the half-close passed through
        except ConnectionResetError:
            pass


def _reset(sock: socket.socket) -> None:
    sock.recv(5)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.fixture
def relayed(request: pytest.FixtureRequest) -> Iterator[RelayedServer]:
    behind = BackendServer(getattr(request, "param", _echo))
    numbers = iter(range(2, 250))
    relay = Relay("127.0.0.1", 0, (), behind.address, lambda: f"127.77.2.{next(numbers)}")
    yield RelayedServer(relay, behind)
    relay.stop()
    relay.stop()
    behind.close()


def test_relay_forwards_and_records_every_byte_to_a_slow_reader(relayed: RelayedServer) -> None:
    content = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(3 << 15))  # 3 MiB
    with socket.create_connection(("127.0.0.1", relayed.relay.port), 5) as client:
        peer = client.getsockname()
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.2)  # its buffers fill, and so do the relay's
        received = bytearray()
        while data := client.recv(1 << 14):
            received += data
    assert received == content
    assert relayed.relay.settle(relayed.relay.recording, 5)
    (record,) = relayed.relay.recording.wire.records
    assert (record.kind, record.peer) == ("control", peer)
    assert record.to_server == content
    assert record.to_client == content


def test_each_control_connection_has_its_own_source_address(relayed: RelayedServer) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", relayed.relay.port), 5) as client:
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
    assert relayed.relay.settle(relayed.relay.recording, 5)
    assert relayed.behind.peers == ["127.77.2.2", "127.77.2.3", "127.77.2.4"]
    assert [link.source for link in relayed.relay.recording.links] == relayed.behind.peers


def test_connections_closed_at_once_are_witnessed(relayed: RelayedServer) -> None:
    for _ in range(20):
        socket.create_connection(("127.0.0.1", relayed.relay.port), 5).close()
    assert relayed.relay.settle(relayed.relay.recording, 5)
    assert len(relayed.relay.recording.links) == 20


def test_open_connection_is_unsettled_and_stays_in_its_record(relayed: RelayedServer) -> None:
    with socket.create_connection(("127.0.0.1", relayed.relay.port), 5) as client:
        old = relayed.relay.recording
        client.sendall(b"early")
        assert not relayed.relay.settle(old, 0.05)
        new = relayed.relay.record()
        client.sendall(b"late")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"earlylate"
    assert relayed.relay.settle(old, 5)
    assert old.wire.records[0].to_server == b"earlylate"
    assert new.links == []


def test_new_connections_reach_the_server_shown_last(relayed: RelayedServer) -> None:
    other = BackendServer(_echo)
    try:
        with socket.create_connection(("127.0.0.1", relayed.relay.port), 5) as old:
            old.sendall(b"old")
            while not relayed.relay.recording.wire.records or not relayed.relay.recording.wire.records[0].to_server:
                time.sleep(0.001)
            relayed.relay.show(other.address, "AB:CD", implicit=True)
            with socket.create_connection(("127.0.0.1", relayed.relay.port), 5) as new:
                new.shutdown(socket.SHUT_WR)
                assert new.recv(1) == b""
            old.shutdown(socket.SHUT_WR)
            assert old.recv(10) == b"old"
        assert relayed.relay.settle(relayed.relay.recording, 5)
        assert (relayed.behind.peers, other.peers) == (["127.77.2.2"], ["127.77.2.3"])
        links = relayed.relay.recording.links
        assert [(link.certificate, link.implicit) for link in links] == [("", False), ("AB:CD", True)]
    finally:
        other.close()


def test_client_reset_reaches_the_server() -> None:
    """On a control connection a reset passes unchanged, even after other bytes."""
    heard: list[str] = []

    def listen(sock: socket.socket) -> None:
        with sock:
            sock.settimeout(5)
            try:
                while sock.recv(100):
                    pass
                heard.append("end")
            except ConnectionResetError:
                heard.append("reset")

    behind = BackendServer(listen)
    relay = Relay("127.0.0.1", 0, (), behind.address, lambda: "127.77.2.2")
    try:
        client = socket.create_connection(("127.0.0.1", relay.port), 5)
        client.sendall(b"hello")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert relay.settle(relay.recording, 5)
    finally:
        relay.stop()
        behind.close()
    assert heard == ["reset"]


@pytest.mark.parametrize("relayed", [_reset], indirect=True)
def test_server_reset_reaches_the_client(relayed: RelayedServer) -> None:
    with socket.create_connection(("127.0.0.1", relayed.relay.port), 5) as client:
        client.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert relayed.relay.settle(relayed.relay.recording, 5)
    assert relayed.relay.recording.wire.records[0].to_server == b"hello"


def test_server_reset_of_an_upload_reaches_the_client() -> None:
    """Only a client's reset at the end of its upload is turned into a plain end."""

    def listen() -> None:
        with contextlib.suppress(TimeoutError):
            _reset(listener.accept()[0])

    with socket.create_server(("127.77.3.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        relay = Relay("127.77.4.1", 0, (port,), ("127.77.3.1", 9), lambda: "127.77.3.2")
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            with socket.create_connection(("127.77.4.1", port), 5) as client:
                client.sendall(HELLO + FINISHED + CONTENT)
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            assert relay.settle(relay.recording, 5)
        finally:
            relay.stop()
            thread.join()


def test_client_is_reset_if_the_server_does_not_listen() -> None:
    with socket.create_server(("127.77.3.1", 0)) as closed:
        target = closed.getsockname()
    relay = Relay("127.0.0.1", 0, (), target, lambda: "127.77.3.2")
    try:
        # The reset may arrive before connect() returns.
        with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", relay.port), 5) as client:
            client.recv(1)
        assert relay.settle(relay.recording, 5)
    finally:
        relay.stop()


def test_relay_port_in_use_is_an_error() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(LabError, match=f"cannot listen on 127.0.0.1 port {taken.getsockname()[1]}"),
    ):
        Relay("127.0.0.1", taken.getsockname()[1], (), ("127.77.1.1", 1), lambda: "127.77.1.2")


FINISHED, CONTENT, ALERT = (bytes((23, 3, 3, 0, size)) + bytes(size) for size in (69, 200, 19))
HELLO = bytes((22, 3, 1, 0, 4)) + bytes(4)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", False),
        (b"in clear", True),
        (HELLO + FINISHED, False),
        (HELLO + FINISHED + ALERT, False),
        (HELLO + FINISHED + CONTENT, True),
        (HELLO + FINISHED + CONTENT[:100], True),
        (HELLO[:3], False),
    ],
)
def test_content_is_distinguished_from_a_bare_handshake(sent: bytes, expected: bool) -> None:
    assert wiretls.carries_content(sent) is expected


@pytest.mark.parametrize(("sent", "heard"), [(HELLO + FINISHED + CONTENT, "end"), (HELLO + FINISHED, "reset")])
def test_client_reset_after_an_upload_becomes_a_plain_end(sent: bytes, heard: str) -> None:
    """Any other reset stays one: a download whose client resets must not look complete to the daemon.

    The relay needs the daemon's port on its own address: on 127.0.0.1 any other program may hold it.
    """
    ends: list[str] = []

    def listen() -> None:
        sock = listener.accept()[0]
        with sock:
            sock.settimeout(10)
            try:
                while sock.recv(65536):
                    pass
                ends.append("end")
            except ConnectionResetError:
                ends.append("reset")

    with socket.create_server(("127.77.3.1", 0)) as listener:
        listener.settimeout(10)  # if no connection comes, the test fails instead of hanging
        port = listener.getsockname()[1]
        relay = Relay("127.77.4.1", 0, (port,), ("127.77.3.1", 9), lambda: "127.77.3.2")
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            client = socket.create_connection(("127.77.4.1", port), 5)
            client.sendall(sent)
            deadline = time.monotonic() + 10
            while not relay.recording.links or bytes(relay.recording.links[0].to_server) != sent:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            thread.join(15)
            assert relay.settle(relay.recording, 5)
        finally:
            relay.stop()
    assert ends == [heard]
