"""The bytes of one connection, in clear or in TLS. No call blocks after its server has stopped."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from OpenSSL import SSL

from ftps_lab.wire.memory_tls import MemoryTls

if TYPE_CHECKING:
    from collections.abc import Callable

ENOUGH: Final = 1 << 20
"""Maximum unread bytes from the client in the inbox; more stay in the kernel."""

HALF_CLOSED_SECONDS: Final = 60.0
"""How long a silent server keeps a connection whose client has closed its side."""

_CHUNK: Final = 65536
_CLOSING_SECONDS: Final = 1.0
"""How long the client has to close too: closing with unread bytes sends RST, which may lose our last bytes."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""struct linger: close at once and answer with RST (socket(7))."""


class StoppedError(Exception):
    """The server is stopping."""


class GoneError(Exception):
    """The client is gone; nothing more can be sent to it."""


class TlsError(Exception):
    """The handshake failed; the message is OpenSSL's."""


class _Raw:
    """The connection beneath TLS.

    Attributes:
        first: Bytes that arrived before the handshake started; `recv` returns them first.
        sent: Number of bytes sent.
        finished: The client has closed its side.
        broken: Sending has failed, which `MemoryTls` does not report.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.first = b""
        self.sent = 0
        self.finished = self.broken = False

    def recv(self, size: int) -> bytes:
        """Receive at most `size` bytes."""
        if self.first:
            data, self.first = self.first[:size], self.first[size:]
            return data
        data = self.sock.recv(size)
        self.finished = self.finished or not data
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Send what the kernel accepts."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            raise
        except OSError:
            self.broken = True
            raise
        self.sent += sent
        return sent


class Stream:
    """An accepted connection.

    Args:
        sock: The socket, which the stream then owns.
        stopping: A descriptor that becomes readable when the server stops.

    Attributes:
        inbox: Bytes from the client not yet consumed, decrypted if TLS is on.
        tls: The TLS on this connection, once its handshake is complete.
        finished: The client will send no more.
    """

    def __init__(self, sock: socket.socket, stopping: int) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # it has already been reset
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inbox = bytearray()
        self.tls: MemoryTls | None = None
        self.finished = False
        self._raw = _Raw(sock)
        self._sock = sock
        self._stopping = stopping

    @property
    def sent(self) -> int:
        """Number of bytes sent, including TLS overhead."""
        return self._raw.sent

    @property
    def left(self) -> bool:
        """The client has closed its side of the connection."""
        return self._raw.finished

    def send(self, data: bytes | memoryview) -> None:
        """Send all of `data`; bytes that arrive meanwhile go into the inbox.

        Raises:
            GoneError: The client is gone.
            StoppedError: The server is stopping.
        """
        rest, stream = memoryview(data), self.tls or self._raw
        while rest or self._unsent:
            try:
                if rest:
                    rest = rest[stream.send(rest[:_CHUNK]) :]
                elif self.tls is not None and self.tls.flush():
                    break
            except (SSL.WantWriteError, SSL.WantReadError, BlockingIOError):
                self._turn(None, sending=True)
            except (SSL.Error, OSError) as error:
                raise GoneError from error
            if self._raw.broken:
                raise GoneError
            if self._unsent:
                self._turn(None, sending=True)

    def pause(self, seconds: float) -> None:
        """Wait; bytes that arrive meanwhile go into the inbox."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._turn(left)

    def await_more(self, seconds: float | None = None) -> bool:
        """Wait until the client has sent something; False if it will send no more, or sent nothing within `seconds`."""
        before = len(self.inbox)
        deadline = None if seconds is None else time.monotonic() + seconds
        while len(self.inbox) == before and not self.finished:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self._turn(left)
        return len(self.inbox) > before

    def start_tls(self, context: SSL.Context, note: Callable[[], None]) -> MemoryTls:
        """Act as the server in a handshake. Bytes that arrived earlier in clear count as its start.

        Args:
            context: The context that shows the certificate.
            note: Called after each step.

        Raises:
            TlsError: The handshake failed.
        """
        self._raw.first = bytes(self.inbox)
        self.inbox.clear()
        tls = MemoryTls(context, self._raw)
        tls.set_accept_state()
        while True:
            try:
                tls.do_handshake()
            except SSL.WantReadError:
                note()
                self._poll(select.POLLIN | (select.POLLOUT if tls.unsent else 0), None)
                tls.flush()
            except (SSL.Error, OSError) as error:
                note()
                raise TlsError(_words(error)) from None
            else:
                self.tls = tls
                note()
                return tls

    def close(self) -> None:
        """End the connection properly, give the client a moment to do the same, then close; repeatable."""
        if self._sock.fileno() < 0:
            return
        with contextlib.suppress(OSError, SSL.Error, GoneError, StoppedError):
            if self.tls is not None:
                with contextlib.suppress(SSL.Error):
                    self.tls.shutdown()
            self._sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + _CLOSING_SECONDS
            while not self.left and len(self.inbox) < ENOUGH and (left := deadline - time.monotonic()) > 0:
                self._turn(left)
        self.abandon()

    def reset(self) -> None:
        """Close with RST."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abandon()

    def abandon(self) -> None:
        """Read what has arrived, then close at once; repeatable."""
        if self._sock.fileno() >= 0:
            with contextlib.suppress(GoneError):
                self._take()
            self._sock.close()

    @property
    def _unsent(self) -> bool:
        return self.tls is not None and self.tls.unsent

    def _turn(self, timeout: float | None, *, sending: bool = False) -> None:
        """Wait until there is something to read, or room to send, and read what is available."""
        hearing = not self.left and len(self.inbox) < ENOUGH
        events = self._poll((select.POLLIN if hearing else 0) | (select.POLLOUT if sending else 0), timeout)
        if events & select.POLLIN and hearing:
            self._take()
        elif events & (select.POLLERR | select.POLLHUP) and not sending:  # a sender finds out by sending
            raise GoneError

    def _take(self) -> None:
        """Move what has arrived into the inbox.

        Raises:
            GoneError: The client has reset the connection.
        """
        stream = self._raw if self.tls is None or self.finished else self.tls
        try:
            while len(self.inbox) < ENOUGH:
                data = stream.recv(_CHUNK)
                if not data:
                    self.finished = True
                    break
                if not self.finished:  # bytes after the end of TLS are ignored
                    self.inbox += data
        except (SSL.WantReadError, BlockingIOError):
            pass
        except SSL.ZeroReturnError:  # close_notify
            self.finished = True
        except SSL.Error:  # TLS is broken
            self.finished = True
        except OSError as error:
            self._raw.finished = self.finished = True
            raise GoneError from error

    def _poll(self, events: int, timeout: float | None) -> int:
        """Wait for the socket, and return the events that it is ready for.

        Raises:
            StoppedError: The server is stopping.
        """
        poll = select.poll()
        poll.register(self._stopping, select.POLLIN)
        poll.register(self._sock, events)
        ready = dict(poll.poll(None if timeout is None else max(1, round(timeout * 1000))))
        if self._stopping in ready:
            raise StoppedError
        return ready.get(self._sock.fileno(), 0)


def _words(error: Exception) -> str:
    """OpenSSL's message, such as ``tlsv1 alert unknown ca``."""
    if error.args and isinstance(error.args[0], list):
        return "; ".join(entry[-1] for entry in error.args[0])
    return str(error) or type(error).__name__
