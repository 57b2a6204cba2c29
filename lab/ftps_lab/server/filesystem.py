"""How the lab's server describes its files in machine-readable listings (RFC 3659 section 7)."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # as in ftps_lab.server.data
    from pyftpdlib.filesystems import AbstractedFS

if TYPE_CHECKING:
    from collections.abc import Iterator

_PYTHONS_OCTAL = re.compile(rb"(?<=unix\.mode=)0o([0-7]+)(?=;)")


class LabFilesystem(AbstractedFS):  # type: ignore[misc]  # pyftpdlib ships no types
    """pyftpdlib's view of the disk, with modes in the format that clients and other servers use."""

    def format_mlsx(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        """The lines of MLSD and MLST, with ``unix.mode=0644``.

        pyftpdlib 2.2.0 writes Python's ``0o644``. lftp reads an octal number up to the first letter, which yields 0:
        its `mirror` then leaves each file with mode 0000 (docs/lftp.md, "Modes in listings").
        """
        for line in super().format_mlsx(*args, **kwargs):
            facts, blank, name = line.partition(b" ")  # a name may contain anything, the facts no blank (section 7.2)
            yield _PYTHONS_OCTAL.sub(lambda found: found[1].zfill(4), facts) + blank + name
