"""The effect of each step on a client, and its record."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import peer_der, read_until_closed
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


def only_connection(server: ScriptedServer) -> ScriptedConnection:
    (connection,) = server.connections(10)
    return connection


def connect_tls(sock: socket.socket, trusted: Certificate | None = None) -> ssl.SSLSocket:
    """Do AUTH TLS and the handshake on an explicit connection."""
    assert sock.recv(512).startswith(b"220")
    sock.sendall(b"AUTH TLS\r\n")
    assert sock.recv(512).startswith(b"234")
    return client_context(trusted).wrap_socket(sock)


class TestSendSteps:
    def test_send_is_received_unchanged(self, scripted: Scripted) -> None:
        data = bytes(range(256)) * 4096
        server = scripted.serve((Send(data), Close()))
        with scripted.connect(server) as client:
            assert read_until_closed(client) == data
        assert only_connection(server).sent == len(data)

    def test_pieces_are_sent_one_by_one_at_their_interval(self, scripted: Scripted) -> None:
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
    def test_repeat_sends_exactly_its_size(self, scripted: Scripted, size: int) -> None:
        server = scripted.serve((Repeat(b"0123456", size),))
        with scripted.connect(server) as client:
            assert read_until_closed(client) == (b"0123456" * (size // 7 + 1))[:size]

    def test_repeat_continues_its_pattern_across_pieces(self, scripted: Scripted) -> None:
        server = scripted.serve((Repeat(b"abcde", 12, piece=4, every=0.001),))
        with scripted.connect(server) as client:
            assert read_until_closed(client) == b"abcdeabcdeab"

    def test_client_that_does_not_read_delays_no_other(self, scripted: Scripted) -> None:
        """It leaves in the middle of data that it never read."""
        server = scripted.serve((Repeat(b"x" * 100, 1 << 40),), (Send(b"hello"),))
        idle = scripted.connect(server)
        with scripted.connect(server) as other:
            assert read_until_closed(other) == b"hello"
        assert server.connections(0)[0].ended is None
        idle.close()
        first, _ = server.connections(10)
        assert first.ended is not None
        assert first.sent < 1 << 30

    def test_pause_delays_the_next_step(self, scripted: Scripted) -> None:
        server = scripted.serve((Send(b"a"), Pause(0.2), Send(b"b")))
        with scripted.connect(server) as client:
            begin = time.monotonic()
            assert (client.recv(9), client.recv(9)) == (b"a", b"b")
            assert time.monotonic() - begin >= 0.19


class TestEndSteps:
    def test_close_with_unread_bytes_is_a_clean_end(self, scripted: Scripted) -> None:
        """Closing with unread bytes would send RST, which would discard the server's last bytes."""
        server = scripted.serve((Send(b"bye"), Close()))
        with scripted.connect(server) as client:
            client.sendall(b"x" * 100_000)
            time.sleep(0.05)
            assert client.recv(9, socket.MSG_WAITALL) == b"bye"
            assert client.recv(9) == b""

    def test_script_without_steps_closes_at_once(self, scripted: Scripted) -> None:
        server = scripted.serve(())
        with scripted.connect(server) as client:
            assert client.recv(9) == b""

    def test_reset_sends_rst(self, scripted: Scripted) -> None:
        server = scripted.serve((ReadLine(), Reset()))
        with scripted.connect(server) as client:
            client.sendall(b"x\r\n")
            with pytest.raises(ConnectionResetError):
                client.recv(9)

    def test_wait_sends_nothing_and_records_lines(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(), Send(b"never")))
        client = scripted.connect(server)
        client.settimeout(0.3)
        client.sendall(b"USER me\r\nPASS secret")
        with pytest.raises(TimeoutError):
            client.recv(9)
        assert not server.connections(0)[0].left
        client.close()
        connection = only_connection(server)
        assert connection.lines == (Heard(b"USER me", "clear"), Heard(b"PASS secret", "clear"))
        assert (connection.user, connection.password, connection.sent) == ("clear", "clear", 0)

    def test_wait_outlasts_a_half_close(self, scripted: Scripted) -> None:
        """Otherwise a tool that waits for ever would look as if it had a time limit."""
        server = scripted.serve((Wait(),))
        client = scripted.connect(server)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(9)
        assert only_connection(server).left

    def test_reset_by_the_client_is_recorded(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(),))
        client = scripted.connect(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        connection = only_connection(server)
        assert (connection.error, connection.left) == ("the client reset the connection", True)
        assert connection.ended is not None


class TestReadSteps:
    def test_answer_replies_until_its_verb_or_quit(self, scripted: Scripted) -> None:
        answer = Answer({"FEAT": b"211 none\r\n", "QUIT": b"221 bye\r\n"}, otherwise=b"500 what\r\n", until="AUTH")
        server = scripted.serve((answer, Send(b"234 ok\r\n"), answer))
        with scripted.connect(server) as client:
            client.sendall(b"feat\r\nDANCE now\n\r\nAUTH TLS\r\nQUIT\r\nFEAT\r\n")
            assert read_until_closed(client) == b"211 none\r\n500 what\r\n500 what\r\n234 ok\r\n221 bye\r\n"
        heard = [line.text for line in only_connection(server).lines]
        assert heard == [b"feat", b"DANCE now", b"", b"AUTH TLS", b"QUIT", b"FEAT"]

    def test_receive_takes_bytes_without_a_line_end_or_times_out(self, scripted: Scripted) -> None:
        server = scripted.serve((Receive(), Send(b"a"), Receive(0.1), Send(b"b")))
        with scripted.connect(server) as client:
            client.sendall(b"\x16\x03\x01")
            assert (client.recv(9), client.recv(9)) == (b"a", b"b")
        assert [line.text for line in only_connection(server).lines] == [b"\x16\x03\x01"]

    def test_overlong_line_is_truncated_and_the_next_one_read(self, scripted: Scripted) -> None:
        server = scripted.serve((ReadLine(), ReadLine(), Send(b"ok")))
        with scripted.connect(server) as client:
            client.sendall(b"PASS " + b"x" * 3_000_000 + b"\r\nnext\r\n")
            assert client.recv(9) == b"ok"
        connection = only_connection(server)
        assert [len(line.text) for line in connection.lines] == [LINE_BYTES, 4]
        assert connection.password == "clear"

    def test_password_is_noticed_beyond_the_lines_kept(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(),))
        with scripted.connect(server) as client:
            client.sendall(b"NOOP\r\n" * (LINES + 9) + b"pass x\r\n")
        connection = only_connection(server)
        assert len(connection.lines) == LINES
        assert (connection.user, connection.password) == ("", "clear")

    @pytest.mark.parametrize("line", [b"PASSIVE", b"XPASS", b"SITE PASS x", b"USERS"])
    def test_similar_commands_are_not_a_login(self, scripted: Scripted, line: bytes) -> None:
        server = scripted.serve((Wait(),))
        with scripted.connect(server) as client:
            client.sendall(line + b"\r\n")
        assert (only_connection(server).user, only_connection(server).password) == ("", "")

    def test_lines_received_while_sending_are_recorded(self, scripted: Scripted) -> None:
        server = scripted.serve((Repeat(b"x", 1 << 40, piece=1, every=0.02),))
        with scripted.connect(server) as client:
            client.sendall(b"PASS early\r\n")
            assert client.recv(1) == b"x"
        assert only_connection(server).password == "clear"


