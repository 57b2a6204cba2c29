"""The wire tap in front of a daemon: a relay that records the raw bytes and changes none.

TLS hides the control channel, so the relay cannot rewrite addresses or ports: it listens on the ports that the daemon
announces, and the daemon listens on the same ports at another loopback address. Each control connection reaches the
daemon from its own source address, so that every line of the daemon's log identifies its connection.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from ftps_lab.daemons.recording import Link, Recording
from ftps_lab.errors import LabError
from ftps_lab.wire import tls as wiretls
from ftps_lab.wire.listening import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ftps_lab.daemons.recording import Address

_READ = 1 << 16
_WAITING = 1 << 18
"""Bytes that may be queued for a slow reader before the relay stops reading from the other end."""

_MARKS = {"control": 1 << 14, "data": 64}
"""Marks kept for a link: for a control connection enough to find each command's reply, for data the handshake's."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 seconds: close with RST."""


class _End:
    """One of a link's two sockets, and the bytes queued for it."""

    def __init__(self, sock: socket.socket, *, is_client: bool) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # it may already have been reset
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.is_client = is_client
        self.waiting = bytearray()
        self.open_to_read = True
        self.connecting = False
        self.ends = False  # nothing more will be queued for it: shut it down once all is sent
        self.was_shut = False
        self.to_be_reset = False
        self.events = 0

    def acknowledge_at_once(self) -> None:
        """Set TCP_QUICKACK: both sides' Nagle algorithm waits for each ACK in a handshake (`ftps_lab.wire.tap`)."""
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class _Pair:
    """A link with its two ends."""

    def __init__(self, link: Link, client: _End, server: _End) -> None:
        self.link = link
        self.client = client
        self.server = server

    def other(self, end: _End) -> _End:
        return self.server if end is self.client else self.client


