"""Our lines in the rc: one block between two marks; every other byte stays unchanged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ftps_harness.errors import HarnessError
from ftps_harness.pinning.tool.certificate import Facts
from ftps_harness.pinning.tool.target import Target

BEGIN: Final = b"# ftps-lab pin: begin"
END: Final = b"# ftps-lab pin: end"

PROTECTED: Final = ("ftp:ssl-force", "ftp:ssl-allow-anonymous", "ftp:ssl-protect-data")
"""Protection that a pin alone lacks (docs/hardening.md), set for each pinned host; lftp 4.8.4 needs the last."""

_HOST: Final = re.compile(r"(?m)^# (\S+), in capitals too$")
_CA_FILE: Final = re.compile(rb'set ssl:ca-file "((?:\\.|[^"\\])*)"')
_ENTRY: Final = re.compile(
    r"# (?P<host>\S+) (?P<port>\d+) (?P<protocol>explicit|implicit) sha256=(?P<sha256>[0-9A-F:]{95}) "
    r"key=(?P<key>[0-9a-f]{64}) until=(?P<until>[0-9TZ:-]{20})\n"
    r"set ssl:verify-certificate/(?P<sha1>[0-9A-F:]{59}) no\n"
)
_UNTIL: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class ByFingerprint:
    """A host that is pinned by a fingerprint; the rest of the certificate is not stored.

    Attributes:
        target: The host.
        facts: The facts recorded from its certificate.
    """

    target: Target
    facts: Facts


@dataclass(frozen=True, slots=True)
class Block:
    """The content of our lines.

    Attributes:
        ca_file: The path of the file of pins, as lftp gets it; empty for no file.
        hosts: The hosts for which `PROTECTED` is switched on.
        fingerprints: The hosts that are pinned by fingerprint.
    """

    ca_file: bytes = b""
    hosts: frozenset[str] = frozenset()
    fingerprints: tuple[ByFingerprint, ...] = ()

    def render(self) -> bytes:
        """The lines; empty if there is nothing to write."""
        if not self.hosts:
            return b""
        lines = [BEGIN + b" (`ftps-lab pin --remove HOST` takes a host out; do not change these lines by hand)\n"]
        if self.ca_file:
            escaped = self.ca_file.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            lines.append(b'set ssl:ca-file "' + escaped + b'"\n')
        for each in sorted(self.fingerprints, key=lambda each: each.target):
            until = each.facts.until.strftime(_UNTIL)
            lines.append(
                f"# {each.target.host} {each.target.port} {each.target.protocol} sha256={each.facts.sha256} "
                f"key={each.facts.key} until={until}\n".encode()
            )
            lines.append(f"set ssl:verify-certificate/{each.facts.sha1} no\n".encode())
        for host in sorted(self.hosts):
            lines.append(f"# {host}, in capitals too\n".encode())
            lines += [f"set {name}/{closure(host)} yes\n".encode() for name in PROTECTED]
        return b"".join([*lines, END, b"\n"])


class Edited(HarnessError):  # noqa: N818 - the edit may be intentional
    """Our lines were edited."""


@dataclass(frozen=True, slots=True)
class Rc:
    """An rc around our block.

    Attributes:
        before: The text before the block.
        block: The content of the block.
        text: The block's bytes; empty if there is no block.
        after: The text after the block.
    """

    before: bytes
    block: Block
    text: bytes
    after: bytes

    def with_block(self, block: Block) -> bytes:
        """The rc with the block replaced, or with a new block at the end."""
        new = block.render()
        if self.text and new and _unix(self.text) == new:
            new = self.text  # an editor may have changed the line endings of the whole file
        gap = b"\n" if new and not self.text and self.before and not self.before.endswith(b"\n") else b""
        return self.before + gap + new + self.after


def split(data: bytes, path: str) -> Rc:
    """Find our block in an rc.

    Args:
        data: The rc.
        path: Its name, for the message.

    Raises:
        Edited: The two marks do not appear once each, in order.
    """
    begins = [match.start() for match in re.finditer(rb"(?m)^" + BEGIN, data)]
    ends = [match.end() for match in re.finditer(rb"(?m)^" + END + rb"[^\n]*\n?", data)]
    if not begins and not ends:
        return Rc(data, Block(), b"", b"")
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        line = data[: min([*begins, *ends])].count(b"\n") + 1
        raise Edited(
            f"{path}, line {line}: the begin and end marks of `ftps-lab pin` must each appear once, in this order"
        )
    text = data[begins[0] : ends[0]]
    return Rc(data[: begins[0]], _read(text), text, data[ends[0] :])


def require_unedited(rc: Rc, path: str) -> None:
    """Compare the block with what we would have written.

    Raises:
        Edited: The block was edited.
    """
    written = rc.block.render()
    if rc.text and _unix(rc.text) != written:
        ours, theirs = written.split(b"\n"), _unix(rc.text).split(b"\n")
        same = next((n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), len(ours) - 1)
        line = rc.before.count(b"\n") + same + 1
        raise Edited(f"{path}, line {line}: the lines of `ftps-lab pin` were edited by hand")


def _unix(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def _read(data: bytes) -> Block:
    """Parse as much as possible; `require_unedited` detects any difference."""
    text = _unix(data).decode("utf-8", "surrogateescape")
    path = _CA_FILE.search(data)
    entries = []
    for match in _ENTRY.finditer(text):
        until = datetime.strptime(match["until"], _UNTIL).replace(tzinfo=UTC)
        facts = Facts(match["sha256"], match["sha1"], match["key"], until)
        target = Target(match["host"], int(match["port"]), match["protocol"])  # type: ignore[arg-type]  # one of the two
        entries.append(ByFingerprint(target, facts))
    return Block(
        re.sub(rb"\\(.)", rb"\1", path[1]) if path else b"",
        frozenset(_HOST.findall(text)),
        tuple(entries),
    )


def closure(host: str) -> str:
    """A pattern for a host in any case: in lftp 4.9.2, `/backup.example` does not match `BACKUP.example`.

    Without it, lftp would continue without TLS for a user who types a capital letter.
    """
    return "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in host)
