"""The run's secrets: user, password, file names and contents, random for each run, and finding them in bytes.

"The password was readable" is measured by looking for it in raw bytes, so every secret must be unlike anything that
else could be there, and every piece of a content that leaks must be recognised: each line of it carries the run's mark.
"""

from __future__ import annotations

import re
import secrets as randomness
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Safe in FTP, in lftp's syntax, in file names and in URLs; nothing that is easily mistaken for something else."""
_BY_BYTE = (_LETTERS * 8).encode()
"""A letter for each byte. There are 32 of them, so random bytes give each as often as any other."""

_LISTED = rb"^(?:[-bcdlps][-rwxsStT]{9}[^\n]*? |(?:[\w.]+=[^;\n]*;)+ )"
"""What comes before a name in a long listing."""

_MARK_LENGTH = 20
_LINE_LENGTH = 64
RECOGNISED = _LINE_LENGTH + _MARK_LENGTH - 1
"""Any run of this many bytes (83) of a content, wherever it begins, holds the whole mark and is recognised."""

SMALLEST_NEEDLE = 12
"""Contents shorter than a marked line are looked for as a whole, down to this length (60 random bits)."""

DEFAULT_SIZE = 3 * 1024


@dataclass(frozen=True, slots=True)
class Secrets:
    """Everything secret of one run; `Secrets.new` makes one.

    Attributes:
        user: The user's name. It is no secret that a verdict looks for, but random all the same.
        password: The password.
        file_name: A file that the server has.
        content: Its content.
        upload_name: A file that the client puts.
        upload_content: Its content.
        tree_name: A folder that the server has.
        tree: The files in it, by name.
        listed_name: Another file that the server has, which nothing that is requested ever names: only a listing does.
        listed_content: Its content.
        needles: What of contents `find_payload` looks for.
        names: The names that it looks for.
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
        """Make the secrets of a run.

        Args:
            size: Bytes of each content. Below `SMALLEST_NEEDLE` (12) a content cannot be told from chance in a stream
                of bytes: such a file is found by its name and compared by its hash only.
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
        """Whether the bytes hold a secret file name (as a listing does), or 83 bytes on end of any content.

        Args:
            data: Where to look.
            known: What was told to whoever wrote the bytes. A name that stands in it proves nothing unless the bytes
                have it in a listing's line: lftp prints its commands and notes its transfers.
        """
        if any(needle in data for needle in self.needles):
            return True
        found = [name for name in self.names if name in data]
        return any(name not in known or _listed(name, data) for name in found)


def _listed(name: bytes, data: bytes) -> bool:
    """Whether a name stands in a line as LIST or MLSD answers it (RFC 3659 section 7.2)."""
    return re.search(_LISTED + re.escape(name), data, re.MULTILINE) is not None


def _word(length: int) -> str:
    return randomness.token_bytes(length).translate(_BY_BYTE).decode()


def _content(mark: str, size: int) -> bytes:
    """Random text of exactly `size` bytes, the mark on each of its lines."""
    if size < RECOGNISED:
        return _word(size).encode()
    filler_length = _LINE_LENGTH - _MARK_LENGTH - 2
    lines = -(-size // _LINE_LENGTH)
    # Hex of random bytes is as good as words here, and 5 MiB take 30 ms, not seconds.
    noise = randomness.token_hex(lines * filler_length // 2 + 1)
    text = "".join(
        f"{mark} {noise[start : start + filler_length]}\n" for start in range(0, lines * filler_length, filler_length)
    )
    return text.encode()[:size]
