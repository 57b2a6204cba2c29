"""What tests of servers and attackers do again and again, and which attacks they are."""

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
"""Those whose control connection is in TLS, without an attacker too."""

IN_THE_MIDDLE = sorted(name for name, attack in ATTACKS.items() if attack.relays)
"""Attacks with the genuine server behind them."""

HELLO = b"\x16\x03\x01\x00\x05hello"
"""A TLS record that says it is a handshake."""

ENDLESS = 1 << 32
"""Bytes, more than all of the kernel's buffers on the way hold. Twice 32 MiB (tcp_rmem) and 4 MiB (tcp_wmem) were
seen: once between the client and an attacker, once between him and the genuine server."""


def intercepted(lab: Lab, protocol: str = "explicit", **more: Any) -> FtpsServer:
    """A genuine server behind an interceptor."""
    return lab.serve(protocol, attack="intercept", **more)


def spread(lab: Lab) -> None:
    """A file that takes no room, and that nobody can be done with while its client does not read on."""
    with (lab.root / "huge").open("wb") as file:
        file.truncate(ENDLESS)


def shown(connection: object) -> bytes:
    """The certificate that the other side of a TLS socket showed."""
    assert isinstance(connection, ssl.SSLSocket)
    der = connection.getpeercert(binary_form=True)
    assert der is not None
    return der


def read_all(sock: socket.socket) -> bytes:
    """Until the end, or a reset, or an end of TLS without close_notify."""
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while data := sock.recv(65536):
            received += data
    return received


def narrow(address: Address, size: int = 2048) -> socket.socket:
    """A connection with a small receive buffer from its beginning: a larger one was promised to the server before."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.settimeout(10)
    sock.connect(address)
    return sock


def slowly(client: Client, command: str) -> socket.socket:
    """A passive data connection with the smallest receive buffer, the reply to the command being 1xx."""
    sock = narrow(client.makepasv())
    try:
        assert client.sendcmd(command).startswith("1")
    except BaseException:
        sock.close()
        raise
    return sock


def finish(lab: Lab, server: FtpsServer) -> None:
    """Every connection ended, no LabError, and a good client is served."""
    assert server.settle()
    server.record()
    lab.prove_alive(server) if server.spec.attack == "none" else lab.prove_served(server)
    told = lab.told(server)
    assert told.logged_in
    assert [transfer.completed for transfer in told.transfers] == [True]
