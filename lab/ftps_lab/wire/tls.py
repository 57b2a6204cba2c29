"""What the raw bytes of a TLS connection reveal without its keys. Pure.

Lengths and types of records are in clear (RFC 8446 section 5.1, RFC 5246 section 6.2.1), as are both hellos and, before
TLS 1.3, the certificate. A handshake was completed if the client's Finished passed and the server then sent anything
but an alert.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ftps_lab.testimony import Alert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HEADER = 5
"""Length in bytes of a record's header: type, version, length."""

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
TYPES = range(CHANGE_CIPHER_SPEC, APPLICATION_DATA + 1)
"""First bytes that start a record but never an FTP command or reply (RFC 8446 section 5.1)."""

FIRST = bytes((HANDSHAKE,))
"""The first byte of a client's TLS."""

CLIENT_HELLO, SERVER_HELLO, CERTIFICATE = 1, 2, 11

ENCRYPTED_ALERT = 19
"""Length of an alert's record in TLS 1.3: 2 bytes, 1 for its type, 16 for the tag (all suites but one of RFC 8446)."""

ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
"""RFC 8446 section 6.2, the AlertDescription values."""


_BEGIN = re.compile(rb"(?:\A|\n)(?=\x16\x03)")
_BEGIN_OR_ALERT = re.compile(rb"(?:\A|\n)(?=[\x15\x16]\x03)")

_LONGEST = (1 << 14) + 2048
_LARGEST_ALERT = 64
"""Bytes of a record that holds an alert, whatever the cipher suite."""