class Relay:
    """Listens on the daemon's outward address and relays to the inward one, in a thread.

    Args:
        host: The outward address.
        port: The outward control port; 0 lets the system choose.
        passive: The daemon's passive ports, the same on both addresses.
        target: The daemon's inward address and control port.
        sources: Gives each control connection its source address.
    """

    def __init__(
        self, host: str, port: int, passive: Iterable[int], target: Address, sources: Callable[[], str]
    ) -> None:
        self.host = host
        self.recording = Recording()
        self._certificate = ""
        self._implicit = False
        self._target = target
        self._sources = sources
        self._selector = selectors.DefaultSelector()
        self._pairs: set[_Pair] = set()
        self._lock = threading.Condition()
        self._turns = 0
        self._stopping = False
        self._error = ""
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._selector.register(self._ours, selectors.EVENT_READ, "wake")
        self._listeners: list[socket.socket] = []
        try:
            self.port = self._listen(port, "control")
            for number in passive:
                self._listen(number, "data")
        except BaseException:
            self._close_all()
            raise
        self._thread = threading.Thread(target=self._serve, name=f"ftps-lab relay:{self.port}", daemon=True)
        self._thread.start()

    def _listen(self, port: int, kind: str) -> int:
        listener = listen(self.host, port)
        self._listeners.append(listener)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, kind)
        return int(listener.getsockname()[1])

    def show(self, target: Address, certificate: str, *, implicit: bool) -> None:
        """Send new control connections to `target`, where the daemon was proved to show this certificate."""
        with self._lock:
            self._target, self._certificate, self._implicit = target, certificate, implicit

    def record(self) -> Recording:
        """Start a new recording; open links still write to the old one."""
        with self._lock:
            self.recording = Recording()
            return self.recording

    def settle(self, recording: Recording, timeout: float) -> bool:
        """Wait until every link of this recording is closed; False if `timeout` seconds were not enough."""
        until = time.monotonic() + timeout
        # A connection in a listener's queue is accepted in the turn after the one now in progress.
        for _ in range(3):
            if not self._turn(until):
                return False
        with self._lock:
            return self._lock.wait_for(
                lambda: bool(self._error) or all(link.done for link in recording.links),
                max(0.0, until - time.monotonic()),
            )

    def _turn(self, until: float) -> bool:
        with self._lock:
            turn = self._turns
            self._theirs.send(b"!")
            return self._lock.wait_for(
                lambda: self._turns > turn or bool(self._error), max(0.0, until - time.monotonic())
            )

    def raise_errors(self) -> None:
        """Raise the error that stopped the thread, if any.

        Raises:
            LabError: The thread failed.
        """
        if self._error:
            raise LabError(f"the relay on {self.host}:{self.port} failed: {self._error}; please report this bug")

    def stop(self) -> None:
        """End the thread and close every socket; repeatable."""
        if self._stopping:
            return
        self._stopping = True
        self._theirs.send(b"!")
        self._thread.join(10.0)
        if self._thread.is_alive():
            raise LabError(f"the relay on {self.host}:{self.port} does not stop; please report this bug")
        self._close_all()

    def _close_all(self) -> None:
        for pair in list(self._pairs):
            pair.client.sock.close()
            pair.server.sock.close()
        for sock in (*self._listeners, self._ours, self._theirs):
            sock.close()
        self._selector.close()

    def _serve(self) -> None:
        try:
            while not self._stopping:
                self._serve_once()
        except BaseException as error:  # noqa: BLE001 - any error surfaces in the caller
            self._error = f"{type(error).__name__}: {error}"
            with self._lock:
                self._lock.notify_all()

    def _serve_once(self) -> None:
        woken = False
        for key, events in self._selector.select():
            if key.data == "wake":
                with contextlib.suppress(BlockingIOError):
                    self._ours.recv(4096)
                woken = True
            elif isinstance(key.data, str):
                assert isinstance(key.fileobj, socket.socket)
                self._accept(key.fileobj, key.data)
            else:
                pair, end = key.data
                self._serve_end(pair, end, events)
        if woken:
            with self._lock:
                self._turns += 1
                self._lock.notify_all()

    def _accept(self, listener: socket.socket, kind: str) -> None:
        while True:
            try:
                sock, peer = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.ECONNABORTED, errno.EPROTO, errno.EINTR}:
                    continue
                raise
            self._begin(sock, peer[:2], listener.getsockname()[1], kind)

    def _begin(self, sock: socket.socket, peer: Address, port: int, kind: str) -> None:
        is_control = kind == "control"
        source = self._sources() if is_control else self._target[0]
        with self._lock:
            recording = self.recording
            opened = time.monotonic() - recording.began
            link = Link(
                "control" if is_control else "data", port, peer, source, opened, self._certificate, self._implicit
            )
            recording.links.append(link)
            address, control_port = self._target
        client = _End(sock, is_client=True)
        server = _End(socket.socket(), is_client=False)
        pair = _Pair(link, client, server)
        self._pairs.add(pair)
        client.acknowledge_at_once()
        server.sock.bind((source, 0))
        target = (address, control_port if is_control else port)
        if server.sock.connect_ex(target) not in {0, errno.EINPROGRESS}:
            self._reset(pair)
            return
        server.connecting = True
        self._watch(pair)

    def _serve_end(self, pair: _Pair, end: _End, events: int) -> None:
        if pair.link.done:  # the other end already closed both in this turn
            return
        if end.connecting and events & selectors.EVENT_WRITE:
            if end.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._reset(pair)  # nothing listens there: the client must see the same
                return
            end.connecting = False
            end.acknowledge_at_once()
        if events & selectors.EVENT_READ and end.open_to_read:
            self._read(pair, end)
        for at in (pair.client, pair.server):
            if not pair.link.done:
                self._flush(pair, at)
        if not pair.link.done:
            self._watch(pair)

    def _read(self, pair: _Pair, end: _End) -> None:
        other = pair.other(end)
        try:
            data = end.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            end.open_to_read = False
            self._pass_on(pair, end)
            return
        end.acknowledge_at_once()
        if not data:
            end.open_to_read = False
            other.ends = True
            return
        self._note(pair.link, end, data)
        if not other.was_shut:
            other.waiting += data

    def _note(self, link: Link, end: _End, data: bytes) -> None:
        if end.is_client:
            link.to_server += data
            if len(link.marks) < _MARKS[link.kind]:
                link.marks.append((len(link.to_server), len(link.to_client)))
        else:
            link.to_client += data

    def _flush(self, pair: _Pair, end: _End) -> None:
        if end.connecting:
            return
        try:
            while end.waiting:
                sent = end.sock.send(end.waiting)
                del end.waiting[:sent]
        except BlockingIOError:
            return
        except OSError:  # reset, or shut down by us: its queued bytes cannot be delivered
            self._lost(pair, end)
            return
        if end.to_be_reset:
            self._reset(pair)
        elif end.ends and not end.was_shut:
            end.was_shut = True
            with contextlib.suppress(OSError):
                end.sock.shutdown(socket.SHUT_WR)
        both_shut = pair.client.was_shut and pair.server.was_shut
        if both_shut and not pair.server.open_to_read and not pair.link.done:
            self._end(pair)

    def _lost(self, pair: _Pair, end: _End) -> None:
        """This end accepts nothing more: read what it had sent, then reset the other end."""
        end.waiting.clear()
        other = pair.other(end)
        with contextlib.suppress(OSError):
            while data := end.sock.recv(_READ):
                self._note(pair.link, end, data)
                other.waiting += data
        end.open_to_read = False
        end.ends = end.was_shut = True
        self._pass_on(pair, end)
        other.open_to_read = other.open_to_read and not other.to_be_reset
        self._flush(pair, other)

    def _pass_on(self, pair: _Pair, end: _End) -> None:
        """Forward a reset of this end: as a reset, or as a normal end after an upload.

        In 2 to 4 of 100 uploads lftp 4.8.4 closes with the server's TLS 1.3 session tickets unread, which resets the
        connection; vsftpd then replies 426 although it has the whole file. The file's hash decides whether it has.
        """
        other = pair.other(end)
        if end.is_client and pair.link.kind == "data" and wiretls.carries_content(pair.link.to_server):
            other.ends = True
        else:
            other.to_be_reset = True

    def _reset(self, pair: _Pair) -> None:
        for end in (pair.client, pair.server):
            with contextlib.suppress(OSError):
                end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._end(pair)

    def _end(self, pair: _Pair) -> None:
        for end in (pair.client, pair.server):
            if end.events:
                self._selector.unregister(end.sock)
                end.events = 0
            end.sock.close()
        self._pairs.discard(pair)
        with self._lock:
            pair.link.done = True
            self._lock.notify_all()

    def _watch(self, pair: _Pair) -> None:
        for end in (pair.client, pair.server):
            other = pair.other(end)
            events = 0
            if end.open_to_read and not end.connecting and len(other.waiting) < _WAITING:
                events |= selectors.EVENT_READ
            if end.connecting or end.waiting:
                events |= selectors.EVENT_WRITE
            if events == end.events:
                continue
            if not events:
                self._selector.unregister(end.sock)
            elif end.events:
                self._selector.modify(end.sock, events, (pair, end))
            else:
                self._selector.register(end.sock, events, (pair, end))
            end.events = events
