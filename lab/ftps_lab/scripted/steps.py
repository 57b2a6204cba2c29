"""What a scripted server does on a connection, and what it witnessed there, as pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from ftps_lab.certificates import Certificate

Said = Literal["", "clear", "tls"]
"""Whether something was sent, and on which channel first."""


class Send(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Send bytes.

    Attributes:
        data: The bytes to send, unchanged.
        piece: Bytes per write, each a separate TCP segment or TLS record; 0 for all at once.
        every: Seconds between two pieces.
    """

    data: bytes
    piece: int = 0
    every: float = 0.0


class Repeat(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Send the same bytes again and again.

    Attributes:
        data: The bytes to repeat; the last repetition is cut to fit `size`.
        size: Bytes in total.
        piece: As in `Send`; 0 for large ones.
        every: As in `Send`.
    """

    data: bytes
    size: int
    piece: int = 0
    every: float = 0.0


class ReadLine(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Wait for any line from the client."""


class Receive(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Wait for any bytes from the client, such as a ClientHello, and read all that are available.

    Attributes:
        seconds: Continue after this time without any; None to wait for ever.
    """

    seconds: float | None = None


class Answer(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Answer the client's commands until one ends this step.

    Attributes:
        replies: Verb in upper case → the bytes to send.
        otherwise: The bytes to send for every other verb.
        until: The verb that ends this step, unanswered: the next step answers it. Empty for none.
        last: The verb after whose reply the connection ends.
    """

    replies: dict[str, bytes]
    otherwise: bytes = b"502 Command not implemented.\r\n"
    until: str = ""
    last: str = "QUIT"


@dataclass(frozen=True, slots=True)
class StartTls:
    """Act as the server in a TLS handshake; all later steps are in TLS. As the first step this is implicit FTPS.

    Attributes:
        certificate: The leaf that the server shows.
        chain: Certificates sent after the leaf; None for those above it.
        versions: The TLS versions offered.
    """

    certificate: Certificate
    chain: tuple[Certificate, ...] | None = None
    versions: tuple[str, ...] = ("1.2", "1.3")

    @property
    def sent(self) -> tuple[Certificate, ...]:
        """The certificates sent after the leaf."""
        return self.certificate.chain if self.chain is None else self.chain


class Pause(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Do nothing for a number of seconds."""

    seconds: float


class Wait(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Send nothing until the client has left, or the server stops; read what the client sends.

    A client that only half-closes the connection is indistinguishable from one that left, so the connection stays open
    for another `stream.HALF_CLOSED_SECONDS`.
    """


class Close(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Close the connection properly, including TLS; every script ends this way."""


class Reset(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """End the connection with RST."""


PlainStep = Send | Repeat | ReadLine | Receive | Answer | Pause | Wait | Close | Reset
"""The steps that are serialized unchanged."""

Step = PlainStep | StartTls

Script = tuple[Step, ...]
"""The steps for one connection."""


def expect(verb: str) -> Answer:
    """Wait for a command; others get 502 meanwhile, and QUIT ends the connection."""
    return Answer({"QUIT": b"221 Goodbye.\r\n"}, until=verb)


class Heard(Struct, frozen=True):
    """A line from the client without its line end, or the start of a long one; also bytes that form no line."""

    text: bytes
    channel: Literal["clear", "tls"]


class ScriptedConnection(Struct, frozen=True, kw_only=True):
    """What happened on one connection.

    Attributes:
        number: Counts from 1 in each record.
        script: Index of the script that it followed, from 0.
        peer: The client's address.
        began: Seconds since the record started.
        ended: The same for its end; None while the server still holds the connection.
        left: The client has closed its side.
        tls: The handshake was completed.
        version: The TLS version, such as ``TLSv1.3``; empty without TLS.
        certificate: The SHA-256 fingerprint of the leaf that was sent to the client, whether or not it continued; upper
            case with colons, empty for none.
        lines: What the client sent, bounded in number and length (`conversation.LINES`, `conversation.LINE_BYTES`).
        user: Whether it sent USER, no matter after how many lines.
        password: Whether it sent PASS.
        sent: Bytes sent to the client, including TLS overhead.
        error: What went wrong, such as an alert from the client; empty if nothing did.
    """

    number: int
    script: int
    peer: tuple[str, int]
    began: float
    ended: float | None = None
    left: bool = False
    tls: bool = False
    version: str = ""
    certificate: str = ""
    lines: tuple[Heard, ...] = ()
    user: Said = ""
    password: Said = ""
    sent: int = 0
    error: str = ""
