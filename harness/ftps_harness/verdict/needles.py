"""The passwords of one run, and the search for them in bytes, in any encoding. Pure.

Any password that a client sends is a secret, whether the lab invented it, the scenario gives it, or lftp took it from a
``.netrc``, a URL or a bookmark. So the set contains declared and observed passwords: credentials in the servers'
testimony, and PASS and Basic authentication in clear text on the wire.
"""

from __future__ import annotations

import base64
import functools
import re
from binascii import Error as BadBase64
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from ftps_harness.verdict import disguises

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_lab.testimony import Credential, Testimony, WireRecord

SHORTEST = 6
"""Bytes. A shorter password occurs by chance in a stream of TLS: it counts only as an argument of PASS."""

_ENCODED_TEXT = 1 << 20
"""Bytes. In longer streams, base64 is searched only in one piece, not broken into lines (RFC 2045 section 6.8)."""

_ANONYMOUS_USER = "anonymous"
_LFTPS_OWN = "lftp@"
"""The password that lftp sends for an anonymous login by default (``ftp:anon-pass``); it is public."""

_LOGIN = re.compile(rb"(?:\A|\n)[ \t]*(USER|PASS)[ \t]([^\r\n]*)", re.IGNORECASE)
"""USER and PASS (RFC 959 section 4.1.1) in the text that a client sends."""

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
"""A byte in a URL (RFC 3986 section 2.1)."""

_URL = re.compile(rb"(?:\A|\n)[A-Z]+[ \t]+[a-z]+://([^\s/:@]*):([^\s/@]+)@")
"""User and password in the target of an HTTP request: lftp sends them to a proxy with ``hftp:use-authorization no``."""

_BASIC = re.compile(rb"(?:\A|\n)(?:Proxy-)?Authorization:[ \t]*Basic[ \t]+([A-Za-z0-9+/=]+)", re.IGNORECASE)
"""Basic authentication, as sent to an HTTP proxy (RFC 7617 section 2)."""


@dataclass(frozen=True, slots=True)
class Passwords:
    """Passwords to search for; `Passwords.of` creates it.

    Attributes:
        plain: Each password as bytes, in UTF-8 and in Latin-1.
        encoded: Each of these in base64 at its three alignments, so that ``user:password`` is found too, and in hex.
        disguised: Each in the forms of `disguises`.
        public: The names that anyone may read.
    """

    plain: tuple[bytes, ...] = ()
    encoded: tuple[bytes, ...] = ()
    disguised: tuple[bytes, ...] = ()
    public: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, passwords: Iterable[str], public: Iterable[str] = ()) -> Passwords:
        """Prepare a search.

        Args:
            passwords: The secrets. Those shorter than `SHORTEST` are left out, and so are those that are part of a
                public name: both would be found where no password was sent.
            public: Names that anyone may read, such as the user's and the host's.
        """
        names = frozenset(public)
        return cls(
            *_forms(frozenset(passwords), names), tuple(name.encode("utf-8", "surrogateescape") for name in names)
        )

    def found_in(self, data: bytes) -> bool:
        """Whether the bytes contain any of the passwords: plain, encoded, or disguised (`disguises`)."""
        if any(map(data.__contains__, (*self.plain, *self.encoded))):
            return True
        if len(data) <= _ENCODED_TEXT and any(map(data.translate(None, b"\r\n").__contains__, self.encoded)):
            return True
        if disguises.found(self.disguised, self.plain, data):
            return True
        if not self.plain or b"%" not in data:
            return False
        decoded = _PERCENT.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), data)
        return any(form in decoded or form.replace(b" ", b"+") in decoded for form in self.plain)

    def found_in_pieces(self, parts: Iterable[bytes]) -> bool:
        """Whether short texts, together and in any order, contain almost all of a password."""
        return disguises.in_pieces(self.disguised, self.public, parts)

    def found_in_upper_case(self, data: bytes) -> bool:
        """The same for bytes converted to upper case, as a server does with the verb of a command."""
        upper = data.upper()
        if any(needle.upper() in upper for needle in (*self.plain, *self.encoded)):
            return True
        return disguises.found(self.disguised, (), data)


@functools.lru_cache(maxsize=64)  # all runs of a step have the same passwords
def _forms(
    passwords: frozenset[str], public: frozenset[str]
) -> tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]:
    """The fields of `Passwords`."""
    names = [name.casefold() for name in public]
    secret = sorted(p for p in passwords if not any(p.casefold() in name for name in names))
    forms = (form for password in secret for form in _in_bytes(password) if len(form) >= SHORTEST)
    plain = tuple(dict.fromkeys(forms))
    encoded = tuple(dict.fromkeys(needle for form in plain for needle in _encodings(form)))
    disguised = tuple(dict.fromkeys(needle for form in plain for needle in disguises.of(form)))
    return plain, encoded, disguised


def is_secret(credential: Credential) -> bool:
    """Whether a password that a client sent is known and secret; an anonymous login has none (RFC 1635)."""
    return bool(credential.password) and not _is_public(credential.user, credential.password or "")


def passwords_sent(testimony: Testimony) -> Iterator[str]:
    """The passwords that servers received, including the one behind an attacker in the middle."""
    for account in filter(None, (testimony, testimony.behind)):
        yield from (c.password for c in account.credentials if c.password and is_secret(c))


def passwords_in_clear(records: Iterable[WireRecord]) -> Iterator[str]:
    """The passwords that clients sent in clear text on control connections: any on-path attacker has them."""
    for record in records:
        if record.kind == "control":
            yield from _ftp_passwords(record.to_server)
            yield from _basic_passwords(record.to_server)
            yield from _url_passwords(record.to_server)


def _ftp_passwords(stream: bytes) -> Iterator[str]:
    user = ""
    for verb, argument in _LOGIN.findall(stream):
        text = as_text(argument)
        if verb.upper() == b"USER":
            user = text
        elif text and not _is_public(user, text):
            yield text


def _basic_passwords(stream: bytes) -> Iterator[str]:
    for word in _BASIC.findall(stream):
        try:
            user, _, password = as_text(base64.b64decode(word)).partition(":")
        except BadBase64:
            continue
        if password and not _is_public(user, password):
            yield password


def _url_passwords(stream: bytes) -> Iterator[str]:
    for pair in _URL.findall(stream):
        user, password = (as_text(unquote_to_bytes(each)) for each in pair)
        if not _is_public(user, password):
            yield password


def _is_public(user: str, password: str) -> bool:
    return user.casefold() == _ANONYMOUS_USER or password == _LFTPS_OWN


def as_text(data: bytes) -> str:
    """Bytes of a command as text, without loss: UTF-8 (RFC 2640), else Latin-1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _in_bytes(password: str) -> Iterator[bytes]:
    yield password.encode("utf-8", "surrogateescape")
    try:
        yield password.encode("latin-1")
    except UnicodeEncodeError:
        return


def _encodings(plain: bytes) -> Iterator[bytes]:
    for before in range(3):
        # The bytes around the password change the characters at its edges: only the others are certain.
        whole = base64.b64encode(bytes(before) + plain)
        certain = whole[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6]
        yield certain
        yield certain.replace(b"+", b"-").replace(b"/", b"_")  # base64url (RFC 4648 section 5)
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
