"""The wire tap: raw bytes of every connection, recorded beneath the TLS of our own servers.

`TappedSocket` stands between the server and the operating system's socket and copies what passes. TLS runs on top of
it with memory BIOs (`TappedTls`), because OpenSSL on a file descriptor would bypass the copy. A relay in front of the
server costs more and never sees active mode, to which lftp switches by itself (FACTS.md, "Taps").
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL

from ftps_lab.testimony import Handshake

if TYPE_CHECKING:
    from ftps_lab.recorder import ConnectionLog, Tap

UNREAD_READS = 256
"""How often at most a closing socket is read, 64 KiB at a time: a client that never stops sending has an end too."""

_HEADER = 5
"""Length in bytes of a TLS record's header: type, version, length (RFC 8446 section 5.1)."""

_UNFINISHED = "closed before the handshake was finished"

_ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
"""RFC 8446 section 6.2, the AlertDescription values."""


class TappedSocket:
    """A socket whose `recv` and `send` are recorded; everything else is the socket's own.

    It also asks the kernel to acknowledge at once: TLS 1.3 against an ordinary server costs lftp 40 ms on each
    connection, its Nagle algorithm waiting for the server's delayed acknowledgement (FACTS.md, measured on 4.9.2).
    """

    def __init__(self, sock: socket.socket, tap: Tap) -> None:
        self._sock = sock
        self._tap = tap
        self.was_reset = False
        self.acknowledge_at_once()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def acknowledge_at_once(self) -> None:
        """Set TCP_QUICKACK, which the kernel forgets by itself, so it is asked again at each step (Linux only)."""
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    @property
    def received(self) -> int:
        """How many bytes came from the client so far."""
        return len(self._tap.to_server)

    def recv(self, size: int) -> bytes:
        """Receive at most `size` bytes and record them."""
        try:
            data = self._sock.recv(size)
        except ConnectionResetError:
            self.was_reset = True
            raise
        self._tap.to_server += data
        return data

    def send(self, data: bytes) -> int:
        """Send what the kernel takes and record that part."""
        sent = self._sock.send(data)
        self._tap.to_client += data[:sent]
        return sent

    def close(self) -> None:
        """Close; what had arrived and nobody read was on the wire all the same, and is recorded first."""
        with contextlib.suppress(OSError):
            for _ in range(UNREAD_READS):
                data = self._sock.recv(65536, socket.MSG_DONTWAIT)
                if not data:
                    break
                self._tap.to_server += data
        self._sock.close()


class TappedTls(SSL.Connection):
    """The server's side of TLS over a `TappedSocket`, non-blocking, with the interface of `SSL.Connection`.

    Records are fed one at a time: data that OpenSSL already holds would make no socket readable, and the event loop
    would wait for ever.

    With `hold_tickets` (data connections) the session tickets of TLS 1.3 wait until there is something else to send: an
    lftp built with OpenSSL closes an upload without having read them, the kernel answers with a reset, and the end of
    the upload is lost (measured on 4.9.3 with OpenSSL 3.0 and 5 MiB). A ticket may come at any time (RFC 8446
    section 4.6.1).
    """

    def __init__(
        self,
        context: SSL.Context,
        raw: TappedSocket,
        log: ConnectionLog,
        certificate: str,
        *,
        hold_tickets: bool = False,
    ) -> None:
        super().__init__(context, None)
        self.raw = raw
        self._hold_tickets = hold_tickets
        self._holding = False
        self.log = log
        self._certificate = certificate
        self._outgoing = b""
        self._record_missing = _HEADER
        self._header = b""
        self._finished = False

    def __getattr__(self, name: str) -> Any:
        if name == "raw":  # not set yet: SSL.Connection.__init__ failed
            raise AttributeError(name)
        return getattr(self.raw, name)

    @property
    def unsent(self) -> bool:
        """Encrypted bytes wait for the socket to become writable."""
        return bool(self._outgoing)

    def do_handshake(self) -> None:
        """Take the handshake as far as the bytes at hand allow.

        Raises:
            SSL.WantReadError: More bytes are needed.
            SSL.Error: The handshake failed; the alert was sent and the failure recorded.
        """
        while True:
            self.raw.acknowledge_at_once()
            try:
                super().do_handshake()
            except SSL.WantReadError:
                self.flush()
                self._feed()
            except SSL.Error as error:
                self.flush()
                self._record(str(error) or type(error).__name__)
                raise
            else:
                # In TLS 1.2 what waits now is our Finished, without which the client would wait too.
                self._holding = self._hold_tickets and self.get_protocol_version() == SSL.TLS1_3_VERSION
                self.flush()
                self._record("")
                return

    def recv(self, size: int, flags: int | None = None) -> bytes:
        """Decrypted bytes, at most `size`; raises like `SSL.Connection.recv`."""
        while True:
            try:
                return super().recv(size, flags)
            except SSL.WantReadError:
                self.flush()
                self._feed()

    def send(self, data: Any, flags: int = 0) -> int:
        """Encrypt and send; raises WantWriteError, having taken nothing, while older bytes wait."""
        self._holding = False
        if not self.flush():
            raise SSL.WantWriteError
        sent = super().send(data, flags)
        self.flush()
        return sent

    def shutdown(self) -> bool:
        """Send close_notify after all that waits; raises WantWriteError until the socket has taken it."""
        self._holding = False
        if not self.flush():
            raise SSL.WantWriteError
        done = super().shutdown()
        if not self.flush():
            raise SSL.WantWriteError
        return done

    def flush(self) -> bool:
        """Move encrypted bytes from OpenSSL to the socket; False while the socket takes no more."""
        if self._holding:
            return True
        with contextlib.suppress(SSL.WantReadError):
            while True:
                self._outgoing += self.bio_read(65536)
        while self._outgoing:
            try:
                sent = self.raw.send(self._outgoing)
            except BlockingIOError:
                return False
            except OSError:
                # The client is gone: reading will say so; what is left can reach nobody.
                self._outgoing = b""
                return True
            self._outgoing = self._outgoing[sent:]
        return True

    def abandoned(self) -> None:
        """The connection closes: an unfinished handshake is recorded as failed."""
        self._record(_UNFINISHED)

    def _feed(self) -> None:
        """Give OpenSSL the rest of the current record, as far as it has arrived."""
        try:
            data = self.raw.recv(self._record_missing)
        except BlockingIOError:
            raise SSL.WantReadError from None
        if not data:
            if not self._finished:
                self.abandoned()
                raise SSL.Error(_UNFINISHED)  # unlike an end of file this makes pyftpdlib answer who waits for it
            raise SSL.SysCallError(-1, "Unexpected EOF")
        self.bio_write(data)
        self._record_missing -= len(data)
        if len(self._header) < _HEADER:
            self._header += data
            if self._record_missing == 0:
                self._record_missing = int.from_bytes(self._header[3:5])
        if self._record_missing == 0:
            self._header, self._record_missing = b"", _HEADER

    def _record(self, error: str) -> None:
        if self._finished:
            return
        self._finished = True
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
                _ALERTS.get(code & 0xFF, f"alert {code & 0xFF}"),
            )

    context.set_info_callback(noticed)
