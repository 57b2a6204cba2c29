"""The effect of each step on a client, and its record."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import read_all, shown
from tests.waiting import until

from ftps_lab.errors import LabError
from ftps_lab.scripted import (
    Answer,
    Close,
    Heard,
    Pause,
    ReadLine,
    Receive,
    Repeat,
    Reset,
    ScriptedServer,
    Send,
    StartTls,
    Wait,
    expect,
)
from ftps_lab.scripted.conversation import LINE_BYTES, LINES, Conversation
from ftps_lab.scripted.peers import ftps, implicit

if TYPE_CHECKING:
    from tests.lab.scripted.serving import Scripted

    from ftps_lab.certificates import Certificate
    from ftps_lab.scripted import ScriptedConnection


def client_context(trusted: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if trusted is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=trusted.pem.decode())
    return context


def only(server: ScriptedServer) -> ScriptedConnection:
    (connection,) = server.connections(10)
    return connection


def to_tls(sock: socket.socket, trusted: Certificate | None = None) -> ssl.SSLSocket:
    """Bring an explicit client to TLS."""
    assert sock.recv(512).startswith(b"220")
    sock.sendall(b"AUTH TLS\r\n")
    assert sock.recv(512).startswith(b"234")
    return client_context(trusted).wrap_socket(sock)


class TestSending:
    def test_what_is_sent_arrives_as_it_is(self, scripted: Scripted) -> None:
        data = bytes(range(256)) * 4096
        server = scripted.serve((Send(data), Close()))
        with scripted.connect(server) as client:
            assert read_all(client) == data
        assert only(server).sent == len(data)

    def test_pieces_come_one_by_one_in_their_time(self, scripted: Scripted) -> None:
        server = scripted.serve((Send(b"220 ab\r\n", piece=3, every=0.1),))
        with scripted.connect(server) as client:
            begin = time.monotonic()
            received = []
            while data := client.recv(512):
                received.append((data, time.monotonic() - begin))
        assert [data for data, _ in received] == [b"220", b" ab", b"\r\n"]
        assert received[1][1] >= 0.09
        assert received[2][1] >= 0.19

    @pytest.mark.parametrize("size", [0, 1, 7, 65536, 1_000_003])
    def test_repeat_sends_so_many_bytes(self, scripted: Scripted, size: int) -> None:
        server = scripted.serve((Repeat(b"0123456", size),))
        with scripted.connect(server) as client:
            assert read_all(client) == (b"0123456" * (size // 7 + 1))[:size]

    def test_repeat_in_pieces_goes_on_where_it_was(self, scripted: Scripted) -> None:
        server = scripted.serve((Repeat(b"abcde", 12, piece=4, every=0.001),))
        with scripted.connect(server) as client:
            assert read_all(client) == b"abcdeabcdeab"

    def test_a_client_that_does_not_read_holds_nobody_up(self, scripted: Scripted) -> None:
        """It leaves in the middle of data that it never read."""
        server = scripted.serve((Repeat(b"x" * 100, 1 << 40),), (Send(b"hello"),))
        idle = scripted.connect(server)
        with scripted.connect(server) as other:
            assert read_all(other) == b"hello"
        assert server.connections(0)[0].ended is None
        idle.close()
        first, _ = server.connections(10)
        assert first.ended is not None
        assert first.sent < 1 << 30

    def test_pause_and_order(self, scripted: Scripted) -> None:
        server = scripted.serve((Send(b"a"), Pause(0.2), Send(b"b")))
        with scripted.connect(server) as client:
            begin = time.monotonic()
            assert (client.recv(9), client.recv(9)) == (b"a", b"b")
            assert time.monotonic() - begin >= 0.19


class TestEnding:
    def test_close_is_an_end_of_file_even_with_bytes_unread(self, scripted: Scripted) -> None:
        """Closing with unread bytes would send RST, which would discard our last bytes."""
        server = scripted.serve((Send(b"bye"), Close()))
        with scripted.connect(server) as client:
            client.sendall(b"x" * 100_000)
            time.sleep(0.05)
            assert client.recv(9, socket.MSG_WAITALL) == b"bye"
            assert client.recv(9) == b""

    def test_a_script_without_steps_closes_at_once(self, scripted: Scripted) -> None:
        server = scripted.serve(())
        with scripted.connect(server) as client:
            assert client.recv(9) == b""

    def test_reset_is_a_reset(self, scripted: Scripted) -> None:
        server = scripted.serve((ReadLine(), Reset()))
        with scripted.connect(server) as client:
            client.sendall(b"x\r\n")
            with pytest.raises(ConnectionResetError):
                client.recv(9)

    def test_wait_says_nothing_and_takes_what_comes(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(), Send(b"never")))
        client = scripted.connect(server)
        client.settimeout(0.3)
        client.sendall(b"USER me\r\nPASS secret")
        with pytest.raises(TimeoutError):
            client.recv(9)
        assert not server.connections(0)[0].left
        client.close()
        connection = only(server)
        assert connection.lines == (Heard(b"USER me", "clear"), Heard(b"PASS secret", "clear"))
        assert (connection.user, connection.password, connection.sent) == ("clear", "clear", 0)

    def test_a_silent_server_does_not_end_for_a_client_that_only_half_closes(self, scripted: Scripted) -> None:
        """Otherwise a tool that waits forever would look as if it had a time limit."""
        server = scripted.serve((Wait(),))
        client = scripted.connect(server)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(9)
        assert only(server).left

    def test_a_client_that_resets_is_told_of(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(),))
        client = scripted.connect(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        connection = only(server)
        assert (connection.error, connection.left) == ("the client reset the connection", True)
        assert connection.ended is not None


class TestListening:
    def test_answers_until_the_verb_and_goodbye_to_the_last(self, scripted: Scripted) -> None:
        answer = Answer({"FEAT": b"211 none\r\n", "QUIT": b"221 bye\r\n"}, otherwise=b"500 what\r\n", until="AUTH")
        server = scripted.serve((answer, Send(b"234 ok\r\n"), answer))
        with scripted.connect(server) as client:
            client.sendall(b"feat\r\nDANCE now\n\r\nAUTH TLS\r\nQUIT\r\nFEAT\r\n")
            assert read_all(client) == b"211 none\r\n500 what\r\n500 what\r\n234 ok\r\n221 bye\r\n"
        heard = [line.text for line in only(server).lines]
        assert heard == [b"feat", b"DANCE now", b"", b"AUTH TLS", b"QUIT", b"FEAT"]

    def test_receive_takes_bytes_that_are_no_line_and_gives_up_in_time(self, scripted: Scripted) -> None:
        server = scripted.serve((Receive(), Send(b"a"), Receive(0.1), Send(b"b")))
        with scripted.connect(server) as client:
            client.sendall(b"\x16\x03\x01")
            assert (client.recv(9), client.recv(9)) == (b"a", b"b")
        assert [line.text for line in only(server).lines] == [b"\x16\x03\x01"]

    def test_a_line_without_an_end_is_kept_in_part_and_the_next_one_read(self, scripted: Scripted) -> None:
        server = scripted.serve((ReadLine(), ReadLine(), Send(b"ok")))
        with scripted.connect(server) as client:
            client.sendall(b"PASS " + b"x" * 3_000_000 + b"\r\nnext\r\n")
            assert client.recv(9) == b"ok"
        connection = only(server)
        assert [len(line.text) for line in connection.lines] == [LINE_BYTES, 4]
        assert connection.password == "clear"

    def test_a_password_behind_many_lines_is_noticed(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(),))
        with scripted.connect(server) as client:
            client.sendall(b"NOOP\r\n" * (LINES + 9) + b"pass x\r\n")
        connection = only(server)
        assert len(connection.lines) == LINES
        assert (connection.user, connection.password) == ("", "clear")

    @pytest.mark.parametrize("line", [b"PASSIVE", b"XPASS", b"SITE PASS x", b"USERS"])
    def test_what_only_looks_like_a_login_is_none(self, scripted: Scripted, line: bytes) -> None:
        server = scripted.serve((Wait(),))
        with scripted.connect(server) as client:
            client.sendall(line + b"\r\n")
        assert (only(server).user, only(server).password) == ("", "")

    def test_what_comes_while_the_server_sends_is_in_the_record(self, scripted: Scripted) -> None:
        server = scripted.serve((Repeat(b"x", 1 << 40, piece=1, every=0.02),))
        with scripted.connect(server) as client:
            client.sendall(b"PASS early\r\n")
            assert client.recv(1) == b"x"
        assert only(server).password == "clear"


class TestTls:
    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    def test_explicit(self, scripted: Scripted, certificates: dict[str, Certificate], version: str) -> None:
        server = scripted.serve(ftps(certificates["genuine"], versions=(version,)))
        with to_tls(scripted.connect(server), certificates["genuine"]) as client:
            client.sendall(b"USER me\r\nPASS secret\r\nPWD\r\nQUIT\r\n")
            assert [line[:3] for line in read_all(client).splitlines()] == [b"331", b"530", b"502", b"221"]
        connection = only(server)
        assert (connection.tls, connection.version) == (True, f"TLSv{version}")
        assert connection.certificate == certificates["genuine"].sha256
        assert (connection.user, connection.password) == ("tls", "tls")
        assert connection.lines[:2] == (Heard(b"AUTH TLS", "clear"), Heard(b"USER me", "tls"))
        assert connection.error == ""

    def test_implicit(self, scripted: Scripted, certificates: dict[str, Certificate]) -> None:
        server = scripted.serve(implicit(certificates["genuine"]))
        with client_context().wrap_socket(scripted.connect(server)) as client:
            assert client.recv(512).startswith(b"220")
        assert only(server).tls

    def test_what_is_above_a_certificate_is_sent_after_it(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        server = scripted.serve(ftps(certificates["leaf"]))
        with to_tls(scripted.connect(server), certificates["root"]) as client:
            assert shown(client) == certificates["leaf"].der

    def test_a_refused_certificate_was_shown_all_the_same(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        server = scripted.serve(ftps(certificates["genuine"]))
        with pytest.raises(ssl.SSLCertVerificationError):
            to_tls(scripted.connect(server), certificates["other"])
        connection = only(server)
        assert (connection.tls, connection.certificate) == (False, certificates["genuine"].sha256)
        assert "unknown ca" in connection.error

    def test_a_client_that_never_begins_was_shown_nothing(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        server = scripted.serve(ftps(certificates["genuine"]))
        with scripted.connect(server) as client:
            client.sendall(b"AUTH TLS\r\nno handshake\r\n")
            read_all(client)
        connection = only(server)
        assert (connection.tls, connection.certificate) == (False, "")
        assert connection.error

    def test_nothing_is_shown_by_asking_for_another_group_or_by_an_alert(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        """A HelloRetryRequest or an alert starts a handshake without showing a certificate."""
        server = scripted.serve(ftps(certificates["genuine"], versions=("1.3",)))
        sock = scripted.connect(server)
        sock.recv(512)
        sock.sendall(b"AUTH TLS\r\n")
        sock.recv(512)
        context = client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(sock)
        connection = only(server)
        assert (connection.tls, connection.certificate) == (False, "")
        assert connection.sent > 7

    def test_a_hello_behind_auth_in_one_segment_is_taken(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        server = scripted.serve((expect("AUTH"), StartTls(certificates["genuine"]), Send(b"inside")))
        with scripted.connect(server) as client:
            client.sendall(b"AUTH TLS\r\n" + outgoing.read())
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(client.recv(65536))
            client.sendall(outgoing.read())
            until(lambda: server.connections(0)[0].tls)

    def test_large_and_piecewise_in_tls(self, scripted: Scripted, certificates: dict[str, Certificate]) -> None:
        script = (
            StartTls(certificates["genuine"]),
            Repeat(b"0123456789", 3_000_000),
            Send(b"end", piece=1, every=0.01),
        )
        server = scripted.serve(script)
        with client_context().wrap_socket(scripted.connect(server)) as client:
            data = read_all(client)
        assert hashlib.sha256(data).digest() == hashlib.sha256(b"0123456789" * 300_000 + b"end").digest()

    def test_a_client_that_leaves_within_tls_ends_what_is_sent(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        server = scripted.serve((StartTls(certificates["genuine"]), Repeat(b"x", 1 << 40)))
        client_context().wrap_socket(scripted.connect(server)).close()
        connection = only(server)
        assert connection.ended is not None
        assert connection.sent < 1 << 30


class TestServer:
    def test_connection_n_follows_script_n_and_the_last_one_again(self, scripted: Scripted) -> None:
        server = scripted.serve((Send(b"a"),), (Send(b"b"),))

        def said() -> bytes:
            with scripted.connect(server) as client:
                return read_all(client)

        assert [said(), said(), said()] == [b"a", b"b", b"b"]
        connections = server.connections()
        assert [(each.number, each.script) for each in connections] == [(1, 0), (2, 1), (3, 1)]
        assert connections[0].began <= connections[1].began <= connections[2].began
        server.record()
        assert server.connections() == ()
        assert said() == b"a"
        assert only(server).number == 1

    def test_many_clients_at_the_same_time_and_more_than_there_is_room_for(self, scripted: Scripted) -> None:
        server = scripted.serve((Send(b"hello"), Wait()))
        clients = [scripted.connect(server) for _ in range(150)]
        assert [client.recv(9) for client in clients[:128]] == [b"hello"] * 128
        begin = time.monotonic()
        server.stop()
        assert time.monotonic() - begin < 3

    def test_stop_closes_what_is_open_refuses_what_comes_and_is_repeatable(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(),))
        client = scripted.connect(server)
        until(lambda: server.connections(0))
        server.stop()
        server.stop()
        assert read_all(client) == b""
        with pytest.raises(ConnectionRefusedError):
            scripted.connect(server)
        assert server.connections()[0].ended is not None  # the record is still available

    def test_one_that_was_never_started_is_stopped_all_the_same(self) -> None:
        ScriptedServer([()]).stop()

    def test_a_failing_thread_is_told_of(self, scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(_self: Conversation) -> None:
            raise ZeroDivisionError("no")

        monkeypatch.setattr(Conversation, "follow", broken)
        server = scripted.serve((Wait(),))
        with scripted.connect(server) as client:
            read_all(client)
        with pytest.raises(LabError, match="failed:\nZeroDivisionError: no"):
            server.connections()

    def test_a_port_that_is_taken_is_a_sentence(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(),))
        with pytest.raises(LabError, match=f"cannot listen on 127.0.0.1 port {server.port}"):
            ScriptedServer([()], port=server.port).start()

    def test_scripts_that_cannot_be_followed_are_sentences(self) -> None:
        with pytest.raises(LabError, match="give at least one"):
            ScriptedServer([])
        with pytest.raises(LabError, match="cannot repeat nothing"):
            ScriptedServer([(Repeat(b"", 1),)])
