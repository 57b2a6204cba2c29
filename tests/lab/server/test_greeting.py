"""The greeting of our own server: its text, its lines, its pieces, and input sent before a client has read it."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import pytest
from tests.lab.conftest import CONTENTS
from tests.lab.sessions import IN_TLS, PROTOCOLS, read_until_closed

from ftps_lab.daemons import DAEMONS, why_not
from ftps_lab.interface import ServerSpec
from ftps_lab.server.handlers import reply_of

if TYPE_CHECKING:
    import socket

    from tests.lab.conftest import Lab

    from ftps_lab.servers import FtpsServer

LINES = "Welcome to the backup server.\n\n331 a number\n220 ours\nready"
GREETING = b"220-Welcome to the backup server.\r\n\r\n  331 a number\r\n  220 ours\r\n220 ready\r\n"


def connect_unread(lab: Lab, server: FtpsServer) -> socket.socket:
    """A connection that has read nothing, in TLS if the server starts with TLS."""
    sock = lab.connect(server, receive=b"")
    if server.spec.protocol == "implicit":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(sock)
    return sock


def test_multi_line_reply_has_one_final_line() -> None:
    """Only the last line may look like the end, whatever is in between (RFC 959 section 4.2)."""
    assert reply_of(220, LINES).encode() == GREETING
    assert reply_of(220, "one") == "220 one\r\n"
    assert reply_of(220, "a\nb") == "220-a\r\n220 b\r\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("in_pieces", [False, True])
def test_session_works_after_a_multi_line_greeting(lab: Lab, protocol: str, in_pieces: bool) -> None:
    server = lab.serve(protocol, greeting=LINES, greeting_in_pieces=in_pieces)
    sock = connect_unread(lab, server)
    received = b""
    while len(received) < len(GREETING):
        received += sock.recv(512)
    assert received == GREETING
    sock.close()
    client = lab.login(server)
    assert client.getwelcome().encode().replace(b"\n", b"\r\n") + b"\r\n" == GREETING
    assert client.get("three") == CONTENTS["three"]
    client.quit()
    testimony = lab.testimony(server)
    assert all(each.greeted for each in testimony.connections if each.kind == "control")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_greeting_in_pieces_is_sent_byte_by_byte(lab: Lab, protocol: str) -> None:
    server = lab.serve(protocol, greeting="abc", greeting_in_pieces=True)
    sock = connect_unread(lab, server)
    begin = time.monotonic()
    pieces = []
    while b"\n" not in pieces:
        pieces.append(sock.recv(1) if protocol == "implicit" else sock.recv(512))
    seconds = time.monotonic() - begin
    assert b"".join(pieces) == b"220 abc\r\n"
    assert seconds > 0.01  # eight pauses of 2 ms
    assert len(pieces) > 4
    sock.close()
    server.settle()
    (wire,) = [each for each in server.wire().records if each.kind == "control"]
    if protocol == "implicit":
        records = wire.to_client.count(b"\x17\x03\x03\x00")  # application data shorter than 256 bytes
        assert records >= 9


@pytest.mark.parametrize("protocol", ["explicit", "plain"])
def test_early_command_is_answered_after_the_whole_greeting(lab: Lab, protocol: str) -> None:
    server = lab.serve(protocol, greeting="a" * 500, greeting_in_pieces=True)
    sock = lab.connect(server, receive=b"")
    assert sock.recv(1) == b"2"
    sock.sendall(b"NOOP\r\nQUIT\r\n")
    rest = read_until_closed(sock)
    assert rest.startswith(b"20 " + b"a" * 500 + b"\r\n")
    assert [line[:3] for line in rest.split(b"\r\n")[1:3]] == [b"200", b"221"]


@pytest.mark.long
def test_client_may_leave_during_the_greeting(lab: Lab) -> None:
    server = lab.serve("explicit", greeting="a" * 500, greeting_in_pieces=True)
    sock = lab.connect(server, receive=b"")
    assert sock.recv(1) == b"2"
    lab.close_with_reset(sock)
    assert server.settle()
    lab.prove_alive(server)


@pytest.mark.parametrize("protocol", IN_TLS)
def test_interceptor_passes_on_the_genuine_greeting(lab: Lab, protocol: str) -> None:
    server = lab.serve(protocol, attack="intercept", greeting=LINES, greeting_in_pieces=True)
    client = lab.victim(server)
    assert client.getwelcome().encode().replace(b"\n", b"\r\n") + b"\r\n" == GREETING
    assert client.get("three") == CONTENTS["three"]
    client.quit()


def test_change_replaces_the_greeting(lab: Lab) -> None:
    server = lab.serve("explicit", greeting="one")
    server.change(lab.spec("explicit", greeting="two"))
    assert lab.connect(server, receive=b"").recv(512) == b"220 two\r\n"
    server.change(lab.spec("explicit"))
    assert lab.connect(server, receive=b"").recv(512) == b"220 ftps-lab ready.\r\n"


@pytest.mark.parametrize("kind", DAEMONS)
def test_daemons_refuse_a_custom_greeting(kind: str) -> None:
    for spec in (ServerSpec(protocol="plain", greeting="x"), ServerSpec(protocol="plain", greeting_in_pieces=True)):
        assert "has its own greeting" in why_not(kind, spec)
    assert "greets" not in why_not(kind, ServerSpec(protocol="plain"))
