"""What pyftpdlib's event loop lacks in a thread: calls from other threads, and errors that reach the caller."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import deque
from typing import Any


class Errors(logging.Handler):
    """Brings what pyftpdlib logs as an error to the server whose thread it happened in.

    pyftpdlib catches exceptions of handlers and only logs them; here they must surface in the caller.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.by_thread: dict[int, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it for the server of this thread."""
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
        self._fileno = self._ours.fileno()  # pyftpdlib asks for it under this name
        ioloop.register(self._fileno, self, ioloop.READ)

    @property
    def fileno(self) -> int:
        """What the event loop watches to be woken."""
        return self._fileno

    def call(self, function: Any) -> None:
        """Have it called in the event loop's next turn; at once if that has ended."""
        self._calls.append(function)
        with contextlib.suppress(OSError):  # full: a wake-up is on its way already; closed: see below
            self._theirs.send(b"!")
        if self._closed:
            self._run()  # whoever waits for the thread learns that it has ended

    def handle_read_event(self) -> None:
        """Somebody called."""
        with contextlib.suppress(BlockingIOError):
            self._ours.recv(4096)
        self._run()

    def _run(self) -> None:
        # Only what waits now: a call that is made meanwhile belongs to a later turn of the event loop.
        for _ in range(len(self._calls)):
            try:
                function = self._calls.popleft()
            except IndexError:  # another thread was here
                return
            function()

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """The event loop has ended."""
        self._closed = True
        self._ours.close()
        self._theirs.close()
        self._run()
