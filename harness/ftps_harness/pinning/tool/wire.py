"""A connection with one overall deadline, and a limit on the data that it accepts from the server."""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_harness.errors import HarnessError
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.pinning.tool.target import Target

_MOST_TEXT: Final = 64 << 10
"""Maximum total bytes of replies."""
_MOST_TLS: Final = 512 << 10
"""Maximum bytes of the handshake; OpenSSL itself accepts chains of up to 100 KiB."""
_PATIENCE: Final = 1.0
"""Seconds of silence on port 990 after which the server counts as implicit FTPS."""
MOST: Final = _MOST_TEXT + _MOST_TLS
"""Maximum bytes in total."""
CHUNK: Final = 16 << 10
_SHOWN: Final = 80
"""Maximum number of characters that a message quotes from a reply."""

_FINAL: Final = re.compile(rb"[0-9]{3}(?: |$)")
_REPLY: Final = re.compile(rb"([0-9]{3})([ -]|$)")


class Unfetched(HarnessError):  # noqa: N818 - the server's fault
    """No certificate was received; the message says why, and from which server."""


@dataclass(slots=True)
class Deadline:
    """The overall deadline, on the monotonic clock."""

    target: Target
    timeout: float
    end: float = 0.0

    def __post_init__(self) -> None:
        self.end = time.monotonic() + self.timeout

    def left(self, waited_for: str) -> float:
        """The remaining seconds.

        Raises:
            Unfetched: No time is left.
        """
        left = self.end - time.monotonic()
        if left <= 0:
            raise Unfetched(f"{self.target}: no {waited_for} within {self.timeout:g} s; raise --timeout to wait longer")
        return left


def connected(target: Target, deadline: Deadline) -> socket.socket:
    """Connect to the first of the host's addresses that accepts."""
    problem: OSError | None = None
    for family, address in _addresses(target, deadline):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(deadline.left("connection"))
            connection.connect(address)
        except OSError as error:
            connection.close()
            problem = error
        except BaseException:
            connection.close()
            raise
        else:
            connection.setblocking(False)
            return connection
    deadline.left("connection")
    assert problem is not None  # there is at least one address
    raise Unfetched(f"{target}: cannot connect: {problem.strerror or problem}")


def _addresses(target: Target, deadline: Deadline) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Look the name up in a thread: the system's resolver has no deadline."""
    found: list[object] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(deadline.left("address"))
    if not found:
        deadline.left("address")
        raise Unfetched(f"{target}: the name could not be looked up")
    if isinstance(found[0], BaseException):
        why = getattr(found[0], "strerror", None) or found[0]
        raise Unfetched(f"{target}: the name cannot be looked up: {why}")
    return [(each[0], each[4]) for each in found]  # type: ignore[index]  # as getaddrinfo gives them


class Wire:
    """A socket with a deadline, and a limit on the data that it accepts from the server."""

    def __init__(self, connection: socket.socket, target: Target, deadline: Deadline) -> None:
        self._socket = connection
        self._target = target
        self._deadline = deadline
        self._text = b""
        self.taken = 0

    def speaks_first(self) -> bool:
        """Whether the server speaks first, as in explicit FTPS."""
        wait = min(_PATIENCE, self._deadline.left("greeting") / 2)
        return bool(select.select([self._socket], [], [], wait)[0])

    def receive(self, what: str) -> bytes:
        """The next bytes; empty at the end."""
        while True:
            readable, _, _ = select.select([self._socket], [], [], self._deadline.left(what))
            if not readable:
                continue
            try:
                data = self._socket.recv(CHUNK)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Unfetched(f"{self._target}: the connection failed: {error.strerror or error}") from error
            self.taken += len(data)
            return data

    def send(self, data: bytes, what: str) -> None:
        """Send all bytes."""
        while data:
            _, writable, _ = select.select([], [self._socket], [], self._deadline.left(what))
            if writable:
                try:
                    data = data[self._socket.send(data) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise Unfetched(f"{self._target}: the connection failed: {error.strerror or error}") from error

    def reply(self, what: str, receive: Callable[[str], bytes]) -> tuple[int, str]:
        """Read one reply, possibly of several lines (RFC 959 section 4.2): return its code and its last line."""
        code = b""
        while True:
            line, end, rest = self._text.partition(b"\n")
            if end:
                self._text = rest
                line = line.rstrip(b"\r")
                if not code:
                    match = _REPLY.match(line)
                    if match is None:
                        raise self._not_ftp(line)
                    code = match[1]
                if _FINAL.match(line) and line[:3] == code:
                    return int(code), quoted(line)
                continue
            if len(self._text) > _MOST_TEXT or self.taken > MOST:
                raise Unfetched(f"{self._target}: the {what} is longer than {_MOST_TEXT >> 10} KiB")
            data = receive(what)
            if not data:
                if self._text:
                    raise self._not_ftp(self._text)
                raise Unfetched(f"{self._target}: the server closed the connection without a {what}")
            self._text += data

    def expect_greeting(self, receive: Callable[[str], bytes]) -> None:
        """Read the greeting; after 120, another one follows (RFC 959 section 5.4)."""
        code = 120
        while code == 120:
            code, line = self.reply("greeting", receive)
            if self.taken > MOST:
                raise Unfetched(f"{self._target}: the greeting does not end")
        if code != 220:
            raise Unfetched(f"{self._target}: the server refuses service: it said {line}")

    def nothing_more(self) -> None:
        """Refuse clear text after the reply to AUTH: the TLS server did not send it, so an attacker injected it."""
        if self._text:
            raise Unfetched(
                f"{self._target}: extra clear text after the answer to AUTH TLS, which an attacker may have "
                f"injected: {quoted(self._text)}"
            )

    def _not_ftp(self, line: bytes) -> Unfetched:
        hint = "; it may be implicit FTPS (--implicit)" if line.startswith((b"\x15", b"\x16")) else ""
        return Unfetched(f"{self._target}: not an FTP server: it said {quoted(line)}{hint}")


def quoted(line: bytes) -> str:
    """The beginning of a server's text, on one line."""
    text = harmless(line[: _SHOWN * 4]).replace("\n", "\\n")
    return f"“{text[:_SHOWN]}”" if text else "an empty line"