class TestStartTls:
    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    def test_explicit_session_is_recorded(
        self, scripted: Scripted, certificates: dict[str, Certificate], version: str
    ) -> None:
        server = scripted.serve(ftps(certificates["genuine"], versions=(version,)))
        with connect_tls(scripted.connect(server), certificates["genuine"]) as client:
            client.sendall(b"USER me\r\nPASS secret\r\nPWD\r\nQUIT\r\n")
            assert [line[:3] for line in read_until_closed(client).splitlines()] == [b"331", b"530", b"502", b"221"]
        connection = only_connection(server)
        assert (connection.tls, connection.version) == (True, f"TLSv{version}")
        assert connection.certificate == certificates["genuine"].sha256
        assert (connection.user, connection.password) == ("tls", "tls")
        assert connection.lines[:2] == (Heard(b"AUTH TLS", "clear"), Heard(b"USER me", "tls"))
        assert connection.error == ""

    def test_implicit_connection_is_recorded_as_tls(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        server = scripted.serve(implicit(certificates["genuine"]))
        with client_context().wrap_socket(scripted.connect(server)) as client:
            assert client.recv(512).startswith(b"220")
        assert only_connection(server).tls

    def test_issuers_of_the_certificate_are_sent(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        server = scripted.serve(ftps(certificates["leaf"]))
        with connect_tls(scripted.connect(server), certificates["root"]) as client:
            assert peer_der(client) == certificates["leaf"].der

    def test_refused_certificate_is_recorded_as_presented(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        server = scripted.serve(ftps(certificates["genuine"]))
        with pytest.raises(ssl.SSLCertVerificationError):
            connect_tls(scripted.connect(server), certificates["other"])
        connection = only_connection(server)
        assert (connection.tls, connection.certificate) == (False, certificates["genuine"].sha256)
        assert "unknown ca" in connection.error

    def test_no_certificate_is_recorded_without_a_client_hello(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        server = scripted.serve(ftps(certificates["genuine"]))
        with scripted.connect(server) as client:
            client.sendall(b"AUTH TLS\r\nno handshake\r\n")
            read_until_closed(client)
        connection = only_connection(server)
        assert (connection.tls, connection.certificate) == (False, "")
        assert connection.error

    def test_no_certificate_is_recorded_for_an_alert(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        """The server answers the ClientHello, but presents no certificate."""
        server = scripted.serve(ftps(certificates["genuine"], versions=("1.3",)))
        sock = scripted.connect(server)
        sock.recv(512)
        sock.sendall(b"AUTH TLS\r\n")
        sock.recv(512)
        context = client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(sock)
        connection = only_connection(server)
        assert (connection.tls, connection.certificate) == (False, "")
        assert connection.sent > 7

    def test_client_hello_in_one_segment_with_auth_is_read(
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

    def test_repeat_and_pieces_work_in_tls(self, scripted: Scripted, certificates: dict[str, Certificate]) -> None:
        script = (
            StartTls(certificates["genuine"]),
            Repeat(b"0123456789", 3_000_000),
            Send(b"end", piece=1, every=0.01),
        )
        server = scripted.serve(script)
        with client_context().wrap_socket(scripted.connect(server)) as client:
            data = read_until_closed(client)
        assert hashlib.sha256(data).digest() == hashlib.sha256(b"0123456789" * 300_000 + b"end").digest()

    def test_client_leaving_within_tls_ends_the_repeat(
        self, scripted: Scripted, certificates: dict[str, Certificate]
    ) -> None:
        server = scripted.serve((StartTls(certificates["genuine"]), Repeat(b"x", 1 << 40)))
        client_context().wrap_socket(scripted.connect(server)).close()
        connection = only_connection(server)
        assert connection.ended is not None
        assert connection.sent < 1 << 30


class TestScriptedServer:
    def test_each_connection_follows_the_next_script_then_the_last(self, scripted: Scripted) -> None:
        server = scripted.serve((Send(b"a"),), (Send(b"b"),))

        def receive_all() -> bytes:
            with scripted.connect(server) as client:
                return read_until_closed(client)

        assert [receive_all(), receive_all(), receive_all()] == [b"a", b"b", b"b"]
        connections = server.connections()
        assert [(each.number, each.script) for each in connections] == [(1, 0), (2, 1), (3, 1)]
        assert connections[0].began <= connections[1].began <= connections[2].began
        server.record()
        assert server.connections() == ()
        assert receive_all() == b"a"
        assert only_connection(server).number == 1

    def test_128_clients_are_served_at_once_and_stop_is_quick(self, scripted: Scripted) -> None:
        server = scripted.serve((Send(b"hello"), Wait()))
        clients = [scripted.connect(server) for _ in range(150)]
        assert [client.recv(9) for client in clients[:128]] == [b"hello"] * 128
        begin = time.monotonic()
        server.stop()
        assert time.monotonic() - begin < 3

    def test_stop_closes_connections_and_port_and_is_repeatable(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(),))
        client = scripted.connect(server)
        until(lambda: server.connections(0))
        server.stop()
        server.stop()
        assert read_until_closed(client) == b""
        with pytest.raises(ConnectionRefusedError):
            scripted.connect(server)
        assert server.connections()[0].ended is not None  # the record is still available

    def test_stop_before_start_is_allowed(self) -> None:
        ScriptedServer([()]).stop()

    def test_exception_in_the_thread_is_a_lab_error(self, scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(_self: Conversation) -> None:
            raise ZeroDivisionError("no")

        monkeypatch.setattr(Conversation, "follow", broken)
        server = scripted.serve((Wait(),))
        with scripted.connect(server) as client:
            read_until_closed(client)
        with pytest.raises(LabError, match="failed:\nZeroDivisionError: no"):
            server.connections()

    def test_port_in_use_is_an_error(self, scripted: Scripted) -> None:
        server = scripted.serve((Wait(),))
        with pytest.raises(LabError, match=f"cannot listen on 127.0.0.1 port {server.port}"):
            ScriptedServer([()], port=server.port).start()

    def test_impossible_scripts_are_errors(self) -> None:
        with pytest.raises(LabError, match="needs at least one script"):
            ScriptedServer([])
        with pytest.raises(LabError, match="Repeat needs some data to repeat"):
            ScriptedServer([(Repeat(b"", 1),)])
