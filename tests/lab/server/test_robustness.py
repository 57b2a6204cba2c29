"""Whatever one client does, the server serves the others and records it as that client's error."""

from __future__ import annotations

import contextlib
import ftplib
import random
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import (
    PROTOCOLS,
    connect_with_small_buffer,
    create_huge_file,
    prove_sessions_over,
    read_until_closed,
)

from ftps_lab.server import handlers
from ftps_lab.testimony import TLS_IN_CLEAR
from ftps_lab.wire.tap import TappedSocket

if TYPE_CHECKING:
    from tests.lab.conftest import Lab


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "zeros": bytes(100),
    "noise": random.Random(1).randbytes(3000),
    "telnet": b"\xff\xf4\xff\xf2ABOR\r\n",
    "nul": b"USER a\0b\r\nPASS \0\r\n\0\r\n",
    "not-utf8": b"USER \xff\xfe\x80\r\n",
    "bare-lf": b"USER a\nNOOP\n",
    "empty-lines": b"\r\n" * 100,
    "half-a-record": b"\x16\x03\x01\x02\x00" + b"x" * 100,
    "a-whole-false-record": b"\x16\x03\x03\x00\x04\x01\x00\x00\x00",
    "an-alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "huge-record": b"\x16\x03\x03\xff\xff" + b"x" * 0xFFFF,
    "empty-record": b"\x16\x03\x03\x00\x00" * 10,
    "sslv2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"x" * 40,
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("where", ["clear", "behind-auth", "implicit"])
def test_garbage_on_control_connection_is_recorded(lab: Lab, where: str, name: str) -> None:
    """It ends the connection or gets a reply; a due handshake is recorded as failed."""
    server = lab.serve("implicit" if where == "implicit" else "explicit")
    sock = lab.connect(server, receive=b"" if where == "implicit" else b"220")
    if where == "behind-auth":
        sock.sendall(b"AUTH TLS\r\n")
        assert sock.recv(512).startswith(b"234")
    with contextlib.suppress(ConnectionError):
        sock.sendall(GARBAGE[name])
        sock.shutdown(socket.SHUT_WR)
    read_until_closed(sock)
    sock.close()
    assert server.settle()
    testimony = server.testimony()
    assert len(testimony.connections) == 1
    if where == "clear":
        begun = [(handshake.completed, handshake.certificate) for handshake in testimony.handshakes]
        assert begun == ([(False, "")] if GARBAGE[name].startswith(b"\x16") else [])
    else:
        assert [(h.completed, bool(h.error)) for h in testimony.handshakes] == [(False, True)]
        assert testimony.credentials == ()
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_inside_tls_is_read_as_bad_commands(lab: Lab, name: str) -> None:
    server = lab.serve("implicit")
    with lab.trusting("genuine").wrap_socket(lab.connect(server, receive=b""), server_hostname="localhost") as sock:
        assert sock.recv(512).startswith(b"220")
        sock.sendall(GARBAGE[name] + b"\r\nQUIT\r\n")
        received = b""
        with contextlib.suppress(ssl.SSLEOFError):
            while data := sock.recv(65536):
                received += data
        assert received.splitlines()[-1].startswith(b"221")
    assert server.settle()
    assert {command.channel for command in server.testimony().commands} == {"tls"}
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("garbage", [b"\x17\x03\x03\x00\x20" + bytes(32), b"USER in clear\r\n"])
def test_garbage_within_tls_ends_the_connection(lab: Lab, garbage: bytes) -> None:
    """It is recorded as the connection's error, not as a command."""
    server = lab.serve()
    client = lab.login(server)
    assert client.sock is not None
    with socket.socket(fileno=client.sock.detach()) as raw:
        raw.sendall(garbage)
        raw.settimeout(5)
        read_until_closed(raw)
    client.sock = None
    client.close()
    assert server.settle()
    testimony = server.testimony()
    assert "SSL" in testimony.connections[0].error or "Error" in testimony.connections[0].error
    assert testimony.commands[-1].verb == "PROT"
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
@pytest.mark.parametrize("garbage", [b"\x17\x03\x03\x00\x20" + bytes(32), b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 30_000])
def test_garbage_within_data_tls_makes_transfer_incomplete(lab: Lab, command: str, garbage: bytes) -> None:
    """The client gets a 426."""
    create_huge_file(lab)
    server = lab.serve()
    client = lab.login(server)
    client.voidcmd("TYPE I")
    data = client.transfercmd(command)
    if command.startswith("STOR"):
        data.sendall(b"x" * 100)
    with socket.socket(fileno=data.detach()) as raw, contextlib.suppress(ConnectionError):
        raw.sendall(garbage)
        if command.startswith("RETR"):
            lab.close_with_reset(raw)
        else:
            raw.settimeout(5)
            read_until_closed(raw)
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()
    client.quit()
    assert server.settle()
    assert [transfer.completed for transfer in server.testimony().transfers] == [False]
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("command", ["RETR three", "STOR up", "LIST"])
@pytest.mark.parametrize("name", ["http", "noise", "a-whole-false-record", "huge-record"])
def test_garbage_instead_of_data_handshake_transfers_nothing(lab: Lab, command: str, name: str) -> None:
    """The client gets a 522 or 426."""
    server = lab.serve()
    client = lab.login(server)
    with client.data(command) as data, contextlib.suppress(ConnectionError):
        data.sendall(GARBAGE[name])
        read_until_closed(data)
    with pytest.raises(ftplib.Error, match=r"^(426|522)"):
        client.voidresp()
    client.quit()
    assert server.settle()
    assert [(t.size, t.completed) for t in server.testimony().transfers] == [(0, False)]
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("protocol", ["explicit", "plain"])
def test_client_hello_on_cleartext_control_is_a_failed_handshake(lab: Lab, protocol: str) -> None:
    """A client that starts with TLS where FTP is due fails, and never sends its password."""
    server = lab.serve(protocol)
    sock = lab.connect(server)
    sock.settimeout(0.1)  # an FTP server waits for the end of the line
    with pytest.raises((ssl.SSLError, ConnectionError, TimeoutError)):
        lab.trusting("genuine").wrap_socket(sock, server_hostname="localhost")
    assert server.settle()
    assert [handshake.error for handshake in server.testimony().handshakes] == [TLS_IN_CLEAR]
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_megabyte_without_line_end_gets_500(lab: Lab, protocol: str) -> None:
    """It is discarded, and the session continues."""
    server = lab.serve(protocol)
    client = lab.login(server)
    assert client.sock is not None
    client.sock.sendall(b"x" * (1 << 20))
    client.sock.sendall(b"\r\nSYST\r\n")
    assert client.file is not None
    codes = set()
    while not (line := client.file.readline()).startswith("215"):
        codes.add(line[:3])
    assert codes == {"500"}
    client.quit()
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_client_that_reads_late_gets_every_reply(lab: Lab, protocol: str) -> None:
    """2,000 commands pass through full buffers."""
    server = lab.serve(protocol)
    raw = connect_with_small_buffer((server.host, server.port), 4096)
    if protocol == "explicit":
        raw.recv(512)
        raw.sendall(b"AUTH TLS\r\n")
        raw.recv(512)
    with raw, lab.trusting("genuine").wrap_socket(raw, server_hostname="localhost") as sock:
        if protocol == "implicit":
            sock.recv(512)
        writer = threading.Thread(target=sock.sendall, args=(b"HELP\r\n" * 2000,))
        writer.start()
        time.sleep(0.1)
        ends, rest = 0, b""
        while ends < 2000:
            data = rest + sock.recv(65536)
            ends += data.count(b"\r\n214 ")
            rest = data[-5:] if not data.endswith(b"\r\n214 ") else b""
        writer.join(5)
        assert not writer.is_alive()
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_reply_reaches_a_slow_reader(lab: Lab, small_send_buffers: None, protocol: str) -> None:
    """A reply longer than every buffer arrives completely, although the client sends nothing more."""
    for number in range(300):
        (lab.root / f"{number:0200}").touch()
    server = lab.serve(protocol)
    client = lab.login(server)
    client.putcmd("STAT /")
    time.sleep(0.05)
    assert client.getmultiline().count("\n") > 300
    client.quit()
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_reply_the_kernel_refused_is_sent_later(lab: Lab, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another command from the client."""
    send = TappedSocket.send
    takes = threading.Event()

    def valve(sock: TappedSocket, data: bytes) -> int:
        if not takes.is_set():
            raise BlockingIOError
        return send(sock, data)

    server = lab.serve(protocol)
    client = lab.login(server)
    monkeypatch.setattr(TappedSocket, "send", valve)
    client.putcmd("NOOP")
    lab.until(lambda: server.testimony().commands[-1].reply == 200)
    time.sleep(0.02)
    takes.set()
    assert client.voidresp().startswith("200")
    client.quit()
    prove_sessions_over(lab, server)


def test_handshake_cut_at_any_byte_is_recorded_as_failed(lab: Lab) -> None:
    """Every prefix of a real client's bytes, ended by FIN or RST."""
    server = lab.serve("implicit")
    client = lab.client(server)
    client.sendcmd("NOOP")
    client.close()
    assert server.settle()
    recorded = server.wire().records[0].to_server
    assert len(recorded) > 300
    server.record()
    for size in range(len(recorded)):
        with socket.create_connection((server.host, server.port), 5) as sock:
            sock.sendall(recorded[:size])
            if size % 2:
                lab.close_with_reset(sock)
    assert server.settle()
    testimony = server.testimony()
    assert len(testimony.connections) == len(recorded)
    assert not any(handshake.completed for handshake in testimony.handshakes)
    begun = [handshake.connection for handshake in testimony.handshakes]
    assert len(begun) == len(set(begun))
    assert set(range(1, len(recorded) + 1, 2)) <= set(begun)  # except some that were reset before the server looked
    assert not any(connection.greeted for connection in testimony.connections)
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("protect", [True, False])
def test_data_connections_reset_at_once_do_not_end_the_session(lab: Lab, protect: bool) -> None:
    """Before anything has passed, passive or active."""
    server = lab.serve()
    for _ in range(20):
        client = lab.login(server, protect=protect)
        lab.close_with_reset(socket.create_connection(client.makepasv(), 5))
        client.quit()
        client = lab.login(server, protect=protect, mode="port")
        with client.makeport() as listener:
            lab.close_with_reset(listener.accept()[0])
        client.quit()
    assert server.settle()
    assert [c.error for c in server.testimony().connections if c.kind == "control"] == [""] * 40
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("command", ["RETR three", "STOR up", "LIST"])
def test_transfer_without_a_data_connection_gets_425(lab: Lab, protocol: str, command: str) -> None:
    """Without PASV or PORT, and after a data connection that has ended."""
    server = lab.serve(protocol)
    client = lab.login(server)
    with pytest.raises(ftplib.error_temp, match=r"^425"):
        client.sendcmd(command)
    address = client.makepasv()
    assert client.sendcmd(command).startswith("150")
    with lab.blocked(server):
        lab.close_with_reset(socket.create_connection(address, 5))  # gone before the server has looked at it
    with pytest.raises(ftplib.error_temp, match=r"^425"):
        client.voidresp()
    with pytest.raises(ftplib.error_temp, match=r"^425"):
        client.sendcmd(command)
    assert client.get("three") == b"abc"
    client.quit()
    prove_sessions_over(lab, server)


def test_port_without_listener_gets_425_and_other_host_501(lab: Lab) -> None:
    client = lab.login(lab.serve())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ftplib.error_temp, match=r"^425"):
        client.sendport("127.0.0.1", port)
    with pytest.raises(ftplib.error_perm, match=r"^501"):
        client.sendport("127.0.0.2", port)
    assert client.get("three") == b"abc"


