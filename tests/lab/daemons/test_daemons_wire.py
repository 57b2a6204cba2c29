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
def test_a_full_handshake(contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion) -> None:
    tapped = pair(contexts[0], version)
    tapped.shake_hands()
    seen = tapped.seen()
    assert (seen.pure, seen.began, seen.finished, seen.answered) == (True, True, True, True)
    assert seen.version == {772: "TLSv1.3", 771: "TLSv1.2"}[version]
    assert seen.server_name == "localhost"
    assert seen.certificate == ("" if version == ssl.TLSVersion.TLSv1_3 else contexts[1])
    assert seen.alerts == ()
    assert seen.listed == 0
    tapped.say(tapped.server, b"x" * 300)
    assert 0 < tapped.seen().listed <= 300
    tapped.say(tapped.client, b"x" * 300)
    assert 0 < tapped.seen().stored <= 300
    assert tapped.seen().turns == 0  # the client's bytes got no answer, and its Finished is not a question


@pytest.mark.parametrize("version", VERSIONS)
def test_a_turn_is_what_was_said_and_answered(contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion) -> None:
    tapped = pair(contexts[0], version)
    tapped.shake_hands()
    for turn, said in enumerate((b"USER alice\r\n", b"PWD\r\n"), 1):
        tapped.say(tapped.client, said)
        assert tapped.seen().turns == turn - 1
        tapped.say(tapped.server, b"211-one\r\n")
        tapped.say(tapped.server, b"211 two\r\n")
        assert tapped.seen().turns == turn
    for said in (b"PASV\r\n", b"LIST\r\n"):  # sent together: the second may be unread
        tapped.say(tapped.client, said)
    tapped.say(tapped.server, b"227 (1,2,3,4,5,6)\r\n")
    assert tapped.seen().turns == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_that_both_say_goodbye_is_no_turn(contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion) -> None:
    tapped = pair(contexts[0], version)
    tapped.shake_hands()
    for end in (tapped.client, tapped.server):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.unwrap()
        tapped.carry()
    assert tapped.seen().turns == 0


def test_session_tickets_answer_nothing(contexts: tuple[ssl.SSLContext, str]) -> None:
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
    tapped.say(tapped.server, b"331 x\r\n")
    assert tapped.seen().turns == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_refuses_the_certificate_with_an_alert_finished_nothing(
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


def test_an_encrypted_alert_in_the_place_of_the_finished_is_none(contexts: tuple[ssl.SSLContext, str]) -> None:
    """The alert has the same record type (RFC 8446 section 5.2), but is shorter."""
    tapped = pair(contexts[0], ssl.TLSVersion.TLSv1_3)
    tapped.shake_hands()
    up, down = bytes(tapped.up), bytes(tapped.down)
    finished = next(r for r in wiretls.records(up)[0] if r.kind == wiretls.APPLICATION_DATA)
    assert wiretls.read(up, down, lambda _: 0).finished
    alert = bytes((wiretls.APPLICATION_DATA, 3, 3, 0, 19)) + bytes(19)
    seen = wiretls.read(up[: finished.start] + alert, down, lambda _: 0)
    assert (seen.pure, seen.finished, seen.answered) == (True, False, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_handshake_that_the_server_did_not_finish(
    contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion
) -> None:
    tapped = pair(contexts[0], version)
    if version == ssl.TLSVersion.TLSv1_3:
        tapped.shake_hands(until_client=True)
        assert tapped.seen().finished
    else:
        with pytest.raises(ssl.SSLWantReadError):
            tapped.client.do_handshake()
        tapped.carry()
        assert not tapped.seen().finished
    assert not tapped.seen().answered


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resumed_handshake_and_its_content(contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion) -> None:
    context = client_context(version)
    first = pair(contexts[0], version, context=context)
    first.shake_hands()
    first.say(first.server, b"x")
    first.client.read()
    second = pair(contexts[0], version, session=first.client.session, context=context)
    second.shake_hands()
    assert second.client.session_reused
    seen = second.seen()
    assert seen.finished
    assert seen.certificate == ""
    assert seen.listed == 0
    second.say(second.server, b"y" * 100)
    seen = second.seen()
    assert seen.answered
    assert 0 < seen.listed <= 100


def test_versions_that_do_not_meet_leave_an_alert(contexts: tuple[ssl.SSLContext, str]) -> None:
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
def test_text_behind_or_amid_tls_is_not_pure(contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion) -> None:
    tapped = pair(contexts[0], version)
    tapped.shake_hands()
    tapped.up += b"PASS secret\r\n"
    assert not tapped.seen().pure
    assert not wiretls.read(b"USER x\r\n", b"", lambda _: 0).pure
    assert not wiretls.read(b"\x17\x03\x03\x00\x01x", b"", lambda _: 0).pure


@pytest.mark.parametrize("version", VERSIONS)
def test_any_cut_and_any_broken_byte_is_read_without_error(
    contexts: tuple[ssl.SSLContext, str], version: ssl.TLSVersion
) -> None:
    tapped = pair(contexts[0], version)
    tapped.shake_hands()
    up, down = bytes(tapped.up), bytes(tapped.down)
    for cut in range(0, len(up), 7):
        assert wiretls.read(up[:cut], down, lambda _: 0).pure
    for at in range(5, len(up), 3):
        wiretls.read(up[:at] + b"\xff" + up[at + 1 :], down, lambda _: 0)
    for at in range(5, len(down), 5):
        wiretls.read(up, down[:at] + b"\xff" + down[at + 1 :], lambda _: 0)


# The relay.


class Behind:
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
class Bench:
    relay: Relay
    behind: Behind


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
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    behind = Behind(getattr(request, "param", _echo))
    numbers = iter(range(2, 250))
    relay = Relay("127.0.0.1", 0, (), behind.address, lambda: f"127.77.2.{next(numbers)}")
    yield Bench(relay, behind)
    relay.stop()
    relay.stop()
    behind.close()


def test_everything_is_forwarded_and_recorded_also_for_a_slow_reader(bench: Bench) -> None:
    content = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(3 << 15))  # 3 MiB
    with socket.create_connection(("127.0.0.1", bench.relay.port), 5) as client:
        peer = client.getsockname()
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.2)  # its buffers fill, and so do the relay's
        received = bytearray()
        while data := client.recv(1 << 14):
            received += data
    assert received == content
    assert bench.relay.settle(bench.relay.tape, 5)
    (record,) = bench.relay.tape.wire.records
    assert (record.kind, record.peer) == ("control", peer)
    assert record.to_server == content
    assert record.to_client == content


