"""Whatever one client does, the attacker records it as that client's error and serves the others.

`FTPS_LAB_LONG=1` in the environment runs the thousand connections in full for every attack.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import (
    ATTACKS_IN_TLS,
    EVERY_ATTACK,
    EXPLICIT_ATTACKS,
    HELLO,
    prove_sessions_over,
    read_until_closed,
)

if TYPE_CHECKING:
    from tests.lab.conftest import Lab

    from ftps_lab.servers import FtpsServer

LONG = bool(os.environ.get("FTPS_LAB_LONG"))
GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "noise": random.Random(1).randbytes(3000),
    "telnet": b"\xff\xf4\xff\xf2ABOR\r\n",
    "nul": b"USER a\0b\r\nPASS \0\r\n\0\r\n" + bytes(100),
    "not-utf8": b"USER \xff\xfe\x80\r\nPASS \xff\r\n",
    "lines": b"\r\n" * 100 + b"USER a\nNOOP\n",
    "half-a-record": b"\x16\x03\x01\x02\x00" + b"x" * 100,
    "a-false-record": b"\x16\x03\x03\x00\x04\x01\x00\x00\x00",
    "an-alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "a-huge-record": b"\x16\x03\x03\xff\xff" + b"x" * 0xFFFF,
    "ports": b"PORT 1,2,3,4,5,6\r\nPORT \0\r\nEPRT |||\r\nPASV\r\nEPSV\r\nABOR\r\n",
    "transfers": b"RETR three\r\nSTOR x\r\nLIST\r\nABOR\r\nREIN\r\nFEAT\r\nUSER a\r\nUSER b\r\n",
}


# --- bytes that are not a session ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("attack", "protocol"), EVERY_ATTACK)
def test_garbage_on_control_connection_is_recorded(lab: Lab, attack: str, protocol: str) -> None:
    """Bytes that are neither FTP nor TLS end the connection or get a reply."""
    server = lab.serve(protocol, attack=attack)
    for name, garbage in GARBAGE.items():
        server.record()
        sock = lab.connect(server, receive=b"" if protocol == "implicit" else b"220")
        send_and_close(sock, garbage)
        testimony = lab.testimony(server)
        assert [c.kind for c in testimony.connections] == ["control"], name
        assert not any(handshake.completed for handshake in testimony.handshakes), name
        assert not testimony.logged_in, name
    prove_sessions_over(lab, server)


def send_and_close(sock: socket.socket, garbage: bytes) -> None:
    """Send as much as the peer accepts, then close; the answer does not matter."""
    with contextlib.suppress(OSError):
        sock.sendall(garbage)
        sock.shutdown(socket.SHUT_WR)
    read_until_closed(sock)
    sock.close()


@pytest.mark.parametrize("attack", EXPLICIT_ATTACKS)
def test_garbage_instead_of_client_hello_is_a_failed_handshake(lab: Lab, attack: str) -> None:
    """Where AUTH was accepted, or if it looks like TLS; otherwise it is read as bad commands."""
    server = lab.serve(attack=attack)
    promises = attack not in {"strip-auth", "refuse-auth", "drop-at-auth"}
    for name, garbage in GARBAGE.items():
        server.record()
        sock = lab.connect(server)
        sock.sendall(b"AUTH TLS\r\n")
        assert sock.recv(512).startswith(b"234") is promises
        send_and_close(sock, garbage)
        testimony = lab.testimony(server)
        begun = promises or (attack != "drop-at-auth" and garbage.startswith(b"\x16"))
        assert [(h.completed, bool(h.error)) for h in testimony.handshakes] == [(False, True)] * begun, name
    prove_sessions_over(lab, server)


@pytest.mark.parametrize(("attack", "protocol"), ATTACKS_IN_TLS)
def test_garbage_inside_tls_is_read_as_bad_commands(lab: Lab, attack: str, protocol: str) -> None:
    """Up to QUIT, which ends the session."""
    server = lab.serve(protocol, attack=attack)
    for name, garbage in GARBAGE.items():
        server.record()
        sock = lab.connect(server, receive=b"" if protocol == "implicit" else b"220")
        if protocol == "explicit":
            sock.sendall(b"AUTH TLS\r\n")
            assert sock.recv(4096).startswith(b"234")
        with lab.trusting(verify=False).wrap_socket(sock) as tls:
            tls.sendall(garbage + b"\r\nQUIT\r\n")
            assert read_until_closed(tls).splitlines()[-1].startswith(b"221"), name
        testimony = lab.testimony(server)
        assert {c.channel for c in testimony.commands if c.verb != "AUTH"} == {"tls"}, name
        *_, last = (
            command.verb for command in testimony.commands if command.verb
        )  # "" is the verb of a non-command: an overlong line
        assert last == "QUIT", name
    prove_sessions_over(lab, server)


@pytest.mark.parametrize(("attack", "protocol"), ATTACKS_IN_TLS)
def test_cleartext_within_tls_ends_the_connection(lab: Lab, attack: str, protocol: str) -> None:
    """It is recorded as the connection's error."""
    server = lab.serve(protocol, attack=attack)
    client = lab.victim(server)
    assert client.sock is not None
    with socket.socket(fileno=client.sock.detach()) as raw:
        raw.sendall(b"USER in clear\r\n")
        raw.settimeout(5)
        read_until_closed(raw)
    client.sock = None
    client.close()
    testimony = lab.testimony(server)
    assert "Error" in testimony.connections[0].error
    assert testimony.commands[-1].verb == "PROT"
    prove_sessions_over(lab, server)


