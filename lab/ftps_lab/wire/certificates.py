"""Which certificate a server showed on a connection, read from the raw bytes. Pure.

Before TLS 1.3 the Certificate message is in clear (RFC 5246 section 7.4.2). In TLS 1.3 it is encrypted with keys
derived from the server's handshake traffic secret (RFC 8446 sections 5.2, 7.1 and 7.3), which the lab's tap holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ftps_lab.wire import tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHORTEST_HELLO = 38
"""Bytes of a ServerHello without a session and without extensions."""


class _Suite(NamedTuple):
    """The hash and the cipher of a TLS 1.3 cipher suite (RFC 8446 appendix B.4)."""

    hash: hashes.HashAlgorithm
    key_length: int
    aead: type[AESGCM | ChaCha20Poly1305]


_SUITES = {
    0x1301: _Suite(hashes.SHA256(), 16, AESGCM),
    0x1302: _Suite(hashes.SHA384(), 32, AESGCM),
    0x1303: _Suite(hashes.SHA256(), 32, ChaCha20Poly1305),
}


def leaf(to_client: bytes, secret: bytes = b"") -> str | None:
    """SHA-256 fingerprint of the leaf that a server showed.

    Args:
        to_client: Everything that the server sent, from the first byte on.
        secret: Its handshake traffic secret; empty if unknown.

    Returns:
        An empty string if the server showed none: without TLS, before the Certificate message, or in a resumed session.
        None if it cannot be determined, without the secret or with one that does not fit.
    """
    begin = tls.begins(to_client, or_alert=True)
    if begin is None:
        return ""
    records, _ = tls.records(to_client[begin:])
    version, resumed = tls.server_hello(records)
    if version != "TLSv1.3":
        return _leaf(tls.messages(records, in_clear=False), context=False)
    if resumed:
        return ""
    suite = _SUITES.get(_suite(records))
    if suite is None or len(secret) != suite.hash.digest_size:
        return None
    found = list(_decrypted(records, secret, suite))
    return _leaf(tls.split_messages(b"".join(found)), context=True) if found else None


def _suite(records: Sequence[tls.Record]) -> int:
    """The suite of the last ServerHello: an earlier one only asks for another ClientHello (RFC 8446 section 4.1.4)."""
    messages = tls.messages(records, in_clear=True)
    hellos = [body for kind, body in messages if kind == tls.SERVER_HELLO and len(body) >= _SHORTEST_HELLO]
    after_session = 35 + hellos[-1][34]
    return int.from_bytes(hellos[-1][after_session : after_session + 2])


def _decrypted(records: Sequence[tls.Record], secret: bytes, suite: _Suite) -> Iterator[bytes]:
    """The handshake messages that the server sent encrypted, as far as this secret goes."""
    cipher = suite.aead(_expanded(secret, b"key", suite.key_length, suite.hash))
    vector = int.from_bytes(_expanded(secret, b"iv", 12, suite.hash))
    encrypted = (record for record in records if record.kind == tls.APPLICATION_DATA)
    for number, record in enumerate(encrypted):
        header = bytes((tls.APPLICATION_DATA, 3, 3)) + len(record.body).to_bytes(2)
        try:
            inner = cipher.decrypt((vector ^ number).to_bytes(12), record.body, header).rstrip(b"\0")
        except InvalidTag:
            return  # after the Finished the keys change
        if inner[-1:] == bytes((tls.HANDSHAKE,)):  # the type is the last byte of the plaintext
            yield inner[:-1]


def _expanded(secret: bytes, label: bytes, length: int, algorithm: hashes.HashAlgorithm) -> bytes:
    """HKDF-Expand-Label without a context (RFC 8446 section 7.1)."""
    full = b"tls13 " + label
    info = length.to_bytes(2) + bytes((len(full),)) + full + b"\0"
    return HKDFExpand(algorithm, length, info).derive(secret)


def _leaf(messages: Sequence[tuple[int, bytes]], *, context: bool) -> str:
    """The first certificate of a Certificate message; in TLS 1.3 a context precedes the list."""
    for kind, body in messages:
        if kind == tls.CERTIFICATE and body:
            listed = body[1 + body[0] :] if context else body
            certificate = listed[6 : 6 + int.from_bytes(listed[3:6])]
            return tls.fingerprint(certificate) if certificate else ""
    return ""