def test_each_control_connection_has_a_source_of_its_own(bench: Bench) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", bench.relay.port), 5) as client:
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
    assert bench.relay.settle(bench.relay.tape, 5)
    assert bench.behind.peers == ["127.77.2.2", "127.77.2.3", "127.77.2.4"]
    assert [link.source for link in bench.relay.tape.links] == bench.behind.peers


def test_a_connection_that_ends_at_once_is_witnessed(bench: Bench) -> None:
    for _ in range(20):
        socket.create_connection(("127.0.0.1", bench.relay.port), 5).close()
    assert bench.relay.settle(bench.relay.tape, 5)
    assert len(bench.relay.tape.links) == 20


def test_an_open_connection_is_not_settled_and_stays_on_its_tape(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.relay.port), 5) as client:
        old = bench.relay.tape
        client.sendall(b"early")
        assert not bench.relay.settle(old, 0.05)
        new = bench.relay.record()
        client.sendall(b"late")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"earlylate"
    assert bench.relay.settle(old, 5)
    assert old.wire.records[0].to_server == b"earlylate"
    assert new.links == []


def test_new_connections_come_to_the_daemon_that_was_proved_last(bench: Bench) -> None:
    other = Behind(_echo)
    try:
        with socket.create_connection(("127.0.0.1", bench.relay.port), 5) as old:
            old.sendall(b"old")
            while not bench.relay.tape.wire.records or not bench.relay.tape.wire.records[0].to_server:
                time.sleep(0.001)
            bench.relay.show(other.address, "AB:CD", implicit=True)
            with socket.create_connection(("127.0.0.1", bench.relay.port), 5) as new:
                new.shutdown(socket.SHUT_WR)
                assert new.recv(1) == b""
            old.shutdown(socket.SHUT_WR)
            assert old.recv(10) == b"old"
        assert bench.relay.settle(bench.relay.tape, 5)
        assert (bench.behind.peers, other.peers) == (["127.77.2.2"], ["127.77.2.3"])
        links = bench.relay.tape.links
        assert [(link.certificate, link.implicit) for link in links] == [("", False), ("AB:CD", True)]
    finally:
        other.close()


def test_a_client_reset_reaches_the_server() -> None:
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

    behind = Behind(listen)
    relay = Relay("127.0.0.1", 0, (), behind.address, lambda: "127.77.2.2")
    try:
        client = socket.create_connection(("127.0.0.1", relay.port), 5)
        client.sendall(b"hello")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert relay.settle(relay.tape, 5)
    finally:
        relay.stop()
        behind.close()
    assert heard == ["reset"]


@pytest.mark.parametrize("bench", [_reset], indirect=True)
def test_a_server_reset_reaches_the_client(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.relay.port), 5) as client:
        client.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert bench.relay.settle(bench.relay.tape, 5)
    assert bench.relay.tape.wire.records[0].to_server == b"hello"


def test_a_server_that_resets_an_upload_is_no_end_of_it() -> None:
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
            assert relay.settle(relay.tape, 5)
        finally:
            relay.stop()
            thread.join()


def test_where_nobody_listens_the_client_is_reset() -> None:
    with socket.create_server(("127.77.3.1", 0)) as closed:
        target = closed.getsockname()
    relay = Relay("127.0.0.1", 0, (), target, lambda: "127.77.3.2")
    try:
        # The reset may arrive before connect() returns.
        with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", relay.port), 5) as client:
            client.recv(1)
        assert relay.settle(relay.tape, 5)
    finally:
        relay.stop()


def test_a_port_that_is_taken_is_told() -> None:
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
def test_an_upload_is_told_from_a_handshake(sent: bytes, expected: bool) -> None:
    assert wiretls.carries_content(sent) is expected


@pytest.mark.parametrize(("sent", "heard"), [(HELLO + FINISHED + CONTENT, "end"), (HELLO + FINISHED, "reset")])
def test_a_reset_behind_an_upload_is_its_end_and_any_other_is_a_reset(sent: bytes, heard: str) -> None:
    """A download whose client resets must not look complete to the daemon.

    The relay needs the daemon's port on its own address: on 127.0.0.1 any other program may hold it.
    """
    told: list[str] = []

    def listen() -> None:
        sock = listener.accept()[0]
        with sock:
            sock.settimeout(10)
            try:
                while sock.recv(65536):
                    pass
                told.append("end")
            except ConnectionResetError:
                told.append("reset")

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
            while not relay.tape.links or bytes(relay.tape.links[0].to_server) != sent:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            thread.join(15)
            assert relay.settle(relay.tape, 5)
        finally:
            relay.stop()
    assert told == [heard]