@pytest.mark.parametrize(("attack", "protocol"), EVERY_ATTACK)
def test_megabyte_without_line_end_gets_500(lab: Lab, attack: str, protocol: str) -> None:
    """It is discarded, and the session continues; before implicit TLS it is not a handshake."""
    server = lab.serve(protocol, attack=attack)
    with contextlib.suppress(OSError), lab.connect(server, receive=b"") as sock:
        sock.sendall(b"x" * (1 << 20))
    client = lab.victim(server)
    assert client.sock is not None
    assert client.file is not None
    client.sock.sendall(b"x" * (1 << 20))
    client.sock.sendall(b"\r\nSYST\r\n")
    codes = set()
    while not (line := client.file.readline()).startswith("215"):
        codes.add(line[:3])
    assert codes == {"500"}
    client.quit()
    prove_sessions_over(lab, server)


def has_accepted(server: FtpsServer, number: int) -> bool:
    return len(server.recorder.connections) >= number


@pytest.mark.long
@pytest.mark.parametrize(("attack", "protocol"), EVERY_ATTACK)
def test_thousand_connections_at_once_are_recorded(lab: Lab, attack: str, protocol: str) -> None:
    """Some send, some reset; afterwards nothing stays open and the next client is served.

    For most attackers there are two hundred, unless FTPS_LAB_LONG is set.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 6000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(6000, hard), hard))
    how_many = 1000 if LONG or (attack, protocol) in {("none", "explicit"), ("intercept", "explicit")} else 200
    server = lab.serve(protocol, attack=attack)
    prove_sessions_over(lab, server)
    files, threads = lab.open_files(), threading.active_count()
    server.record()
    with contextlib.ExitStack() as stack:
        for number in range(how_many):
            sock = stack.enter_context(socket.create_connection((server.host, server.port), 5))
            if number % 3 == 0:
                with contextlib.suppress(OSError):
                    sock.sendall((b"USER anna\r\n", HELLO, b"AUTH TLS\r\n" + HELLO)[number % 9 // 3])
            if number % 10 == 0:
                lab.close_with_reset(sock)
            if number % 64 == 0:  # the kernel's queue holds 128
                lab.until(partial(has_accepted, server, number + 1))
    assert server.settle(20)
    assert len(server.testimony().connections) == how_many
    assert (lab.open_files(), threading.active_count()) == (files, threads)
    prove_sessions_over(lab, server)
