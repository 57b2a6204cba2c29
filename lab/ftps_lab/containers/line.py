"""Lines to and from a container's main process, over the engine's stream to its stdin, stdout and stderr."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

from ftps_lab.containers.frames import STDERR, Frames
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 16

_MOST = 1 << 30
"""Limit of one line in bytes: a container that never ends its line must not exhaust the machine's memory."""

_WORDS = 4096
"""Bytes of stderr that are kept."""

_SEND_SECONDS = 30.0

_AFTERTHOUGHT_SECONDS = 1.0
"""How long to wait for the last output of a process that has ended."""


def raw_socket(stream: Any) -> socket.socket:
    """The socket of a stream that the SDK took over from HTTP.

    Raises:
        LabError: The stream has no socket to wait on (SSH).
    """
    found = getattr(stream, "_sock", stream)
    if not isinstance(found, socket.socket):
        raise LabError(
            f"the connection to the Docker engine is a {type(found).__name__}, not a socket; set DOCKER_HOST to a "
            f"socket of this machine"
        )
    return found


def hang_up(stream: Any) -> None:
    """Close a stream and its socket, which stays open until both are closed; repeatable."""
    if getattr(stream, "closed", False):
        return
    sock = raw_socket(stream)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    stream.close()
    sock.close()


class ContainerLine:
    """The line of one container (`ftps_lab.remote.handle.Line`). Use from one thread at a time.

    Args:
        stream: Attached to the container; this owns it.
        name: The container's name in messages.

    Raises:
        LabError: The stream cannot be waited on.
    """

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._sock = raw_socket(stream)
        self._name = name
        self._frames = Frames()
        self._lines: list[bytes] = []
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._words = bytearray()
        self._ended = False

    def send(self, line: bytes) -> None:
        """Send a line, including its newline.

        Raises:
            LabError: The container is gone, or does not read.
        """
        try:
            self._sock.settimeout(_SEND_SECONDS)
            self._sock.sendall(line)
        except TimeoutError:
            raise LabError(f"the container {self._name} does not read its input") from None
        except OSError as error:
            self._listen(lambda: self._ended, _AFTERTHOUGHT_SECONDS)
            raise LabError(f"the container {self._name} is gone: {error.strerror or error}") from None

    def receive(self, timeout: float) -> bytes:
        """The next line, including its newline.

        Raises:
            TimeoutError: No line came within `timeout` seconds.
            EOFError: No more lines will come: the container has ended.
            LabError: The engine's stream is invalid, or the line has no end.
        """
        self._listen(lambda: bool(self._lines) or self._ended, timeout)
        if self._lines:
            return self._lines.pop(0)
        if self._ended:
            raise EOFError(f"the container {self._name} has ended")
        raise TimeoutError

    def last_words(self) -> str:
        """The process's last output on stderr; empty if none."""
        self._listen(lambda: self._ended, 0)
        text = self._words.decode("utf-8", "replace").strip()
        return text if len(self._words) < _WORDS else "…" + text.partition("\n")[2]

    def close(self) -> None:
        """End the stdin of the container's process, which then ends; repeatable."""
        self._ended = True
        hang_up(self._stream)

    def _listen(self, enough: Callable[[], bool], timeout: float) -> None:
        """Receive until there is enough data, the time is over, or the stream ends; try at least once."""
        deadline = time.monotonic() + timeout
        while not enough() and not self._ended:
            left = deadline - time.monotonic()
            try:
                self._sock.settimeout(max(left, 0))
                data = self._sock.recv(_CHUNK)
            except (BlockingIOError, TimeoutError):
                return
            except OSError:
                data = b""  # reset: the connection to the engine, or the container, was cut
            if not data:
                self._ended = True
                return
            for stream, said in self._frames.feed(data):
                self._take(stream, said)

    def _take(self, stream: int, said: bytes) -> None:
        if stream == STDERR:
            self._words += said
            del self._words[:-_WORDS]
            return
        *whole, rest = said.split(b"\n")
        for part in whole:
            self._lines.append(b"".join((*self._rest, part, b"\n")))
            self._rest.clear()
            self._rest_size = 0
        if rest:
            self._rest.append(rest)
            self._rest_size += len(rest)
            if self._rest_size > _MOST:
                raise LabError(f"the container {self._name} sent a line that is too long; please report this bug")
