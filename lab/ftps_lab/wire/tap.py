"""The wire tap: raw bytes of every connection, recorded beneath the TLS of our own servers.

`TappedSocket` sits between the server and the operating system's socket and copies what passes. TLS runs on top of it
through memory BIOs (`MemoryTls`), because OpenSSL on a file descriptor would bypass the copy. A relay in front of the
server would cost more and never see active mode, to which lftp switches unprompted (docs/lftp.md, "Taps").
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL

from ftps_lab.testimony import Handshake
from ftps_lab.wire.memory_tls import MemoryTls
from ftps_lab.wire.tls import ALERTS

if TYPE_CHECKING:
    from ftps_lab.recorder import ConnectionLog, Tap

UNREAD_READS = 256
"""Maximum reads from a closing socket, 64 KiB each: bounds a client that never stops sending."""


class TappedSocket:
    """A socket whose `recv` and `send` are recorded; everything else is the socket's own.

    It also asks the kernel to acknowledge at once: TLS 1.3 with an ordinary server costs lftp 40 ms per connection,
    because its Nagle algorithm waits for the server's delayed acknowledgement (docs/lftp.md, "TLS 1.3").

    Attributes:
        received: How many bytes the client has sent so far.
        was_reset: The client closed with RST.
    """

    def __init__(self, sock: socket.socket, tap: Tap) -> None:
        self._sock = sock
        self._tap = tap
        self.received = 0
        self.was_reset = False
        self.acknowledge_at_once()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def acknowledge_at_once(self) -> None:
        """Set TCP_QUICKACK (Linux only), again at each step because the kernel clears it."""
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def peek(self) -> int | None:
        """The next byte, without consuming it; None if there is none, or the connection is gone."""
        try:
            waiting = self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return None
        return waiting[0] if waiting else None

    def recv(self, size: int) -> bytes:
        """Receive at most `size` bytes and record them."""
        try:
            data = self._sock.recv(size)
        except ConnectionResetError:
            self.was_reset = True
            raise
        self._heard(data)
        return data

    def send(self, data: bytes) -> int:
        """Send what the kernel accepts and record that part."""
        sent = self._sock.send(data)
        if self._tap.kept:
            self._tap.to_client += data[:sent]
        return sent

    def note_secret(self, secret: bytes) -> None:
        """Keep the secret that decrypts the server's half of a TLS 1.3 handshake."""
        self._tap.secret = secret

    def close(self) -> None:
        """Close, after recording bytes that arrived but were never read: they were on the wire too."""
        with contextlib.suppress(OSError):
            for _ in range(UNREAD_READS):
                data = self._sock.recv(65536, socket.MSG_DONTWAIT)
                if not data:
                    break
                self._heard(data)
        self._sock.close()

    def _heard(self, data: bytes) -> None:
        self.received += len(data)
        if self._tap.kept:
            self._tap.to_server += data


class TappedTls(MemoryTls):
    """The server's side of TLS over a `TappedSocket`: its handshake and its alerts are recorded."""

    def __init__(
        self,
        context: SSL.Context,
        raw: TappedSocket,
        log: ConnectionLog,
        certificate: str,
        *,
        hold_tickets: bool = False,
    ) -> None:
        super().__init__(context, raw, hold_tickets=hold_tickets)
        self.log = log
        self._certificate = certificate

    def handshake_goes_on(self) -> None:
        """Acknowledge at once: the client's Nagle algorithm waits for the ACK of each step."""
        self.raw.acknowledge_at_once()

    def handshake_ended(self, error: str) -> None:
        """Record the handshake."""
        name = self.get_servername()
        self.log.handshake(
            Handshake(
                connection=self.log.number,
                completed=not error,
                version="" if error else self.get_protocol_version_name(),
                cipher="" if error else self.get_cipher_name() or "",
                server_name=None if name is None else name.decode("ascii", "replace"),
                certificate=self._certificate,
                error=error,
            )
        )


def watch_alerts(context: SSL.Context) -> None:
    """Make every `TappedTls` of this context record the TLS alerts that pass."""

    def noticed(connection: SSL.Connection, where: int, code: int) -> None:
        if where & SSL.SSL_CB_ALERT and isinstance(connection, TappedTls):
            connection.log.alert(
                "received" if where & SSL.SSL_CB_READ else "sent",
                "fatal" if code >> 8 == 2 else "warning",
                ALERTS.get(code & 0xFF, f"alert {code & 0xFF}"),
            )

    context.set_info_callback(noticed)


def watch_secrets(context: SSL.Context) -> None:
    """Make the tap of every `TappedTls` of this context keep the secret that reveals the TLS 1.3 certificate."""

    def noticed(connection: SSL.Connection, line: bytes) -> None:
        label, _, secret = line.split(b" ")  # as in SSLKEYLOGFILE
        if label == b"SERVER_HANDSHAKE_TRAFFIC_SECRET" and isinstance(connection, TappedTls):
            connection.raw.note_secret(bytes.fromhex(secret.decode("ascii")))

    context.set_keylog_callback(noticed)
