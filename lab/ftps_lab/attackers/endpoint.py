"""One end of a relay: a socket on the event loop, in clear or in TLS, that sends and receives bytes."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Protocol

from OpenSSL import SSL
from pyftpdlib.log import logger

if TYPE_CHECKING:
    from ftps_lab.wire.memory_tls import MemoryTls

How = Literal["closed", "cut", "reset"]
"""How a stream ended: properly (close_notify, or FIN without TLS), by FIN without close_notify in TLS, or by RST."""

_CHUNK = 65536
_ENCRYPTED = 1 << 18
"""Bytes. The maximum size of a read in TLS: 16 records. Reading one at a time takes about a quarter longer."""
_ENOUGH = 1 << 20
"""Bytes that may be queued for sending before the other end must pause."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""struct linger: close at once and answer with RST (socket(7))."""


class Owner(Protocol):
    """Receives the events of an end."""

    def opened(self, end: Endpoint) -> None:
        """The connection is up and its handshake complete: called once, unless it started out that way."""

    def received(self, end: Endpoint, data: bytes) -> None:
        """Bytes arrived, decrypted if TLS is on."""

    def ended(self, end: Endpoint, how: How) -> None:
        """No more bytes will arrive; called again with "reset" if later none can be sent either."""

    def drained(self, end: Endpoint) -> None:
        """The send queue is no longer full."""

    def closed(self, end: Endpoint) -> None:
        """The socket is gone; called once for each end."""


