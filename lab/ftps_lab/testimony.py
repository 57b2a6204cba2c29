"""What a server witnessed, as frozen data: connections, TLS handshakes and alerts, commands, credentials, transfers.

Pure: nothing here opens a socket. The recorder that fills it lives in `ftps_lab.recorder`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CAPTURED = 1 << 16
"""Bytes of a transfer's content that an attacker's testimony holds; its size and hash are of all of it."""

LISTINGS = frozenset({"LIST", "NLST", "MLSD"})
"""Commands that a listing answers, on a data connection (RFC 959 section 4.1.3, RFC 3659 section 7)."""

UPLOADS = frozenset({"STOR", "APPE", "STOU"})
"""Commands that bring a file to the server (RFC 959 section 4.1.3)."""

FILES = UPLOADS | {"RETR"}
"""Commands that transfer a file, in either direction."""

TRANSFERS = LISTINGS | FILES
"""Commands that use a data connection."""

TLS_IN_CLEAR = "TLS was begun where FTP in clear is spoken"
"""The error of a handshake that a client begins unasked, and no server takes up."""

Channel = Literal["clear", "tls"]
"""How a byte travelled: readable to anybody on the path, or inside a finished TLS handshake."""

# Times are seconds since the record began, None where the witness does not know them: a daemon's log does not. They say
# when something happened, not what, so testimony that differs in them alone is equal.


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP connection that the server accepted, or opened in active mode.

    Attributes:
        number: 1, 2, … in the order of acceptance within the record.
        kind: Control or data connection (RFC 959 section 2.2).
        peer: The client's address and port.
        opened: Seconds since the record began.
        greeted: The 220 was sent (control connections only).
        error: What went wrong on it inside the server, or an empty string.
        attack: Which attacker the client met, ``none`` for the genuine server (control connections only).
        attack_effect: Effect the attack had on this connection, in the words of `ServerSpec.effect`; empty if none.
        greeted_at: When the 220 was sent.
        attacked_at: When the attack first had its effect.
        closed_at: When it was closed, by either side.
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

    A finished handshake is no evidence of trust: lftp verifies afterwards (docs/lftp.md, "After a refusal").

    Attributes:
        connection: The number of its connection.
        completed: The server received the client's Finished.
        version: Such as ``TLSv1.3``; empty when the handshake did not complete.
        cipher: The cipher suite's OpenSSL name; empty when the handshake did not complete.
        server_name: The name in the client's SNI extension (RFC 6066 section 3), or None.
        certificate: SHA-256 fingerprint of the leaf that the server shows here, upper case with colons; empty where it
            never came to that.
        error: OpenSSL's words when it failed, or ours; else an empty string.
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
    """One FTP command that arrived, the channel that it came on, and the code of the first reply to it.

    What an impostor was told in TLS and is no command (a line without an end, or that was too long) has the verb "".

    `reply_text` is the first line of that reply, without its code; `at` and `reply_at` say when each of them passed.
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
    """A password that a client sent (PASS), for which user, on which channel, and whether it was let in.

    `password` is None where the witness cannot know it: a daemon's log masks it, and only of a login that was let in
    does anybody know which one it was.

    `among_arguments`: when it came, a process had it among its arguments, where every user of the machine sees it. Only
    the lab's own server in the place `sealed` looks for that.
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
        size: Bytes of content that passed.
        sha256: Hash of these bytes, lower-case hex.
        channel: Whether the data connection was in TLS.
        certificate: SHA-256 fingerprint of the leaf shown on the data connection; empty in clear.
        completed: The server considers the transfer complete (226).
        forged: The content is an attacker's invention: no secret, and nothing that the genuine server holds.
        captured: What an attacker in the middle holds of the content, or an impostor of an upload: its first `CAPTURED`
            bytes.
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
    """All that one server witnessed between two moments, in order.

    Attributes:
        role: Whose the account is. An attacker who ends TLS himself is an impostor, whoever stands behind him.
        behind: What the genuine server behind such an attacker witnessed of him, its client; None without one.
        sources: What the account is made of: ``server`` for one that records itself; ``log``, ``files`` and ``relay``
            for a daemon's.
        discrepancies: In what these sources do not agree, a sentence each. Any makes the account worth nothing.
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

    __test__ = False  # pytest collects classes called Test…

    @property
    def passwords(self) -> list[str]:
        """Every password that the server is known to have been told, in order."""
        return [credential.password for credential in self.credentials if credential.password is not None]

    @property
    def logged_in(self) -> bool:
        """At least one login was let in."""
        return any(credential.accepted for credential in self.credentials)


@dataclass(frozen=True, slots=True)
class WireRecord:
    """The raw bytes of one connection, as they were on the network.

    Attributes:
        kind: Control or data connection.
        peer: The client's address and port: with `kind`, what matches it to a `Connection`.
        to_server: What the client sent.
        to_client: What the server sent.
        secret: The server's handshake traffic secret (RFC 8446 section 7.1), by which the certificate that it showed
            in TLS 1.3 can be read; empty where that is not known, or not needed.
    """

    kind: Literal["control", "data"]
    peer: tuple[str, int]
    to_server: bytes
    to_client: bytes
    secret: bytes = b""


@dataclass(frozen=True, slots=True)
class Wire:
    """The wire tap's account of the same time: every connection's raw bytes."""

    records: tuple[WireRecord, ...] = ()

    def holds(self, secret: bytes) -> bool:
        """Whether the secret is readable anywhere in the raw bytes, in either direction."""
        return any(secret in record.to_server or secret in record.to_client for record in self.records)


@dataclass(frozen=True, slots=True)
class Record:
    """All that a server holds of the time since its record began.

    Attributes:
        complete: No connection was open any more.
        testimony: What it witnessed.
        wire: The raw bytes.
        before: The raw bytes of connections that met the server before it changed (`Server.change_after`).
    """

    complete: bool
    testimony: Testimony
    wire: Wire
    before: Wire = Wire()
