"""The run's secrets: user, password, file names and contents, random for each run, and a search for them in bytes.

"The password was readable" is measured by searching raw bytes for it. So every secret must differ from anything else in
them, and any leaked piece of a content must be recognized: each of its lines carries the run's mark.
"""

from __future__ import annotations

import re
import secrets as randomness
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Safe in FTP, in lftp's syntax, in file names and in URLs; without characters that are easily confused."""
_BY_BYTE = (_LETTERS * 8).encode()
"""A character for each byte. There are 32 characters, so random bytes yield a uniform distribution."""

_LISTED = rb"^(?:[-bcdlps][-rwxsStT]{9}[^\n]*? |(?:[\w.]+=[^;\n]*;)+ )"
"""The columns before a name in a long listing."""

_MARK_LENGTH = 20
_LINE_LENGTH = 64
RECOGNISED = _LINE_LENGTH + _MARK_LENGTH - 1
"""Any run of this many (83) bytes of a content contains the whole mark and is recognized."""

SMALLEST_NEEDLE = 12
"""Contents shorter than a marked line are searched for as a whole, down to this length (60 random bits)."""

DEFAULT_SIZE = 3 * 1024


@dataclass(frozen=True, slots=True)
class Secrets:
    """All secrets of one run; create it with `Secrets.new`.

    Attributes:
        user: The user name; no verdict depends on its secrecy, but it is random too.
        password: The password.
        file_name: A file on the server.
        content: Its content.
        upload_name: A file that the client uploads.
        upload_content: Its content.
        tree_name: A folder on the server.
        tree: The files in it, by name.
        listed_name: Another file on the server that no request ever names: it appears only in listings.
        listed_content: Its content.
        needles: The pieces of contents that `find_payload` searches for.
        names: The names that it searches for.
    """

    user: str
    password: str
    file_name: str
    content: bytes
    upload_name: str
    upload_content: bytes
    tree_name: str
    tree: Mapping[str, bytes]
    listed_name: str
    listed_content: bytes
    needles: tuple[bytes, ...]
    names: tuple[bytes, ...]

    @classmethod
    def new(cls, size: int = DEFAULT_SIZE) -> Secrets:
        """Create the secrets of a run.

        Args:
            size: Size of each content in bytes. Content below `SMALLEST_NEEDLE` (12) could occur in a stream by
                chance, so such a file is found only by its name and compared only by its hash.
        """
        mark = _word(_MARK_LENGTH)
        file_name, upload_name, *tree_files = (f"{what}-{_word(12)}.txt" for what in ("file", "put", "one", "two"))
        tree_name = f"tree-{_word(12)}"
        content, upload_content, *tree_contents = (_content(mark, size) for _ in range(2 + len(tree_files)))
        listed_name = f"listed-{_word(12)}.txt"
        names = (file_name, upload_name, tree_name, listed_name, *tree_files)
        short = (content, upload_content, *tree_contents) if SMALLEST_NEEDLE <= size < RECOGNISED else ()
        return cls(
            user=f"user-{_word(10)}",
            password=f"pass-{_word(20)}",
            file_name=file_name,
            content=content,
            upload_name=upload_name,
            upload_content=upload_content,
            tree_name=tree_name,
            tree=dict(zip(tree_files, tree_contents, strict=True)),
            listed_name=listed_name,
            listed_content=f"{mark}\n".encode(),
            needles=(mark.encode(), *short),
            names=tuple(name.encode() for name in names),
        )

    def find_payload(self, data: bytes, known: bytes = b"") -> bool:
        """Whether the bytes contain a secret file name (as a listing does), or 83 consecutive bytes of any content.

        Args:
            data: The bytes to search.
            known: The input of the program that wrote the bytes. A name in it proves nothing unless the bytes have it
                in a listing line: lftp prints its commands and logs its transfers.
        """
        if any(needle in data for needle in self.needles):
            return True
        found = [name for name in self.names if name in data]
        return any(name not in known or _listed(name, data) for name in found)


def _listed(name: bytes, data: bytes) -> bool:
    """Whether a name appears in a line of a LIST or MLSD response (RFC 3659 section 7.2)."""
    return re.search(_LISTED + re.escape(name), data, re.MULTILINE) is not None


def _word(length: int) -> str:
    return randomness.token_bytes(length).translate(_BY_BYTE).decode()


def _content(mark: str, size: int) -> bytes:
    """Random text of exactly `size` bytes, with the mark on each line."""
    if size < RECOGNISED:
        return _word(size).encode()
    filler_length = _LINE_LENGTH - _MARK_LENGTH - 2
    lines = -(-size // _LINE_LENGTH)
    # Hex of random bytes is as good as words here, and 5 MiB take 30 ms instead of seconds.
    noise = randomness.token_hex(lines * filler_length // 2 + 1)
    text = "".join(
        f"{mark} {noise[start : start + filler_length]}\n" for start in range(0, lines * filler_length, filler_length)
    )
    return text.encode()[:size]
