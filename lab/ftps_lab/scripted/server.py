"""A server that follows scripts: a listening socket and a thread for each connection."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from ftps_lab.errors import LabError
from ftps_lab.scripted.conversation import Conversation, Notes
from ftps_lab.scripted.steps import Repeat, StartTls
from ftps_lab.scripted.stream import Stream
from ftps_lab.server.tls import server_context
from ftps_lab.wire.listening import listen

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from ftps_lab.scripted.steps import Script, ScriptedConnection

MOST: Final = 128
"""Maximum simultaneous connections; further ones wait in the kernel's queue."""

KEPT: Final = 2000
"""Maximum connections in a record; later ones are served but not recorded."""

_STOP_SECONDS: Final = 10.0
_PAUSE: Final = 0.005


class ScriptedServer:
    """Serves in threads of this process, bound to loopback by default. A context manager.

    Args:
        scripts: Connection n of a record follows script n; any further connections follow the last.
        host: The address to bind.
        port: 0 lets the system choose; read `port` back after `start`.

    Raises:
        LabError: `scripts` is empty, or OpenSSL here refuses to serve a certificate.
    """

    def __init__(self, scripts: Sequence[Script], *, host: str = "127.0.0.1", port: int = 0) -> None:
        if not scripts:
            raise LabError("a scripted server needs at least one script; () closes each connection at once")
        self.host = host
        self.port = port
        self._scripts = tuple(tuple(script) for script in scripts)
        steps = [step for script in self._scripts for step in script]
        if any(isinstance(step, Repeat) and not step.data for step in steps):
            raise LabError("Repeat needs some data to repeat")
        self._contexts = {
            id(step): server_context(step.certificate, step.sent, step.versions)
            for step in steps
            if isinstance(step, StartTls)
        }
        self._lock = threading.Lock()
        self._room = threading.Semaphore(MOST)
        self._threads: set[threading.Thread] = set()
        self._acceptor: threading.Thread | None = None
        self._stopped = threading.Event()
        self._errors: list[str] = []
        self.record()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Bind and accept connections.

        Raises:
            LabError: The port is in use, or the address is not on this machine.
        """
        self._listener = listen(self.host, self.port)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._stopping, self._stop = os.pipe()  # closing the other end makes it readable for every thread at once
        self._acceptor = threading.Thread(target=self._accept, name=f"ftps-lab:scripted:{self.port}", daemon=True)
        self._acceptor.start()
        return self

    def record(self) -> None:
        """Start a new record; the next connection follows the first script again."""
        with self._lock:
            self._begin = time.monotonic()
            self._number = 0
            self._notes: list[Notes] = []

    def connections(self, timeout: float = 2.0) -> tuple[ScriptedConnection, ...]:
        """The connections since `record`, in order, once all clients have left, or after at most `timeout` seconds.

        Raises:
            LabError: A connection's thread failed: a bug in the lab.
        """
        deadline = time.monotonic() + timeout
        while self._busy() and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        if self._errors:
            raise LabError(f"the scripted server on {self.host}:{self.port} failed:\n{self._errors[0]}")
        with self._lock:
            return tuple(notes.read() for notes in self._notes)

    def stop(self) -> None:
        """Close every connection and end every thread; repeatable.

        Raises:
            LabError: A thread does not end.
        """
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            return
        self._stopped.set()
        os.close(self._stop)
        deadline = time.monotonic() + _STOP_SECONDS
        acceptor.join(_STOP_SECONDS)
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in (acceptor, *threads)):
            raise LabError(f"a thread of the server on {self.host}:{self.port} does not stop; please report this bug")
        self._listener.close()
        os.close(self._stopping)

    def _busy(self) -> bool:
        """Whether more may still arrive: a client is connected, or waiting to be accepted."""
        if self._stopped.is_set():
            return False
        with self._lock:  # an accepted client is in the record before the next check
            poll = select.poll()
            poll.register(self._listener, select.POLLIN)
            return bool(poll.poll(0)) or any(notes.goes_on for notes in self._notes)

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._stopping, select.POLLHUP)
        poll.register(self._listener, select.POLLIN)
        while not self._stopped.is_set():
            if any(descriptor == self._stopping for descriptor, _ in poll.poll()):
                return
            while not self._room.acquire(timeout=0.05):
                if self._stopped.is_set():
                    return
            if not self._accept_one():
                self._room.release()
                time.sleep(_PAUSE)

    def _accept_one(self) -> bool:
        """Start a thread for the next client; False if it has already left, or no descriptors are free."""
        with self._lock:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                return False
            index = min(self._number, len(self._scripts) - 1)
            self._number += 1
            notes = Notes(self._number, index, peer[:2], self._begin)
            if len(self._notes) < KEPT:
                self._notes.append(notes)
            name = f"ftps-lab:scripted:{self.port}:{self._number}"
            thread = threading.Thread(target=self._follow, args=(sock, index, notes), name=name, daemon=True)
            self._threads = {each for each in self._threads if each.is_alive()} | {thread}
            thread.start()
            return True

    def _follow(self, sock: socket.socket, index: int, notes: Notes) -> None:
        try:
            with contextlib.closing(sock):
                stream = Stream(sock, self._stopping)
                Conversation(stream, self._scripts[index], self._contexts, notes).follow()
        except Exception as error:  # noqa: BLE001 - a bug surfaces in the caller, not only on stderr
            self._errors.append(f"{type(error).__name__}: {error}")
            notes.end()
        finally:
            self._room.release()
