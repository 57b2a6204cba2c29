"""Follows a script on one connection, and records what the client did."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from ftps_lab.scripted.steps import (
    Answer,
    Close,
    Heard,
    Pause,
    ReadLine,
    Receive,
    Repeat,
    Reset,
    ScriptedConnection,
    Send,
    StartTls,
    Wait,
)
from ftps_lab.scripted.stream import HALF_CLOSED_SECONDS, GoneError, StoppedError, Stream, TlsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from OpenSSL import SSL

    from ftps_lab.scripted.steps import Said, Script, Step

LINES: Final = 500
"""Maximum number of lines kept from a client."""

LINE_BYTES: Final = 4096
"""Maximum number of bytes kept of each line."""

_BLOCK: Final = 1 << 16
"""Bytes that `Repeat` sends at once."""

_CREDENTIAL: Final = re.compile(rb"\s*(USER|PASS)(?:\s|$)", re.IGNORECASE)


class Notes:
    """What is known about a connection so far; another thread may read it at any time.

    Attributes:
        stream: The connection, once its thread is running.
    """

    def __init__(self, number: int, script: int, peer: tuple[str, int], begin: float) -> None:
        self._number = number
        self._script = script
        self._peer = peer
        self._begin = begin
        self._began = time.monotonic() - begin
        self._lines: list[Heard] = []
        self._said: dict[bytes, Said] = {}
        self.stream: Stream | None = None
        self.ended: float | None = None
        self.version = ""
        self.certificate = ""
        self.error = ""

    @property
    def left(self) -> bool:
        """The client has closed its side, and everything that it sent earlier has been recorded."""
        return self.stream is not None and self.stream.left and not self.stream.inbox

    @property
    def goes_on(self) -> bool:
        """More may still arrive: the client is connected, or an error is about to end the connection."""
        return self.ended is None and (bool(self.error) or not self.left)

    def heard(self, line: bytes, channel: Said) -> None:
        """Record a line, or other bytes that arrived."""
        assert channel
        if found := _CREDENTIAL.match(line):
            self._said.setdefault(found[1].upper(), channel)
        if len(self._lines) < LINES:
            self._lines.append(Heard(line[:LINE_BYTES].rstrip(b"\r"), channel))

    def end(self) -> None:
        """Note that the connection is closed."""
        self.ended = time.monotonic() - self._begin

    def read(self) -> ScriptedConnection:
        """The record of the connection so far."""
        return ScriptedConnection(
            number=self._number,
            script=self._script,
            peer=self._peer,
            began=self._began,
            ended=self.ended,
            left=self.left,
            tls=bool(self.version),
            version=self.version,
            certificate=self.certificate,
            lines=tuple(self._lines),
            user=self._said.get(b"USER", ""),
            password=self._said.get(b"PASS", ""),
            sent=0 if self.stream is None else self.stream.sent,
            error=self.error,
        )


class Conversation:
    """Runs one connection's script; call `follow` in a separate thread.

    Args:
        stream: The connection.
        script: The steps to follow.
        contexts: The context that shows the certificate, for each `StartTls` by its `id`.
        notes: Receives the record.
    """

    def __init__(self, stream: Stream, script: Script, contexts: Mapping[int, SSL.Context], notes: Notes) -> None:
        self._stream = notes.stream = stream
        self._script = script
        self._contexts = contexts
        self._notes = notes

    def follow(self) -> None:
        """Follow the script until it, the client or the server ends, then close the connection."""
        stream, notes = self._stream, self._notes
        try:
            for step in self._script:
                if not self._do(step):
                    break
            stream.close()
        except StoppedError:
            pass
        except GoneError:
            notes.error = notes.error or "the client reset the connection"
        except TlsError as error:
            notes.error = str(error)
            stream.close()
        finally:
            stream.abandon()
            self._take_all()
            notes.end()

    def _do(self, step: Step) -> bool:  # noqa: C901, PLR0911 - one case for each step
        """Execute a step, and return whether the script continues."""
        match step:
            case Send(data=data, piece=piece, every=every):
                self._send(_pieces(data, piece), every)
            case Repeat(data=data, size=size, piece=piece, every=every):
                self._send(_repeated(data, size, piece), every)
            case ReadLine():
                return self._line() is not None
            case Receive(seconds=seconds):
                return self._receive(seconds)
            case Answer():
                return self._answer(step)
            case StartTls():
                self._start_tls(step)
            case Pause(seconds=seconds):
                self._stream.pause(seconds)
            case Wait():
                self._wait()
                return False
            case Close():
                return False
            case Reset():
                self._stream.reset()
                return False
        return True

    def _send(self, pieces: Iterator[bytes], every: float) -> None:
        for number, piece in enumerate(pieces):
            if number and every:
                self._stream.pause(every)
            self._stream.send(piece)

    def _line(self) -> bytes | None:
        """Record and return the next line without its line end; None if no more will come."""
        inbox = self._stream.inbox
        beginning = b""
        while (at := inbox.find(b"\n")) < 0:
            if len(inbox) > LINE_BYTES:  # a line without an end must not fill the memory
                beginning = beginning or bytes(inbox[:LINE_BYTES])
                inbox.clear()
            if not self._stream.await_more():
                if beginning:
                    self._notes.heard(beginning, self._channel)
                return None
        line = beginning or bytes(inbox[:at])
        self._notes.heard(line, self._channel)  # before removing it from the inbox: see `Notes.left`
        del inbox[: at + 1]
        return line

    def _receive(self, seconds: float | None) -> bool:
        came = bool(self._stream.inbox) or self._stream.await_more(seconds)
        self._take_all()
        return came or not self._stream.finished

    def _answer(self, step: Answer) -> bool:
        while (line := self._line()) is not None:
            words = line.split(maxsplit=1)
            verb = words[0].decode("latin-1").upper() if words else ""
            if step.until and verb == step.until:
                return True
            self._stream.send(step.replies.get(verb, step.otherwise))
            if step.last and verb == step.last:
                return False
        return False

    def _start_tls(self, step: StartTls) -> None:
        before, size = self._stream.sent, len(step.certificate.der)

        def note() -> None:
            # Fewer bytes are a HelloRetryRequest, or an alert.
            if self._stream.sent - before >= size:
                self._notes.certificate = step.certificate.sha256

        tls = self._stream.start_tls(self._contexts[id(step)], note)
        self._notes.version = tls.get_protocol_version_name()
        self._notes.certificate = step.certificate.sha256

    def _wait(self) -> None:
        self._take_all()
        while self._stream.await_more():
            self._take_all()
        self._stream.pause(HALF_CLOSED_SECONDS)

    def _take_all(self) -> None:
        """Record everything that arrived, even bytes that form no line."""
        inbox = self._stream.inbox
        if inbox:
            for line in bytes(inbox).removesuffix(b"\n").split(b"\n"):
                self._notes.heard(line, self._channel)
            inbox.clear()

    @property
    def _channel(self) -> Said:
        return "clear" if self._stream.tls is None else "tls"


def _pieces(data: bytes, piece: int) -> Iterator[bytes]:
    size = piece or len(data) or 1
    return (data[at : at + size] for at in range(0, len(data), size))


def _repeated(data: bytes, size: int, piece: int) -> Iterator[bytes]:
    """`data` repeated up to `size` bytes, in pieces."""
    length = piece or _BLOCK
    block = data * (length // len(data) + 2)
    at = 0
    while at < size:
        begin = at % len(data)
        yield block[begin : begin + min(length, size - at)]
        at += length
