r"""Forms in which a setup can disguise a password that it sends, and the search for them in bytes. Pure.

Only letters and digits are compared, in lower case. So a password is found in any case, with separators between its
characters and in UTF-16 (whose zero bytes are ignored), and its codes are found whatever separates them
(``70 61``, ``%70%61``, ``=70=61``, ``\x70\x61``). Compression, encryption and home-made ciphers are not found.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import collections
import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_SHORTEST = 8
"""Letters and digits. A shorter form occurs by chance in a stream of TLS."""

_SEARCHED = 1 << 20
"""Bytes searched for these forms at each end of a longer stream, because there are a hundred forms."""

_PIECE = 6
"""Letters and digits. A password split into pieces is found if they are at least this long (`in_pieces`)."""

_PROBE = 3
"""Letters and digits. The first search for pieces looks for as many, at places so close that each piece has one."""

_AROUND = 2 * _PIECE - _PROBE
"""Letters and digits that the pieces around one probe can cover."""

_MOST = 0.8
"""The part of a form that its pieces must cover: who lacks a letter or two tries them all."""

_VARIED = 5
"""Different characters. Pieces of a binary number, for one, occur by chance."""

_KEPT = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
_DROPPED = bytes(byte for byte in range(256) if bytes((byte,)).lower()[0] not in _KEPT)
_LOWER = bytes(range(256)).lower()

_HEX_PREFIX = re.compile(rb"\\x|0x(?:(?<![0-9A-Za-z]0x)|(?<=0x[0-9A-Fa-f]{2}0x))")
"""``\x70\x61``, ``0x70 0x61`` and ``0x700x61``. What precedes is tested last: a megabyte takes 12 ms, not 72."""

_QUOTED = re.compile(rb"=\r?\n|=([0-9A-Fa-f]{2})")
"""A soft line break and an encoded byte of quoted-printable (RFC 2045 section 6.7)."""


def found(forms: Iterable[bytes], plain: Iterable[bytes], data: bytes) -> bool:
    """Whether the bytes contain one of the forms (`of`) or a password in quoted-printable."""
    for part in (data,) if len(data) <= 2 * _SEARCHED else (data[:_SEARCHED], data[-_SEARCHED:]):
        letters = _letters(part)
        if any(map(letters.__contains__, forms)):
            return True
        if b"=" in part and plain:
            decoded = _QUOTED.sub(lambda match: bytes.fromhex((match[1] or b"").decode("ascii")), part)
            if any(map(decoded.__contains__, plain)):
                return True
    return False


def in_pieces(forms: Iterable[bytes], public: Iterable[bytes], parts: Iterable[bytes]) -> bool:
    """Whether short texts, together and in any order, contain almost all of one of the forms (`of`).

    Args:
        forms: The forms of the passwords.
        public: Names that anyone may read, such as the user's: what they contain does not count.
        parts: The texts, such as the arguments of commands.
    """
    texts = [_letters(part) for part in parts]
    possible = _possible(tuple(forms), _windows(texts, _PROBE))
    if not possible:
        return False
    pieces = _windows(texts, _PIECE) - _windows(map(_letters, public), _PIECE)
    return any(_covered(form, pieces) >= _MOST * len(form) for form in possible)


def _possible(forms: tuple[bytes, ...], probes: set[bytes]) -> Iterable[bytes]:
    """The few forms that may consist of pieces, found much faster than by `_covered`.

    A piece contains one of the form's probes whole, and the pieces that contain the same one cover `_AROUND` of its
    letters at most.
    """
    index = _index(forms)
    found = collections.Counter(form for probe in index.keys() & probes for form in index[probe])
    return [form for form, times in found.items() if times * _AROUND >= _MOST * len(form)]


@functools.lru_cache(maxsize=64)
def _index(forms: tuple[bytes, ...]) -> Mapping[bytes, Sequence[bytes]]:
    """The forms that are long and varied enough, by their probes: a probe begins at every fourth letter."""
    index = collections.defaultdict(list)
    for form in forms:
        if len(form) >= 2 * _PIECE and len(set(form)) >= _VARIED:
            for at in range(0, len(form) - _PROBE + 1, _PIECE - _PROBE + 1):
                index[form[at : at + _PROBE]].append(form)
    return index


def _windows(texts: Iterable[bytes], size: int) -> set[bytes]:
    return {text[at : at + size] for text in texts for at in range(len(text) - size + 1)}


def _covered(form: bytes, pieces: set[bytes]) -> int:
    found = [at for at in range(len(form) - _PIECE + 1) if form[at : at + _PIECE] in pieces]
    return len({at + number for at in found for number in range(_PIECE)})


@functools.lru_cache(maxsize=64)
def of(password: bytes) -> tuple[bytes, ...]:
    """Every form of a password, as `found` compares it, without those that are too short."""
    forms = [_letters(form) for way in _written(password) for form in _encoded(way)]
    forms += _in_turn(password)
    return tuple(dict.fromkeys(form for form in forms if len(form) >= _SHORTEST))


def _letters(data: bytes) -> bytes:
    if b"0x" in data or b"\\x" in data:
        data = _HEX_PREFIX.sub(b"", data)
    return data.translate(_LOWER, _DROPPED)


def _written(password: bytes) -> Iterator[bytes]:
    """Variants of the password that are not encodings; every encoding is tried on each."""
    yield password
    yield password[::-1]
    yield password.upper()
    yield password.lower()
    yield password.swapcase()
    text = password.decode("utf-8", "replace")
    yield codecs.encode(text, "rot13").encode("utf-8")
    yield text.encode("utf-16-le")
    yield text.encode("utf-16-be")


def _in_turn(data: bytes) -> Iterator[bytes]:
    """Two encodings one after the other, and codes whose prefix is a letter or digit itself."""
    coded = data.hex()
    yield coded[::-1].encode()
    yield coded.encode().hex().encode()
    yield "".join(f"25{byte:02x}" for byte in data).encode()  # percent-encoded twice
    yield "".join(f"u{byte:04x}" for byte in data).encode()  # JSON
    yield "".join(f"x{byte:02x}" for byte in data).encode()  # HTML
    for once in _certain(data, base64.b64encode, 3, 4):
        yield once.hex().encode()
        yield _letters(once[::-1])


def _encoded(data: bytes) -> Iterator[bytes]:
    yield data
    yield data.hex().encode()
    yield "".join(map(str, data)).encode()
    yield "".join(f"{byte:03d}" for byte in data).encode()
    yield "".join(f"{byte:o}" for byte in data).encode()
    yield "".join(f"{byte:03o}" for byte in data).encode()
    yield "".join(f"{byte:08b}" for byte in data).encode()
    yield from _certain(data, base64.b32encode, 5, 8)
    for once in _certain(data, base64.b64encode, 3, 4):
        yield once
        yield from _certain(once, base64.b64encode, 3, 4)
    for begin in range(4):  # groups of four bytes, at every offset
        groups = data[begin : begin + (len(data) - begin) // 4 * 4]
        yield base64.b85encode(groups)
        yield base64.a85encode(groups)
    for begin in range(3):  # uuencode's lines begin with their length: of one line, the rest is certain
        yield binascii.b2a_uu(data[begin : begin + (min(len(data) - begin, 45)) // 3 * 3])[1:]


def _certain(data: bytes, encode: Callable[[bytes], bytes], size: int, letters: int) -> Iterator[bytes]:
    """The part of a grouped encoding that depends only on the data, wherever a group begins, not on its neighbours."""
    bits = size * 8 // letters
    for before in range(size):
        whole = encode(bytes(before) + data)
        yield whole[-(-before * 8 // bits) : (before + len(data)) * 8 // bits]