_SNI, _PRE_SHARED_KEY, _SUPPORTED_VERSIONS = 0, 41, 43
_VERSIONS = {0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_SHORTEST_FINISHED = 53
"""Length of a Finished's record in TLS 1.3: 4 + 32 bytes, 1 for its type, 16 for the tag."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its type, where it starts and ends in its stream, and the part of it that the stream holds."""

    kind: int
    start: int
    end: int
    body: bytes

    @property
    def length(self) -> int:
        """Length of its body according to its header."""
        return self.end - self.start - HEADER


@dataclass(frozen=True, slots=True)
class Seen:
    """What one connection's raw bytes reveal about its TLS.

    Attributes:
        pure: Both directions consist only of TLS records; the last may be truncated.
        version: The TLS version, such as ``TLSv1.3``; empty without a ServerHello.
        server_name: The name in the client's SNI extension.
        finished: The client's Finished passed.
        answered: After it the server sent something other than an alert.
        certificate: SHA-256 fingerprint of the leaf, if it is in clear (before TLS 1.3, full handshakes).
        alerts: Direction as seen from the server, level and number of the alerts in clear.
        listed: Lower bound on the bytes of content from the server.
        stored: Lower bound on the bytes of content from the client.
        turns: Lower bound on the client messages answered after Finished.
    """

    pure: bool
    began: bool
    version: str = ""
    server_name: str | None = None
    resumed: bool = False
    finished: bool = False
    answered: bool = False
    certificate: str = ""
    alerts: tuple[tuple[Literal["sent", "received"], int, int], ...] = ()
    listed: int = 0
    stored: int = 0
    turns: int = 0


def begins(stream: bytes, *, or_alert: bool = False) -> int | None:
    """Where one side of a control connection starts TLS: at once, or after a line of FTP; None if it never does.

    Args:
        stream: Everything that this side sent.
        or_alert: Accept an alert as the start too, as from a server.
    """
    found = (_BEGIN_OR_ALERT if or_alert else _BEGIN).search(stream)
    return None if found is None else found.end()


def body_length(header: bytes | bytearray) -> int:
    """How many bytes follow a record's header."""
    return int.from_bytes(header[3:HEADER])


def walk(stream: bytes | bytearray, at: int = 0) -> Iterator[Record]:
    """The records of a stream from an offset on, whatever their type; the last may be truncated."""
    while at + HEADER <= len(stream):
        end = at + HEADER + body_length(stream[at : at + HEADER])
        yield Record(stream[at], at, end, bytes(stream[at + HEADER : end]))
        at = end


def records(stream: bytes) -> tuple[list[Record], bool]:
    """The complete records of a stream, and whether it consists of records only (the last may be truncated)."""
    found: list[Record] = []
    for record in walk(stream):
        if not _may_begin(stream[record.start : record.start + 2]) or not 0 < record.length <= _LONGEST:
            return found, False
        if record.end > len(stream):
            return found, True
        found.append(record)
    rest = stream[found[-1].end if found else 0 :]
    return found, not rest or _may_begin(rest)


def _may_begin(rest: bytes) -> bool:
    """Whether a record can start with these bytes."""
    return rest[0] in TYPES and rest[1:2] in {b"", b"\x03"}


def is_client_hello(head: bytes, size: int) -> bool:
    """Whether a stream of `size` bytes that starts with `head` is one ClientHello and nothing else.

    A client that wants TLS on a data connection that the server keeps in clear sends a ClientHello instead of content.
    `head` holds a record's header and the type of the message in it, or less.
    """
    first = next(walk(head), None)
    return (
        first is not None
        and (first.kind, head[1:2]) == (HANDSHAKE, b"\x03")
        and (first.body[:1], first.end) == (bytes((CLIENT_HELLO,)), size)
    )


def read(
    to_server: bytes, to_client: bytes, heard_before: Callable[[int], int], tickets: tuple[int, int] = (2, 1)
) -> Seen:
    """Read the TLS of two streams, from its first byte on.

    Args:
        to_server: What the client sent.
        to_client: What the server sent.
        heard_before: Returns how many bytes the server had sent when the client's stream reached an offset.
        tickets: How many session tickets the server sends first after the client's Finished in TLS 1.3, in a full
            handshake and when it resumes: OpenSSL's defaults (SSL_CTX_set_num_tickets(3)).
    """
    up, up_pure = records(to_server)
    down, down_pure = records(to_client)
    pure = up_pure and down_pure and (not up or up[0].kind == HANDSHAKE)
    hello = next((body for kind, body in messages(up, in_clear=True) if kind == CLIENT_HELLO), None)
    version, resumed = server_hello(down)
    is_13 = version == "TLSv1.3"
    finished = _finished_13(up) if is_13 else _after_change(up)
    seen = Seen(
        pure=pure,
        began=hello is not None,
        version=version,
        server_name=None if hello is None else _server_name(hello),
        resumed=resumed,
        finished=finished is not None and bool(version),
        certificate="" if is_13 else _leaf(down),
        alerts=(*_alerts(up, "received"), *_alerts(down, "sent")),
    )
    if finished is None or not version:
        return seen
    later = [record for record in down if record.start >= heard_before(finished.end)]
    answered = any(r.kind == APPLICATION_DATA and (not is_13 or len(r.body) != ENCRYPTED_ALERT) for r in later)
    if not is_13:
        # In a full handshake the server's Finished comes after the client's, and proves that the client's was valid.
        mine = _after_change(down)
        answered = answered or (mine is not None and mine in later)
    listed = _content_13(later, tickets[resumed]) if is_13 else _content_12(down)
    stored = sum(len(r.body) - 17 for r in up if r.start >= finished.end and len(r.body) > ENCRYPTED_ALERT)
    answers = _said(later, 0)[tickets[resumed] if is_13 else 0 :]
    return replace(
        seen,
        answered=answered,
        listed=listed,
        stored=stored if is_13 else _content_12(up),
        turns=turns([r.end for r in _said(up, finished.end)], [r.start for r in answers], heard_before),
    )


def fingerprint(der: bytes) -> str:
    """SHA-256, upper case with colons, in the format of `Certificate.sha256`."""
    return hashlib.sha256(der).digest().hex(":").upper()


def alert_of(connection: int, alert: tuple[Literal["sent", "received"], int, int]) -> Alert:
    """Convert an alert in clear to the testimony's format."""
    direction, level, number = alert
    return Alert(connection, direction, "fatal" if level == 2 else "warning", ALERTS.get(number, f"alert {number}"))


def messages(found: Sequence[Record], *, in_clear: bool) -> list[tuple[int, bytes]]:
    """The handshake messages of these records; `in_clear` includes those after ChangeCipherSpec, as in clear."""
    stream = b""
    for record in found:
        if record.kind == CHANGE_CIPHER_SPEC and not in_clear:
            break
        if record.kind == HANDSHAKE:
            stream += record.body
    return split_messages(stream)


def split_messages(stream: bytes) -> list[tuple[int, bytes]]:
    """The complete handshake messages of a stream, with their types (RFC 8446 section 4)."""
    found = []
    while len(stream) >= 4:
        length = int.from_bytes(stream[1:4])
        if len(stream) < 4 + length:
            break
        found.append((stream[0], stream[4 : 4 + length]))
        stream = stream[4 + length :]
    return found


def server_hello(down: Sequence[Record]) -> tuple[str, bool]:
    """The version, and whether a session was resumed in the TLS 1.3 way."""
    version, resumed = "", False
    for kind, body in messages(down, in_clear=False) + messages(down, in_clear=True):
        if kind != SERVER_HELLO or len(body) < 38:
            continue
        number = int.from_bytes(body[:2])
        extensions = _extensions(body[35 + body[34] + 3 :])
        number = int.from_bytes(extensions.get(_SUPPORTED_VERSIONS, body[:2]))
        if not version or number == 0x0304:
            version = _VERSIONS.get(number, f"version {number:#06x}")
        resumed |= _PRE_SHARED_KEY in extensions
        if number != 0x0304:
            break
    return version, resumed


def _server_name(hello: bytes) -> str | None:
    at = 34
    for width in (1, 2, 1):  # session id, cipher suites, compression methods
        at += width + int.from_bytes(hello[at : at + width])
    names = _extensions(hello[at:]).get(_SNI, b"")
    return names[5 : 5 + int.from_bytes(names[3:5])].decode("ascii", "replace") if len(names) > 5 else None


def _extensions(block: bytes) -> dict[int, bytes]:
    found = {}
    end, at = 2 + int.from_bytes(block[:2]), 2
    while at + 4 <= min(end, len(block)):
        length = int.from_bytes(block[at + 2 : at + 4])
        found[int.from_bytes(block[at : at + 2])] = block[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _leaf(down: Sequence[Record]) -> str:
    for kind, body in messages(down, in_clear=False):
        if kind == CERTIFICATE and len(body) > 6:
            return fingerprint(body[6 : 6 + int.from_bytes(body[3:6])])
    return ""


def _finished_13(up: Sequence[Record]) -> Record | None:
    first = next((record for record in up if record.kind == APPLICATION_DATA), None)
    return first if first is not None and len(first.body) >= _SHORTEST_FINISHED else None


def _after_change(found: Sequence[Record]) -> Record | None:
    """The encrypted handshake record after ChangeCipherSpec: the Finished before TLS 1.3."""
    changed = False
    for record in found:
        if changed:
            return record if record.kind == HANDSHAKE else None
        changed = record.kind == CHANGE_CIPHER_SPEC
    return None


def _alerts(
    found: Sequence[Record], direction: Literal["sent", "received"]
) -> list[tuple[Literal["sent", "received"], int, int]]:
    return [(direction, r.body[0], r.body[1]) for r in found if r.kind == ALERT and len(r.body) == 2]


def _content_13(later: Sequence[Record], tickets: int) -> int:
    data = [len(record.body) for record in later if record.kind == APPLICATION_DATA]
    return sum(length - 17 for length in data[tickets:] if length > ENCRYPTED_ALERT)


def _content_12(down: Sequence[Record]) -> int:
    """Content bytes before TLS 1.3, less 64 a record: more than AEAD suites add, or CBC's MAC, IV and usual padding."""
    data = [len(record.body) for record in down if record.kind == APPLICATION_DATA]
    return sum(max(length - 64, int(length > 40)) for length in data)


def _said(found: Sequence[Record], start: int) -> list[Record]:
    """The content records from an offset on: TLS 1.3 alerts have the same type, but are shorter."""
    return [r for r in found if r.kind == APPLICATION_DATA and r.start >= start and len(r.body) > ENCRYPTED_ALERT]


def turns(asked: Sequence[int], answers: Sequence[int], heard_before: Callable[[int], int]) -> int:
    """How many answers followed a request that was sent after the previous answer.

    Requests sent together, or during an answer, count once: the server may have left some of them unread.

    Args:
        asked: Where each request ends in the client's stream.
        answers: Where each answer starts in the server's stream.
        heard_before: As in `read`.
    """
    counted, newest = 0, -1
    for end in asked:
        heard = heard_before(end)
        index = bisect_left(answers, heard)
        if index < len(answers) and heard > newest:
            counted, newest = counted + 1, answers[index]
    return counted


def carries_content(sent: bytes | bytearray) -> bool:
    """Whether a client sent more than a handshake and alerts on a data connection, which means an upload.

    In TLS 1.3 its Finished is the first record that looks like application data (RFC 8446 section 5.2).
    """
    if sent[:1] != FIRST:
        return bool(sent)
    content = (record for record in walk(sent) if record.kind == APPLICATION_DATA)
    next(content, None)
    return any(record.length > _LARGEST_ALERT for record in content)
