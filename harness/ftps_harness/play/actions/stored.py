"""Checks that a server stored the uploads that it reports: compares its files with its testimony."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from ftps_harness.play.actions.evidence import sha256
from ftps_lab import disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_lab.testimony import Testimony, Transfer

_CHANGING = frozenset({"DELE", "RMD", "RNFR", "RNTO", "APPE", "STOU"})
"""Commands after which a file may differ from the upload of that name."""


def not_kept(testimony: Testimony, root: Path) -> tuple[str, ...]:
    """Return a sentence for each completed upload that is not on the server's disk as received.

    Args:
        testimony: The server's testimony; for an on-path attacker, that of the genuine server behind it.
        root: The folder that the server serves.
    """
    return tuple(_missing(testimony.behind or testimony, root))


def _missing(testimony: Testimony, root: Path) -> Iterator[str]:
    changed = {posixpath.basename(c.argument.rstrip("/")) for c in testimony.commands if c.verb in _CHANGING}
    resumed = any(c.verb == "REST" and c.argument.strip() not in {"", "0"} for c in testimony.commands)
    for name, upload in _last(testimony).items():
        parts = name.split("/")
        if resumed or not upload.completed or changed.intersection(parts) or ".." in parts:
            continue
        path = root / name
        if not disk.is_file(path):
            yield f"the server reports that it stored {name}, but it has no such file"
        elif upload.sha256 not in _as_sent(content := disk.read(path)):
            size = f"{upload.size} bytes"
            yield f"the server reports that it stored {size} of {name}, but the file has {len(content)} different bytes"


def _as_sent(content: bytes) -> set[str]:
    """The possible hashes of a file in transit: in an ASCII transfer lines end in CRLF (RFC 959 section 3.1.1.1)."""
    return {sha256(content), sha256(content.replace(b"\n", b"\r\n"))}


def _last(testimony: Testimony) -> dict[str, Transfer]:
    """The last upload of each name, which is the one that stays; uploads without a hash cannot be compared.

    An empty upload in clear text is a ClientHello that arrived instead of content
    (`ftps_lab.wire.tls.is_client_hello`): the server stored it, and does not count it.
    """
    stored = (t for t in testimony.transfers if t.verb == "STOR" and t.sha256 and t.name and not t.forged)
    uploads = [t for t in stored if t.size or t.channel == "tls"]
    return {upload.name.lstrip("/"): upload for upload in uploads}
