"""What a server witnessed, as frozen data: connections, TLS handshakes and alerts, commands, credentials, transfers.

Pure: nothing here opens a socket. The recorder in `ftps_lab.recorder` fills it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CAPTURED = 1 << 16
"""Maximum bytes of a transfer's content in an attacker's testimony; its size and hash cover all of the content."""

LISTINGS = frozenset({"LIST", "NLST", "MLSD"})
"""Commands that return a listing on a data connection (RFC 959 section 4.1.3, RFC 3659 section 7)."""

UPLOADS = frozenset({"STOR", "APPE", "STOU"})
"""Commands that upload a file (RFC 959 section 4.1.3)."""

FILES = UPLOADS | {"RETR"}
"""Commands that transfer a file, in either direction."""

TRANSFERS = LISTINGS | FILES
"""Commands that use a data connection."""

TLS_IN_CLEAR = "the client started TLS where the server expects FTP in clear"
"""The error of a handshake that a client starts unrequested and no server answers."""

Channel = Literal["clear", "tls"]
"""How a byte travelled: readable by any on-path attacker, or inside a completed TLS handshake."""

# Times are seconds since the record began, or None if the witness does not know them, as with a daemon's log. They say
# when something happened, not what, so testimony that differs only in them is equal.


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP connection that the server accepted, or opened in active mode.

    Attributes:
        number: 1, 2, … in the order of acceptance within the record.
        kind: Control or data connection (RFC 959 section 2.2).
        peer: The client's address and port.
        opened: Seconds since the record began.
        greeted: The 220 was sent (control connections only).
        error: The server's internal error on it, or an empty string.
        attack: The attacker that the client met, ``none`` for the genuine server (control connections only).
        attack_effect: Effect the attack had on this connection, in the words of `ServerSpec.effect`; empty if none.
        greeted_at: When the 220 was sent.
        attacked_at: When the attack first had its effect.
        closed_at: When either side closed it.
    """

    number: int
    kind: Literal["control", "data"]
    peer: tuple[str, int]
    opened: float
    greeted: bool = False
    error: str = ""
    attack: str = "none"
    attack_effect: str = ""
    greeted_at: float | None = field(default=None, compare=False)
    attacked_at: float | None = field(default=None, compare=False)
    closed_at: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Handshake:
    """One TLS handshake, as the server saw it.

    A completed handshake is not evidence of trust: lftp verifies afterwards (docs/lftp.md, "After a refusal").

    Attributes:
        connection: The number of its connection.
        completed: The server received the client's Finished.
        version: Such as ``TLSv1.3``; empty if the handshake did not complete.
        cipher: The cipher suite's OpenSSL name; empty if the handshake did not complete.
        server_name: The name in the client's SNI extension (RFC 6066 section 3), or None.
        certificate: SHA-256 fingerprint of the leaf that the server shows here, upper case with colons; empty if the
            handshake never got that far.
        error: The error message if it failed, OpenSSL's or ours; else an empty string.
        at: When it ended.
    """

    connection: int
    completed: bool
    version: str
    cipher: str
    server_name: str | None
    certificate: str
    error: str = ""
    at: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Alert:
    """One TLS alert (RFC 8446 section 6), `sent` or `received` by the server."""

    connection: int
    direction: Literal["sent", "received"]
    level: str
    description: str
    at: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Command:
    """One FTP command that arrived, its channel, and the code of the first reply to it.

    Text in TLS to an impostor that is not a command (an unterminated or overlong line) has the verb "".

    `reply_text` is the first line of that reply, without its code; `at` and `reply_at` say when each passed.
    """

    connection: int
    verb: str
    argument: str
    channel: Channel
    reply: int | None = None
    at: float | None = field(default=None, compare=False)
    reply_at: float | None = field(default=None, compare=False)
    reply_text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Credential:
    """A password that a client sent (PASS), its user, its channel, and whether the server accepted it.

    `password` is None if the witness cannot know it: a daemon's log masks it, and the password is known only for an
    accepted login.

    `among_arguments`: when the password arrived, a process had it among its arguments, where every user of the machine
    can see it. Only the lab's own server in the place `sealed` checks this.
    """

    connection: int
    user: str
    password: str | None
    channel: Channel
    accepted: bool
    among_arguments: bool = False
    at: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer on a data connection.

    Attributes:
        connection: The number of the data connection.
        control: The number of the control connection that asked for it.
        verb: One of `TRANSFERS`.
        name: The file's name below the server's root; the argument for listings.
        direction: Seen from the client.
        size: Bytes of content transferred.
        sha256: Hash of these bytes, lower-case hex.
        channel: Whether the data connection was in TLS.
        certificate: SHA-256 fingerprint of the leaf shown on the data connection; empty in clear.
        completed: The server considers the transfer complete (226).
        forged: An attacker made up the content: it is not a secret, and the genuine server does not have it.
        captured: The content's first `CAPTURED` bytes, as seen by an attacker in the middle, or by an impostor for an
            upload.
        at: When it ended.
    """

    connection: int
    control: int
    verb: str
    name: str
    direction: Literal["download", "upload"]
    size: int
    sha256: str
    channel: Channel
    certificate: str
    completed: bool
    forged: bool = False
    captured: bytes = b""
    at: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Testimony:
    """Everything that one server witnessed between two moments, in order.

    Attributes:
        role: Whose testimony it is. An attacker that terminates TLS is an impostor, even if it has a server behind it.
        behind: The testimony of the genuine server behind such an attacker, which is its client; None without one.
        sources: The sources of the testimony: ``server`` for one that records itself; ``log``, ``files`` and ``relay``
            for a daemon's.
        discrepancies: Contradictions between these sources, a sentence each. Any of them makes the testimony worthless.
    """

    role: Literal["genuine", "impostor"]
    connections: tuple[Connection, ...] = ()
    handshakes: tuple[Handshake, ...] = ()
    alerts: tuple[Alert, ...] = ()
    commands: tuple[Command, ...] = ()
    credentials: tuple[Credential, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    behind: Testimony | None = None
    sources: tuple[str, ...] = ("server",)
    discrepancies: tuple[str, ...] = ()

    __test__ = False  # pytest would collect a class called Test…

    @property
    def passwords(self) -> list[str]:
        """Every password that the server is known to have received, in order."""
        return [credential.password for credential in self.credentials if credential.password is not None]

    @property
    def logged_in(self) -> bool:
        """The server accepted at least one login."""
        return any(credential.accepted for credential in self.credentials)


@dataclass(frozen=True, slots=True)
class WireRecord:
    """The raw bytes of one connection, as they were on the network.

    Attributes:
        kind: Control or data connection.
        peer: The client's address and port; with `kind`, it identifies the `Connection`.
        to_server: What the client sent.
        to_client: What the server sent.
        secret: The server's handshake traffic secret (RFC 8446 section 7.1), which decrypts the certificate that it
            showed in TLS 1.3; empty if unknown or not needed.
    """

    kind: Literal["control", "data"]
    peer: tuple[str, int]
    to_server: bytes
    to_client: bytes
    secret: bytes = b""


@dataclass(frozen=True, slots=True)
class Wire:
    """The wire tap's record of the same time: every connection's raw bytes."""

    records: tuple[WireRecord, ...] = ()

    def holds(self, secret: bytes) -> bool:
        """Whether the raw bytes contain the secret, in either direction."""
        return any(secret in record.to_server or secret in record.to_client for record in self.records)


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that a server has recorded since its record began.

    Attributes:
        complete: No connection was still open.
        testimony: What it witnessed.
        wire: The raw bytes.
        before: The raw bytes of connections before the server changed (`Server.change_after`).
    """

    complete: bool
    testimony: Testimony
    wire: Wire
    before: Wire = Wire()
