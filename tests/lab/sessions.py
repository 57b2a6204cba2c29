"""Helpers that tests of servers and attackers share, and groups of attacks."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

from ftps_lab.attackers import ATTACKS

if TYPE_CHECKING:
    from tests.lab.conftest import Address, Client, Lab, Mode

    from ftps_lab.servers import FtpsServer

MODES: tuple[Mode, ...] = ("pasv", "epsv", "port", "eprt")
IN_TLS = ("explicit", "implicit")
"""Protocols of a server with a certificate; no attacker sits in front of any other."""
PROTOCOLS = (*IN_TLS, "plain")

EXPLICIT_ATTACKS = ["none", *ATTACKS]
EVERY_ATTACK = [
    *(("none", protocol) for protocol in IN_TLS),
    *((name, protocol) for name, attack in ATTACKS.items() for protocol in attack.protocols),
]
ATTACKS_IN_TLS = [
    (name, protocol) for name, protocol in EVERY_ATTACK if name == "none" or ATTACKS[name].shows_certificate
]
"""Those whose control connection is in TLS, including servers without an attacker."""

IN_THE_MIDDLE = sorted(name for name, attack in ATTACKS.items() if attack.relays)
"""Attacks with the genuine server behind them."""

HELLO = b"\x16\x03\x01\x00\x05hello"
"""A TLS record that claims to be a handshake."""

CLOSED = (EOFError, ConnectionError, ssl.SSLError)
"""What a client of ftplib raises once the server has closed its connection; a TimeoutError would prove the opposite."""

ENDLESS = 1 << 32
"""Bytes, more than all of the kernel's buffers on the way hold. Twice 32 MiB (tcp_rmem) and 4 MiB (tcp_wmem) were
seen: once between the client and an attacker, once between the attacker and the genuine server."""


def intercepted(lab: Lab, protocol: str = "explicit", **more: Any) -> FtpsServer:
    """A genuine server behind an interceptor."""
    return lab.serve(protocol, attack="intercept", **more)


def create_huge_file(lab: Lab) -> None:
    """Create a sparse file larger than all buffers: its transfer cannot finish while the client does not read."""
    with (lab.root / "huge").open("wb") as file:
        file.truncate(ENDLESS)


def peer_der(connection: object) -> bytes:
    """The certificate that the peer of a TLS socket presented."""
    assert isinstance(connection, ssl.SSLSocket)
    der = connection.getpeercert(binary_form=True)
    assert der is not None
    return der


def read_until_closed(sock: socket.socket) -> bytes:
    """Read until the end, a reset, or an end of TLS without close_notify."""
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while data := sock.recv(65536):
            received += data
    return received


def connect_with_small_buffer(address: Address, size: int = 2048) -> socket.socket:
    """Connect with a small receive buffer. It is set before the connection: a window once offered cannot shrink."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.settimeout(10)
    sock.connect(address)
    return sock


def slow_data_connection(client: Client, command: str) -> socket.socket:
    """A passive data connection with the smallest receive buffer, after the command's 1xx reply."""
    sock = connect_with_small_buffer(client.makepasv())
    try:
        assert client.sendcmd(command).startswith("1")
    except BaseException:
        sock.close()
        raise
    return sock


def prove_sessions_over(lab: Lab, server: FtpsServer) -> None:
    """Check that every connection ended without a LabError, and that the next client is served."""
    assert server.settle()
    server.record()
    lab.prove_alive(server) if server.spec.attack == "none" else lab.prove_served(server)
    testimony = lab.testimony(server)
    assert testimony.logged_in
    assert [transfer.completed for transfer in testimony.transfers] == [True]