def test_two_hundred_short_connections_are_recorded(lab: Lab) -> None:
    """Some send a command, some reset."""
    server = lab.serve()
    for number in range(200):
        with socket.create_connection((server.host, server.port), 5) as sock:
            if number % 3 == 0:
                sock.sendall(b"NOOP\r\n")
            if number % 3 == 1:
                lab.close_with_reset(sock)
    assert server.settle()
    assert len(server.testimony().connections) == 200
    prove_sessions_over(lab, server)


ARGUMENTS = (
    "",
    "a",
    "a\0b",
    "/",
    "../../..",
    "x" * 2000,
    "\ufffd",
    "~",
    "-la",
    "*",
    "9" * 30,
    "-1",
    "|1|127.0.0.1|x|",
    "a b c",
)


@pytest.mark.parametrize("protocol", ["explicit", "plain"])
def test_every_command_with_unusual_arguments_gets_a_reply(lab: Lab, protocol: str) -> None:
    """None causes a server error."""
    server = lab.serve(protocol)
    for verb in sorted(handlers.CONTROLS[protocol].proto_cmds.keys() - {"QUIT", "REIN", "AUTH", "USER", "PASS"}):
        client = lab.login(server, protect=False)
        for kind in ("I", "A"):
            client.sendcmd(f"TYPE {kind}")
            for argument in ARGUMENTS:
                client.makepasv()
                with contextlib.suppress(ftplib.error_perm, ftplib.error_temp, ftplib.error_proto):
                    client.sendcmd(f"{verb} {argument}".rstrip())
        client.close()
    (lab.root / "three").write_bytes(b"abc")
    prove_sessions_over(lab, server)


@pytest.mark.parametrize("rest", ["0", "2", "3", "9", "9" * 30])
@pytest.mark.parametrize("command", ["RETR three", "STOR up"])
def test_rest_at_any_offset_causes_no_server_error(lab: Lab, command: str, rest: str) -> None:
    """At, past or far past the end of a file, it is served or refused."""
    server = lab.serve()
    client = lab.login(server)
    client.put("up", b"abc")
    with contextlib.suppress(ftplib.Error):
        with client.transfercmd(command, rest) as data:
            if command.startswith("RETR"):
                assert data.recv(10) == b"abc"[int(rest) :]
        client.voidresp()
    client.close()
    prove_sessions_over(lab, server)
