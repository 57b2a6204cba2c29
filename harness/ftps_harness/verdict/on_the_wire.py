"""What an on-path attacker could read of one run, from the raw bytes. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from ftps_harness.verdict.needles import passwords_in_clear
from ftps_harness.verdict.observations import WireAccount
from ftps_harness.verdict.traffic import NOTHING, Elsewhere
from ftps_lab.wire import tls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.sandbox.secrets import Secrets
    from ftps_harness.verdict.needles import Passwords
    from ftps_lab.attackers.records import BehindAuth
    from ftps_lab.testimony import Testimony, Wire

_HEAD, _FLOWS = 1 << 11, 100
"""Bytes of each stream, and streams, in which pieces of a password are searched for: what precedes TLS is short."""

_ACCEPTED = re.compile(rb"^234 [^\n]*\n", re.MULTILINE)
"""The server's reply that accepts AUTH (RFC 4217 section 4): everything after it should be TLS."""

_FEATURE = re.compile(rb"^ AUTH\b", re.MULTILINE)
"""AUTH in the reply to FEAT (RFC 2389 section 3.2)."""


def account(
    wire: Wire, testimony: Testimony, secrets: Secrets, passwords: Passwords, other: Elsewhere = NOTHING
) -> WireAccount:
    """Read the tap, and `other`, a capture of all traffic.

    Any password sent in clear text counts; `passwords` are searched for as well.

    Content without one of our marks (a user's own file, one of three bytes) is recognized by its hash: a data
    connection in clear text consists of nothing else.
    """
    from ftps_lab.wire.certificates import leaf  # imported here: reading scenarios must not load a TLS library

    tapped = [stream for record in wire.records for stream in (record.to_server, record.to_client)]
    streams = list(dict.fromkeys((*tapped, *other.streams)))  # the capture has the tap's streams once more
    in_clear = {t.sha256 for t in testimony.transfers if t.channel == "clear" and t.size and not t.forged}
    known = bool(in_clear) and any(hashlib.sha256(stream).hexdigest() in in_clear for stream in streams)
    control = [record for record in wire.records if record.kind == "control"]
    heard = [record.to_client for record in control]
    return WireAccount(
        connections=tuple((record.kind, record.peer[1]) for record in wire.records),
        password=any(passwords_in_clear((*wire.records, *other.strangers)))
        or any(map(passwords.found_in, streams))
        or passwords.found_in_pieces(stream[:_HEAD] for stream in streams[:_FLOWS]),
        payload=known or any(map(secrets.find_payload, _whole(streams))),
        volumes=tuple((len(record.to_server), len(record.to_client)) for record in wire.records),
        behind_auth=frozenset(_behind_auth(heard)),
        lists_auth=any(map(_FEATURE.search, _in_clear(heard))),
        talks=frozenset((r.kind, r.peer[1]) for r in control if _talks(r.to_server)),
        hellos=frozenset(
            (r.kind, r.peer[1]) for r in wire.records if r.kind == "control" and tls.begins(r.to_server) is not None
        ),
        elsewhere=other,
        leaves=tuple(leaf(record.to_client, record.secret) for record in wire.records),
    )


def _whole(streams: list[bytes]) -> list[bytes]:
    """Remove streams that another one continues: the capture has the beginning of a long stream, the tap all of it."""
    return [each for each in streams if not any(len(o) > len(each) and o.startswith(each) for o in streams)]


def _behind_auth(heard: list[bytes]) -> Iterator[BehindAuth]:
    for stream in heard:
        if stream.startswith(b"220") and (accepted := _ACCEPTED.search(stream)):
            rest = stream[accepted.end() :]
            if not rest:
                yield "nothing"
            elif rest[0] == tls.ALERT:
                yield "alert"
            else:
                yield "tls" if rest[0] in tls.TYPES else "text"


def _talks(stream: bytes) -> bool:
    """Whether a client sent two commands in TLS, as a client that logs in does.

    A single one may be a command that lftp had queued when it refused a certificate (docs/lftp.md, "After a refusal").
    If lftp disconnected at once, the server may not have received it. In TLS 1.3 the client's Finished is the first
    record that looks like a command; in TLS 1.2 it is a handshake record after the ChangeCipherSpec (RFC 5246
    section 7.1).
    """
    begin = tls.begins(stream)
    if begin is None:
        return False
    commands, changed, finished = 0, False, False
    for record in tls.walk(stream, begin):
        commands += record.kind == tls.APPLICATION_DATA and record.length > tls.ENCRYPTED_ALERT
        changed |= record.kind == tls.CHANGE_CIPHER_SPEC
        # A second ClientHello may occur there too; it is in clear text (RFC 8446 section 4).
        finished |= changed and record.kind == tls.HANDSHAKE and record.body[:1] != bytes((tls.CLIENT_HELLO,))
    return commands - (not finished) >= 2  # USER and PASS


def _in_clear(heard: list[bytes]) -> Iterator[bytes]:
    """The server's text before TLS."""
    for stream in heard:
        if stream.startswith(b"220"):
            accepted = _ACCEPTED.search(stream)
            yield stream[: accepted.end()] if accepted else stream
