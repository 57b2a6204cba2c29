"""The connection to the lab's agent in a sandbox."""

from __future__ import annotations

import os
import select
import tempfile
import time

from ftps_lab.errors import LabError


class Line:
    """The connection to the agent inside (`ftps_lab.remote.handle.Line`), over pipes."""

    def __init__(self) -> None:
        stdin, self._to = os.pipe()
        self._from, stdout = os.pipe()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self.theirs = (stdin, stdout, os.dup(self._words.fileno()))
        self._lines: list[bytes] = []
        self._rest: list[bytes] = []
        os.set_blocking(self._from, False)

    def send(self, line: bytes) -> None:
        """Send a line, including its newline.

        Raises:
            LabError: The agent is gone.
        """
        try:
            at = 0
            while at < len(line):
                at += os.write(self._to, line[at:])
        except OSError as error:
            raise LabError(f"the sandbox's agent is gone: {error.strerror}") from None

    def receive(self, timeout: float) -> bytes:
        """Return the next line, including its newline.

        Raises:
            TimeoutError: No line arrived in time.
            EOFError: The agent has ended.
        """
        deadline = time.monotonic() + timeout
        while not self._lines:
            if not select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            data = os.read(self._from, 1 << 16)
            if not data:
                raise EOFError
            *whole, rest = data.split(b"\n")
            for part in whole:
                self._lines.append(b"".join((*self._rest, part, b"\n")))
                self._rest.clear()
            if rest:
                self._rest.append(rest)
        return self._lines.pop(0)

    def last_words(self) -> str:
        """Return the end of the stderr of the agent and the supervisor."""
        self._words.seek(max(0, self._words.seek(0, os.SEEK_END) - 4096))
        return self._words.read().decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Close the agent's stdin; repeatable."""
        if self._to >= 0:
            os.close(self._to)
            os.close(self._from)
            self._words.close()
            self._to = -1
