"""What a scripted server does on a connection, and what it witnessed there: data alone."""

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
        data: Sent as they are.
        piece: Bytes for each write, a TCP segment or a TLS record of its own; 0 for all at once.
        every: Seconds between two pieces.
    """

    data: bytes
    piece: int = 0
    every: float = 0.0


class Repeat(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Send the same bytes again and again.

    Attributes:
        data: The last time as much of them as `size` leaves.
        size: Bytes in total.
        piece: As in `Send`; 0 for large ones.
        every: As in `Send`.
    """

    data: bytes
    size: int
    piece: int = 0
    every: float = 0.0


class ReadLine(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Wait for one line of the client's, whatever it is."""


class Receive(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Wait for any bytes of the client's, such as a ClientHello, and take all that are there.

    Attributes:
        seconds: Go on after so long without any; None to wait for ever.
    """

    seconds: float | None = None


class Answer(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Answer the client's commands until one comes that ends this.

    Attributes:
        replies: Verb in upper case → the bytes to send.
        otherwise: For every other verb.
        until: The verb that ends this step, unanswered: the next step answers it. Empty for none.
        last: The verb behind whose reply the connection ends.
    """

    replies: dict[str, bytes]
    otherwise: bytes = b"502 Command not implemented.\r\n"
    until: str = ""
    last: str = "QUIT"


@dataclass(frozen=True, slots=True)
class StartTls:
    """Be the server in a TLS handshake; all later steps are in TLS. As the first step this is implicit FTPS.

    Attributes:
        certificate: Shown.
        chain: Sent after it; None for what is above the certificate.
        versions: The TLS versions offered.
    """

    certificate: Certificate
    chain: tuple[Certificate, ...] | None = None
    versions: tuple[str, ...] = ("1.2", "1.3")

    @property
    def sent(self) -> tuple[Certificate, ...]:
        """What is sent after the certificate."""
        return self.certificate.chain if self.chain is None else self.chain


class Pause(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Do nothing for so many seconds."""

    seconds: float


class Wait(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Say nothing until the client has left, or the server stops. What the client sends is taken.

    A client that only says that it has no more to send (half-closes) cannot be told from one that left: the connection
    stays open for `stream.HALF_CLOSED_SECONDS` more.
    """


class Close(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """End the connection in order, also TLS; every script ends like this."""


class Reset(Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """End the connection with RST."""


PlainStep = Send | Repeat | ReadLine | Receive | Answer | Pause | Wait | Close | Reset
"""The steps that travel as they are."""

Step = PlainStep | StartTls

Script = tuple[Step, ...]
"""What happens on one connection."""


def expect(verb: str) -> Answer:
    """Wait for a command; others get 502 meanwhile, and behind QUIT the connection ends."""
    return Answer({"QUIT": b"221 Goodbye.\r\n"}, until=verb)


class Heard(Struct, frozen=True):
    """A line of the client's without its end, or the beginning of a long one; also what came and is no line."""

    text: bytes
    channel: Literal["clear", "tls"]


class ScriptedConnection(Struct, frozen=True, kw_only=True):
    """What one connection was.

    Attributes:
        number: From 1 in each record.
        script: Which script it followed, from 0.
        peer: The client's address.
        began: Seconds since the record began.
        ended: The same; None while the server still holds the connection.
        left: The client has closed its side.
        tls: The handshake was completed.
        version: The TLS version, such as ``TLSv1.3``; empty without.
        certificate: The SHA-256 fingerprint of the leaf that was sent to the client, whether or not it went on; upper
            case with colons, empty for none.
        lines: What the client sent, bounded in number and length (`conversation.LINES`, `conversation.LINE_BYTES`).
        user: Whether it sent USER, however many lines were before.
        password: Whether it sent PASS.
        sent: Bytes to the client, those of TLS too.
        error: What went wrong, such as an alert of the client's; empty for nothing.
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