class Endpoint:
    """A connected or connecting non-blocking socket. Bytes sent before it is open wait until it is.

    Args:
        ioloop: pyftpdlib's event loop; it calls methods such as `handle_read_event`.
        raw: The socket, or the tap on it.
        owner: Receives the events.
        tls: Either side of TLS over `raw`; the handshake starts when the connection is up.
        connecting: `connect_ex` was called and the connection is not up yet.

    Attributes:
        raw: The `raw` argument.
    """

    def __init__(
        self, ioloop: Any, raw: Any, owner: Owner, *, tls: MemoryTls | None = None, connecting: bool = False
    ) -> None:
        self._ioloop = ioloop
        self.raw = raw
        self._owner = owner
        self._stream = tls or raw
        self._fileno: int = raw.fileno()
        self._connecting = connecting
        self._shaking = tls is not None
        self._begun = False
        self._outgoing: deque[memoryview] = deque()
        self._waiting = 0
        self._paused = self._hearing_ended = self._saying_ended = self._said = self._closed = False
        self._how: How = "closed"
        self._events: int | None = None
        self._watch()

    @property
    def open(self) -> bool:
        """The connection is up and its handshake complete."""
        return not self._connecting and not self._shaking

    @property
    def full(self) -> bool:
        """So much is queued for sending that the source should pause."""
        return self._waiting > _ENOUGH

    @property
    def heard_all(self) -> bool:
        """No more bytes will arrive."""
        return self._hearing_ended

    @property
    def said_all(self) -> bool:
        """Everything has been sent, including the end of the stream."""
        return self._said

    def start_tls(self, tls: MemoryTls) -> None:
        """Start a handshake once the connection is up; everything sent earlier must have left."""
        self._stream, self._shaking = tls, True
        self._shake()

    def send(self, data: bytes) -> None:
        """Send as soon as possible."""
        if not self._closed and not self._saying_ended:
            self._outgoing.append(memoryview(data))
            self._waiting += len(data)
            self._go_on()

    def pause(self, paused: bool) -> None:
        """Stop reading, which leaves incoming bytes in the kernel, or resume."""
        if not self._closed and paused is not self._paused:
            self._paused = paused
            self._watch()

    def end(self, how: How = "closed") -> None:
        """End the stream once everything has been sent, in the way that the other side's stream ended."""
        if how == "reset":
            self.abort()
        elif not self._closed and not self._saying_ended:
            self._saying_ended, self._how = True, how
            self._go_on()

    def abort(self) -> None:
        """Close with RST, even if bytes are still queued."""
        if not self._closed:
            with contextlib.suppress(OSError):
                self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.close()

    def close(self) -> None:
        """Close at once; repeatable."""
        if self._closed:
            return
        self._closed = True
        if self._events is not None:
            self._ioloop.unregister(self._fileno)
        if self._stream is not self.raw:
            self._stream.abandoned()
        self.raw.close()
        self._owner.closed(self)

    def hear_out(self, reads: int) -> None:
        """Read what has already arrived, in at most `reads` reads."""
        for _ in range(reads):
            if self._connecting or self._shaking or self._closed or self._hearing_ended or not self._hear():
                break

    # What the event loop calls.

    def readable(self) -> bool:
        """Whether to read; during a connect, errors arrive here too."""
        return self._connecting or self._wants_to_hear

    def writable(self) -> bool:
        """Always: the registered events decide."""
        return True

    def handle_read_event(self) -> None:
        """Bytes arrived, or the end of the stream."""
        if self._connecting:
            self._connected()
        elif self._shaking:
            self._shake()
        else:
            self._hear()
            self._watch()

    def handle_write_event(self) -> None:
        """The connection is up, or accepts more bytes."""
        if self._connecting:
            self._connected()
        elif not self._closed:
            if self._stream is not self.raw:
                self._stream.flush()
            if self._shaking:
                self._shake()
            else:
                self._go_on()

    def handle_close(self) -> None:
        """Nothing more can be sent, and no read was pending: read what is left."""
        try:
            if self._connecting or self._shaking:
                self.handle_read_event()
                return
            while not self._closed and not self._hearing_ended and self._hear():
                pass
            self._lose()
        except Exception:  # noqa: BLE001 - the event loop catches exceptions of the other methods, not of this one
            self.handle_error()

    def handle_error(self) -> None:
        """An exception in a callback: a bug in the lab, which `FtpsServer` raises in its caller."""
        logger.error(traceback.format_exc())
        self.close()

    def _connected(self) -> None:
        error = self.raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == errno.EINPROGRESS:
            return
        self._connecting = False
        if error:
            self._lose()
        elif self._shaking:
            self._shake()
        else:
            self._owner.opened(self)
            self._go_on()

    def _shake(self) -> None:
        if self._connecting or self._closed:
            return
        self._begun = True
        try:
            self._stream.do_handshake()
        except SSL.WantReadError:
            self._watch()
        except (SSL.Error, OSError):
            self._lose()
        else:
            self._shaking = False
            self._owner.opened(self)
            self._go_on()

    def _hear(self) -> bool:
        """Read once; False if there was nothing."""
        taken, how = self._take()
        if taken:
            self._owner.received(self, taken)
        if how is not None and not self._closed:
            if how == "reset":
                self._lose()
            else:
                self._heard_end(how)
        return bool(taken) or how is not None

    def _take(self) -> tuple[bytes, How | None]:
        """The bytes that have arrived, and how the stream ended if it did."""
        taken: list[bytes] = []
        try:
            if self._stream is self.raw:
                data = self.raw.recv(_CHUNK)  # once, because the next bytes may be TLS: the owner decides
                return data, None if data else "closed"
            while not taken:  # what arrives may be no content: part of a record, or session tickets
                self._stream.feed(_ENCRYPTED)
                with contextlib.suppress(SSL.WantReadError):
                    while True:
                        taken.append(self._stream.held())
        except (SSL.WantReadError, BlockingIOError):
            return b"".join(taken), None
        except SSL.ZeroReturnError:
            return b"".join(taken), "closed"
        except SSL.SysCallError:  # end of file within TLS
            return b"".join(taken), "cut"
        except (SSL.Error, OSError):
            return b"".join(taken), "reset"
        return b"".join(taken), None

    def _heard_end(self, how: How) -> None:
        self._hearing_ended = True
        self._owner.ended(self, how)
        self._close_if_over()

    def _lose(self) -> None:
        """The peer is gone: report a reset and close."""
        if not self._closed:
            self._hearing_ended = True
            self._owner.ended(self, "reset")
            self.close()

    def _go_on(self) -> None:
        """Send what is queued, then the end of the stream."""
        if self._connecting or self._shaking or self._closed:
            return
        waited = bool(self._outgoing)
        try:
            while self._outgoing:
                self._sent(self._stream.send(self._outgoing[0][:_CHUNK]))
            if self._saying_ended and not self._said:
                self._say_end()
        except (SSL.WantReadError, SSL.WantWriteError, BlockingIOError):
            pass
        except (SSL.Error, OSError):
            self._outgoing.clear()
            self._waiting = 0
            if self._hearing_ended:
                self._lose()  # otherwise reading reports it, after the bytes that arrived earlier
        if waited and not self.full:
            self._owner.drained(self)
        self._watch()
        self._close_if_over()

    def _sent(self, size: int) -> None:
        """Remove `size` sent bytes from the head of the queue."""
        self._waiting -= size
        rest = self._outgoing[0][size:]
        if rest:
            self._outgoing[0] = rest
        else:
            self._outgoing.popleft()

    def _say_end(self) -> None:
        if self._stream is not self.raw:
            if self._how == "closed":
                self._stream.shutdown()
            elif not self._stream.flush():
                raise SSL.WantWriteError
        self.raw.shutdown(socket.SHUT_WR)
        self._said = True

    def _close_if_over(self) -> None:
        if self._said and self._hearing_ended:
            self.close()

    @property
    def _wants_to_hear(self) -> bool:
        return not self._hearing_ended and (self._shaking or not self._paused)

    def _watch(self) -> None:
        """Register exactly the events that can make progress: any other would make the event loop spin.

        Even with no event registered, the loop still reports a reset.
        """
        if self._closed:
            return
        unsent = self._stream is not self.raw and self._stream.unsent
        waits = bool(self._outgoing) or (self._saying_ended and not self._said)
        begins = self._shaking and not self._begun
        wants_write = self._connecting or begins or unsent or (waits and not self._shaking)
        wants_read = self._wants_to_hear and not self._connecting
        events = (self._ioloop.READ if wants_read else 0) | (self._ioloop.WRITE if wants_write else 0)
        if self._events is None:
            self._ioloop.register(self._fileno, self, events)
        elif events != self._events:
            self._ioloop.modify(self._fileno, events)
        self._events = events
