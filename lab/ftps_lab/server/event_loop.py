"""What pyftpdlib's event loop lacks in a thread: calls from other threads, and errors that reach the caller."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import deque
from typing import Any


class Errors(logging.Handler):
    """Collects the errors that pyftpdlib logs, for the server in whose thread they happened.

    pyftpdlib catches exceptions in handlers and only logs them; here they must surface in the caller.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.by_thread: dict[int, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Store the error for the server of this thread."""
        errors = self.by_thread.get(record.thread or 0)
        if errors is not None:
            errors.append(self.format(record))


ERRORS = Errors()
logging.getLogger("pyftpdlib").addHandler(ERRORS)


class Waker:
    """Lets other threads run a function in the event loop's thread."""

    def __init__(self, ioloop: Any) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._calls: deque[Any] = deque()
        self._closed = False
        self._fileno = self._ours.fileno()  # pyftpdlib expects this name
        ioloop.register(self._fileno, self, ioloop.READ)

    @property
    def fileno(self) -> int:
        """The descriptor that wakes the event loop."""
        return self._fileno

    def call(self, function: Any) -> None:
        """Run the function in the event loop's next turn, or at once if the loop has ended."""
        self._calls.append(function)
        with contextlib.suppress(OSError):  # full: a wake-up is already pending; closed: see below
            self._theirs.send(b"!")
        if self._closed:
            self._run()  # callers that wait for the thread learn that it has ended

    def handle_read_event(self) -> None:
        """Run the functions that other threads submitted."""
        with contextlib.suppress(BlockingIOError):
            self._ours.recv(4096)
        self._run()

    def _run(self) -> None:
        # Only the calls queued now: one that arrives meanwhile belongs to a later turn of the event loop.
        for _ in range(len(self._calls)):
            try:
                function = self._calls.popleft()
            except IndexError:  # another thread took it
                return
            function()

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Close once the event loop has ended, and run the functions still queued."""
        self._closed = True
        self._ours.close()
        self._theirs.close()
        self._run()
