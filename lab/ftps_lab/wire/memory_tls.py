"""TLS over a socket through memory BIOs, one record at a time or everything that has arrived.

OpenSSL on a file descriptor would bypass any layer between it and the socket, such as the wire tap.
"""

from __future__ import annotations

import contextlib
from typing import Any

from OpenSSL import SSL

from ftps_lab.wire.tls import HEADER, body_length

_LARGE = 4096
"""Bytes. A record of at least this size is followed by another one of content, whose header is read along with it."""

_RECORDS = 73728
"""Bytes of encrypted records moved to the socket at once: 64 KiB of content plus overhead."""

_CONTENT = 16384
"""Bytes. The maximum content of a record (RFC 8446 section 5.1)."""

_PARTIAL_WRITE = 0x1
"""SSL_MODE_ENABLE_PARTIAL_WRITE (openssl/ssl.h): pyOpenSSL sets it in every context, and does not export it."""

_UNFINISHED = "closed before the handshake was finished"


def new_context(method: int) -> SSL.Context:
    """A context for `MemoryTls` that encrypts everything it is given in one call, not a record of 16 KiB per call."""
    context = SSL.Context(method)
    context.clear_mode(_PARTIAL_WRITE)
    return context


class MemoryTls(SSL.Connection):
    """Either side of TLS over a non-blocking socket, with the interface of `SSL.Connection`.

    `recv` feeds records one at a time: data that OpenSSL already holds would not make the socket readable, and the
    event loop would wait for ever. Only the next record's header may be read as well, because its body is still to be
    read. `feed` and `held` need fewer reads, and a caller that always takes everything held.

    With `hold_tickets` (data connections) the TLS 1.3 session tickets wait until there is something else to send: lftp
    built with OpenSSL closes an upload without having read them, the kernel sends a reset, and the end of the upload is
    lost (measured on 4.9.3 with OpenSSL 3.0 and 5 MiB). A ticket may come at any time (RFC 8446 section 4.6.1).
    """

    def __init__(self, context: SSL.Context, raw: Any, *, hold_tickets: bool = False) -> None:
        super().__init__(context, None)
        self.raw = raw
        self._hold_tickets = hold_tickets
        self._holding = False
        self._outgoing = b""
        self._record_missing = HEADER
        self._record_large = False
        self._header = b""
        self._finished = False

    def __getattr__(self, name: str) -> Any:
        if name == "raw":  # not set yet: SSL.Connection.__init__ failed
            raise AttributeError(name)
        return getattr(self.raw, name)

    @property
    def unsent(self) -> bool:
        """Whether encrypted bytes are waiting for the socket to become writable."""
        return bool(self._outgoing)

    def do_handshake(self) -> None:
        """Continue the handshake as far as the available bytes allow.

        Raises:
            SSL.WantReadError: More bytes are needed.
            SSL.Error: The handshake failed; the alert was sent.
        """
        while True:
            self.handshake_goes_on()
            try:
                super().do_handshake()
            except SSL.WantReadError:
                self.flush()
                self._feed_record()
            except SSL.Error as error:
                self.flush()
                self._ended(str(error) or type(error).__name__)
                raise
            else:
                # In TLS 1.2 the bytes waiting now are our Finished, which the client needs to continue.
                self._holding = self._hold_tickets and self.get_protocol_version() == SSL.TLS1_3_VERSION
                self.flush()
                self._ended("")
                return

    def recv(self, size: int, flags: int | None = None) -> bytes:
        """Decrypted bytes, at most `size`; raises like `SSL.Connection.recv`."""
        while True:
            try:
                return super().recv(size, flags)
            except SSL.WantReadError:
                try:
                    self._feed_record()
                except SSL.WantReadError:
                    self.flush()  # before waiting for the peer, send what it may be waiting for
                    raise

    def feed(self, size: int) -> bytes:
        """Give OpenSSL what has arrived, at most `size` encrypted bytes, and return them.

        Once the handshake is complete, a connection may use this and `held` instead of `recv`, but not both.

        Raises:
            SSL.WantReadError: Nothing has arrived.
            SSL.SysCallError: The peer closed the connection.
        """
        try:
            data: bytes = self.raw.recv(size)
        except BlockingIOError:
            raise SSL.WantReadError from None
        if not data:
            if not self._finished:
                self.abandoned()
                raise SSL.Error(_UNFINISHED)  # unlike an end of file, this makes pyftpdlib reply to a waiting client
            raise SSL.SysCallError(-1, "Unexpected EOF")
        self.bio_write(data)
        return data

    def held(self) -> bytes:
        """The content of the next record that OpenSSL holds whole; raises like `SSL.Connection.recv`.

        Call it after `feed` until it raises: the socket does not become readable for records already read from it.
        """
        try:
            return super().recv(_CONTENT)
        except SSL.WantReadError:
            self.flush()  # as in `recv`
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        """Encrypt and send; raises WantWriteError without accepting anything while older bytes are waiting."""
        self._holding = False
        if self._outgoing and not self.flush():
            raise SSL.WantWriteError
        sent = super().send(data, flags) if data else 0
        self.flush()
        return sent

    def shutdown(self) -> bool:
        """Send close_notify after all waiting bytes; raises WantWriteError until the socket has accepted it."""
        self._holding = False
        if not self.flush():
            raise SSL.WantWriteError
        done = super().shutdown()
        if not self.flush():
            raise SSL.WantWriteError
        return done

    def flush(self) -> bool:
        """Move encrypted bytes from OpenSSL to the socket; False while the socket accepts no more."""
        if self._holding:
            return True
        with contextlib.suppress(SSL.WantReadError):
            whole = _RECORDS
            while whole == _RECORDS:
                records = self.bio_read(_RECORDS)
                whole = len(records)
                self._outgoing += records
        while self._outgoing:
            try:
                sent = self.raw.send(self._outgoing)
            except BlockingIOError:
                return False
            except OSError:
                # The client is gone: the next read reports it; the remaining bytes cannot be delivered.
                self._outgoing = b""
                return True
            self._outgoing = self._outgoing[sent:]
        return True

    def abandoned(self) -> None:
        """The connection is closing: an unfinished handshake counts as failed."""
        self._ended(_UNFINISHED)

    def handshake_goes_on(self) -> None:
        """A step of the handshake begins."""

    def handshake_ended(self, error: str) -> None:
        """The handshake has completed, or failed with OpenSSL's message in `error`; called once."""

    def _feed_record(self) -> None:
        """Give OpenSSL the rest of the current record, as far as it has arrived; raises like `feed`."""
        data = self.feed(self._record_missing + (HEADER if self._record_large else 0))
        if len(self._header) == HEADER:
            if len(data) < self._record_missing:
                self._record_missing -= len(data)
                return
            data, self._header = data[self._record_missing :], b""
        self._header += data
        self._record_large = False
        self._record_missing = HEADER - len(self._header)
        if self._record_missing == 0:
            self._record_missing = body_length(self._header)
            self._record_large = self._record_missing >= _LARGE
            if self._record_missing == 0:  # an empty record, which OpenSSL rejects
                self._header, self._record_missing = b"", HEADER

    def _ended(self, error: str) -> None:
        if not self._finished:
            self._finished = True
            self.handshake_ended(error)
