r"""Forms in which a setup can hide a password that it sends, and finding them in bytes. Pure.

Bytes are compared by their letters and digits alone, in lower case. So a password is found in any case, with separators
between its characters, in UTF-16 (whose zero bytes are none), and its codes are found however they are set apart
(``70 61``, ``%70%61``, ``=70=61``, ``\x70\x61``). Compression, encryption and a cipher of one's own are not found.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SHORTEST = 8
"""Letters and digits. A shorter form turns up by chance in a stream of TLS."""

_SEARCHED = 1 << 20
"""Bytes at the beginning and at the end of a longer stream in which these forms are looked for: there are a hundred."""

_KEPT = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
_DROPPED = bytes(byte for byte in range(256) if bytes((byte,)).lower()[0] not in _KEPT)
_LOWER = bytes(range(256)).lower()

_QUOTED = re.compile(rb"=\r?\n|=([0-9A-Fa-f]{2})")
"""A soft line break and an encoded byte of quoted-printable (RFC 2045 section 6.7)."""


def found(forms: Iterable[bytes], plain: Iterable[bytes], data: bytes) -> bool:
    """Whether one of the forms (`of`), or a password in quoted-printable, stands in the bytes."""
    for part in (data,) if len(data) <= 2 * _SEARCHED else (data[:_SEARCHED], data[-_SEARCHED:]):
        letters = _letters(part)
        if any(map(letters.__contains__, forms)):
            return True
        if b"=" in part and plain:
            decoded = _QUOTED.sub(lambda match: bytes.fromhex((match[1] or b"").decode("ascii")), part)
            if any(map(decoded.__contains__, plain)):
                return True
    return False


@functools.lru_cache(maxsize=64)
def of(password: bytes) -> tuple[bytes, ...]:
    """Every form of a password, as `found` compares it; those that are too short for that are left out."""
    forms = (_letters(form) for way in _written(password) for form in _encoded(way))
    return tuple(dict.fromkeys(form for form in forms if len(form) >= _SHORTEST))


def _letters(data: bytes) -> bytes:
    if b"x" in data:
        data = data.replace(b"\\x", b"").replace(b"0x", b"")
    return data.translate(_LOWER, _DROPPED)


def _written(password: bytes) -> Iterator[bytes]:
    """The ways to write it that are no encoding, for each of which all encodings are tried."""
    yield password
    yield password[::-1]
    yield password.upper()
    yield password.lower()
    yield password.swapcase()
    text = password.decode("utf-8", "replace")
    yield codecs.encode(text, "rot13").encode("utf-8")
    yield text.encode("utf-16-le")
    yield text.encode("utf-16-be")


def _encoded(data: bytes) -> Iterator[bytes]:
    yield data
    yield data.hex().encode()
    yield "".join(map(str, data)).encode()
    yield "".join(f"{byte:o}" for byte in data).encode()
    yield "".join(f"{byte:03o}" for byte in data).encode()
    yield "".join(f"{byte:08b}" for byte in data).encode()
    yield from _certain(data, base64.b32encode, 5, 8)
    for once in _certain(data, base64.b64encode, 3, 4):
        yield once
        yield from _certain(once, base64.b64encode, 3, 4)
    for begin in range(4):  # groups of four bytes, wherever they begin
        groups = data[begin : begin + (len(data) - begin) // 4 * 4]
        yield base64.b85encode(groups)
        yield base64.a85encode(groups)
    for begin in range(3):  # uuencode's lines begin with their length: of one line, all but that is certain
        yield binascii.b2a_uu(data[begin : begin + (min(len(data) - begin, 45)) // 3 * 3])[1:]


def _certain(data: bytes, encode: Callable[[bytes], bytes], size: int, letters: int) -> Iterator[bytes]:
    """What stands for the data in an encoding of groups, wherever a group begins: not what its neighbours change."""
    bits = size * 8 // letters
    for before in range(size):
        whole = encode(bytes(before) + data)
        yield whole[-(-before * 8 // bits) : (before + len(data)) * 8 // bits]
