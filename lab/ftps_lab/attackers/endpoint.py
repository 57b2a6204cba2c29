"""One end of a relay: a socket on the event loop, in clear or in TLS, that takes bytes and gives bytes."""

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
"""How a stream ended: as it should (close_notify, or FIN where there is no TLS), by a FIN alone, or by a RST."""

_CHUNK = 65536
_BATCH = 1 << 16
"""Bytes that are taken at most before the owner is told: in TLS each read brings no more than a record, 16 KiB."""
_ENOUGH = 1 << 20
"""Bytes that may wait to be sent before the other end is asked to pause."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""struct linger: close at once and answer with RST (socket(7))."""


class Owner(Protocol):
    """Who is told what happens on an end."""

    def opened(self, end: Endpoint) -> None:
        """The connection is there, and its handshake done: once, unless it was so from the beginning."""

    def received(self, end: Endpoint, data: bytes) -> None:
        """Bytes came, decrypted where there is TLS."""

    def ended(self, end: Endpoint, how: How) -> None:
        """No more bytes will come; again, with "reset", when afterwards none can be sent any more either."""

    def drained(self, end: Endpoint) -> None:
        """What waited to be sent has left."""

    def closed(self, end: Endpoint) -> None:
        """The socket is gone, once for each end."""


class Endpoint:
    """A connected or connecting non-blocking socket. What is sent before it is open waits until it is.

    Args:
        ioloop: pyftpdlib's event loop; method names such as `handle_read_event` are what it calls.
        raw: The socket, or what is tapped on it.
        owner: Who is told.
        tls: Either side of TLS over `raw`, whose handshake begins when the connection is there.
        connecting: `connect_ex` was called and the connection is not there yet.

    Attributes:
        raw: As it was given.
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
        """The connection is there, and its handshake done."""
        return not self._connecting and not self._shaking

    @property
    def full(self) -> bool:
        """So much waits to be sent that whoever brings it should pause."""
        return self._waiting > _ENOUGH

    @property
    def heard_all(self) -> bool:
        """No more bytes will come."""
        return self._hearing_ended

    @property
    def said_all(self) -> bool:
        """Everything has left, and the end of it."""
        return self._said

    def start_tls(self, tls: MemoryTls) -> None:
        """Begin a handshake, when the connection is there; what was sent before has left."""
        self._stream, self._shaking = tls, True
        self._shake()

    def send(self, data: bytes) -> None:
        """Send as soon as possible."""
        if not self._closed and not self._saying_ended:
            self._outgoing.append(memoryview(data))
            self._waiting += len(data)
            self._go_on()

    def pause(self, paused: bool) -> None:
        """Leave what comes in the kernel, or take it again."""
        if not self._closed and paused is not self._paused:
            self._paused = paused
            self._watch()

    def end(self, how: How = "closed") -> None:
        """Say that there is no more, in the same way as it was said to us, once all has left."""
        if how == "reset":
            self.abort()
        elif not self._closed and not self._saying_ended:
            self._saying_ended, self._how = True, how
            self._go_on()

    def abort(self) -> None:
        """Close with RST, whatever still waits."""
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
        """Take what has arrived already, in at most so many reads."""
        for _ in range(reads):
            if self._connecting or self._shaking or self._closed or self._hearing_ended or not self._hear(_CHUNK):
                break

    # What the event loop calls.

    def readable(self) -> bool:
        """Nothing else is asked for."""
        return self._connecting or self._wants_to_hear

    def writable(self) -> bool:
        """The events asked for say it all."""
        return True

    def handle_read_event(self) -> None:
        """Something arrived, or the end of it."""
        if self._connecting:
            self._connected()
        elif self._shaking:
            self._shake()
        else:
            self._hear()
            self._watch()

    def handle_write_event(self) -> None:
        """The connection is there, or takes more."""
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
        """Nothing can be sent any more, and nobody asked to read: take what is left."""
        try:
            if self._connecting or self._shaking:
                self.handle_read_event()
                return
            while not self._closed and not self._hearing_ended and self._hear():
                pass
            self._lose()
        except Exception:  # noqa: BLE001 - the event loop catches what the other methods raise, and nothing of this one
            self.handle_error()

    def handle_error(self) -> None:
        """An exception in a callback: a bug in the lab, which `FtpsServer` brings to its caller."""
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

    def _hear(self, most: int = _BATCH) -> bool:
        """Take what is there, about `most` bytes of it; False when there was nothing."""
        taken, how = self._take(most)
        if taken:
            self._owner.received(self, taken)
        if how is not None and not self._closed:
            if how == "reset":
                self._lose()
            else:
                self._heard_end(how)
        return bool(taken) or how is not None

    def _take(self, most: int) -> tuple[bytes, How | None]:
        """What has arrived, and how it ended if it did."""
        taken = []
        in_tls = self._stream is not self.raw
        try:
            while data := self._stream.recv(_CHUNK):
                taken.append(data)
                most -= len(data)
                if most <= 0 or not in_tls:  # in clear, what comes next may be TLS: the owner decides
                    return b"".join(taken), None
        except (SSL.WantReadError, BlockingIOError):
            return b"".join(taken), None
        except SSL.ZeroReturnError:
            return b"".join(taken), "closed"
        except SSL.SysCallError:  # end of file within TLS
            return b"".join(taken), "cut"
        except (SSL.Error, OSError):
            return b"".join(taken), "reset"
        return b"".join(taken), "closed"

    def _heard_end(self, how: How) -> None:
        self._hearing_ended = True
        self._owner.ended(self, how)
        self._close_if_over()

    def _lose(self) -> None:
        """Nobody is there any more."""
        if not self._closed:
            self._hearing_ended = True
            self._owner.ended(self, "reset")
            self.close()

    def _go_on(self) -> None:
        """Send what waits, then the end."""
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
                self._lose()  # otherwise reading says so, after what has arrived before
        if waited and not self.full:
            self._owner.drained(self)
        self._watch()
        self._close_if_over()

    def _sent(self, size: int) -> None:
        """So many bytes of the oldest that waited have left."""
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
        """Ask the event loop for what can go on, and for nothing else: it would spin.

        Without any event asked for it still tells of a reset.
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
