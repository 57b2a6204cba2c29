"""Asks a daemon directly, bypassing the relay, whether it answers and which certificate it shows."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ftps_lab.server.tls import unverified
from ftps_lab.wire.tls import fingerprint

if TYPE_CHECKING:
    import ssl

    from ftps_lab.interface import ServerSpec

_SECONDS = 5.0


def shown(address: tuple[str, int], source: str, spec: ServerSpec) -> str:
    """The SHA-256 fingerprint of the leaf that the daemon shows; empty for plain FTP once it has greeted.

    Raises:
        OSError: The daemon does not answer, or not as such a server should.
    """
    with socket.create_connection(address, _SECONDS, source_address=(source, 0)) as sock:
        if spec.protocol == "implicit":
            with unverified().wrap_socket(sock) as tls:
                _expect(tls, b"220")
                return _leaf(tls)
        _expect(sock, b"220")
        if spec.protocol == "plain":
            sock.sendall(b"QUIT\r\n")
            _expect(sock, b"221")
            return ""
        sock.sendall(b"AUTH TLS\r\n")
        _expect(sock, b"234")
        with unverified().wrap_socket(sock) as tls:
            tls.sendall(b"QUIT\r\n")
            _expect(tls, b"221")
            return _leaf(tls)


def _leaf(tls: ssl.SSLSocket) -> str:
    return fingerprint(tls.getpeercert(binary_form=True) or b"")


def _expect(sock: socket.socket, code: bytes) -> None:
    line = b""
    while not line.endswith(b"\n"):
        piece = sock.recv(512)
        if not piece:
            raise ConnectionError(f"it closed the connection instead of answering {code.decode()}")
        line += piece
    if not line.startswith(code):
        raise ConnectionError(f"it answered {line!r}, not {code.decode()}")
