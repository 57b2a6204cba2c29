"""The tasks that a step requests from lftp, as lftp commands, and the proof afterwards that they were done.

A task is done when the bytes match on both sides, by hash: those that the server witnessed and those at the client.
lftp's exit code proves nothing, because it is that of the last command alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax
from ftps_harness.play.actions.evidence import ClientAction, holds, sha256
from ftps_harness.play.actions.literals import Literal
from ftps_harness.sandbox.secrets import RECOGNISED, SMALLEST_NEEDLE
from ftps_harness.verdict.observations import Task
from ftps_lab import disk
from ftps_lab.testimony import LISTINGS, UPLOADS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ftps_harness.play.actions.evidence import Evidence
    from ftps_harness.sandbox.secrets import Secrets


_TRANSFER_LOG = re.compile(rb"^\d{4}(?:-\d\d){2} \d\d(?::\d\d){2} [^\n]* -> [^\n]* \d+-\d+ [^\n]*\n?", re.MULTILINE)
"""How lftp logs a transfer (``xfer:log``; lftp 4.9.2): names, whether or not the content was received."""


class List(ClientAction):
    """A long listing; it must contain the name that appears only in listings."""

    def command(self) -> str:
        """`ls`, which sends LIST to the server."""
        return "ls"

    def proof(self, evidence: Evidence) -> Task:
        """The client printed the name, and the server completed a listing."""
        complete = any(t.verb in LISTINGS and t.completed and t.size for t in evidence.transfers)
        return Task(self.name, self._secrets.listed_name.encode() in evidence.stdout, complete)


class Get(ClientAction):
    """A download of the secret file."""

    def command(self) -> str:
        """`get` into the folder for downloads, under the file's own name."""
        return f"get {self._secrets.file_name} -o {self._downloads / self._secrets.file_name}"

    def proof(self, evidence: Evidence) -> Task:
        """The client and the server's testimony have the same bytes."""
        digest = sha256(self._secrets.content)
        sent = any(t.verb == "RETR" and t.completed and t.sha256 == digest for t in evidence.transfers)
        return Task(self.name, holds(evidence.downloads / self._secrets.file_name, digest), sent)


class Put(ClientAction):
    """An upload of a secret file; only the server's disk can show whether it arrived."""

    def command(self) -> str:
        """`put` from the folder for uploads."""
        return f"put {self._uploads / self._secrets.upload_name}"

    def proof(self, evidence: Evidence) -> Task:
        """The server's testimony and its folder have the same bytes."""
        digest = sha256(self._secrets.upload_content)
        stored = any(t.verb in UPLOADS and t.completed and t.sha256 == digest for t in evidence.transfers)
        return Task(self.name, None, stored and holds(evidence.root / self._secrets.upload_name, digest))


class Mirror(ClientAction):
    """A download of the whole served tree."""

    def command(self) -> str:
        """`mirror` into a separate folder below the downloads; uploads of earlier steps are excluded by name."""
        return f"mirror {self._secrets.tree_name} {self._downloads / 'mirror'}"

    def proof(self, evidence: Evidence) -> Task:
        """Every file of the tree, byte for byte."""
        sent = {t.sha256 for t in evidence.transfers if t.verb == "RETR" and t.completed}
        digests: Mapping[str, str] = {name: sha256(data) for name, data in self._secrets.tree.items()}
        here = all(holds(evidence.downloads / "mirror" / name, digest) for name, digest in digests.items())
        return Task(self.name, here, sent.issuperset(digests.values()))


_KINDS: dict[str, type[ClientAction]] = {"list": List, "get": Get, "put": Put, "mirror": Mirror}


def client_actions(
    run: tuple[str, ...], secrets: Secrets, downloads: Path, uploads: Path, marks: Path
) -> list[ClientAction]:
    """Return the items of `run`, in order; literal commands write a mark into `marks` when they succeed."""
    found: list[ClientAction] = []
    earlier: list[syntax.Command] = []
    for number, item in enumerate(run, 1):
        if item in _KINDS:
            found.append(_KINDS[item](item, secrets, downloads, uploads))
        else:
            last = number == len(run)
            found.append(Literal(item, secrets, downloads, uploads, marks=marks, last=last, earlier=tuple(earlier)))
            earlier += syntax.commands(item)
    return found


def populate(root: Path, secrets: Secrets) -> None:
    """Write the files that the server serves into its folder."""
    (root / secrets.file_name).write_bytes(secrets.content)
    (root / secrets.listed_name).write_bytes(secrets.listed_content)
    (root / secrets.tree_name).mkdir()
    for name, data in secrets.tree.items():
        (root / secrets.tree_name / name).write_bytes(data)


def files_below(*folders: Path) -> dict[Path, tuple[int, int, int]]:
    """Return the regular files below some folders, each with the metadata that shows whether it changed."""
    found = {}
    for path, own in disk.below(*folders):
        state = disk.target(path, own)
        if state is not None:
            found[path] = (state.st_ino, state.st_size, state.st_ctime_ns)
    return found


def holds_payload(evidence: Evidence, secrets: Secrets) -> bool:
    """Whether the client received any served content: on its standard output or error, or in a file.

    Content without our mark (a user's own file) is recognized by the hash of the transferred bytes; or, if only a part
    was kept (TLS 1.2 with GnuTLS: 16 KiB and more before lftp refuses, measured on 4.9.2), as the beginning of the
    requested file. A name counts only if lftp cannot know it from its own input: with ``cmd:trace`` it prints that
    input, and it logs transfers.
    """
    transfers = evidence.transfers
    contents = (secrets.content, secrets.listed_content, *secrets.tree.values())
    served = {sha256(content) for content in contents if content}
    served |= {t.sha256 for t in transfers if t.direction == "download" and t.size}
    asked = [evidence.root / t.name for t in transfers if t.verb == "RETR" and t.name and t.size]
    offered = [disk.read(path) for path in dict.fromkeys(asked) if disk.is_file(path)]
    heads = [content[:RECOGNISED] for content in offered if len(content) >= SMALLEST_NEEDLE]
    written = (disk.read(path) for path in evidence.written)
    every_name = b" ".join(secrets.names)  # lftp names files in its error messages
    return (
        secrets.find_payload(evidence.stdout, evidence.known)
        or secrets.find_payload(evidence.stderr, every_name)
        or secrets.find_payload(evidence.log, every_name)
        or any(head in stream for head in heads for stream in (evidence.stdout, evidence.stderr))
        or any(
            sha256(content) in served
            or secrets.find_payload(_without_transfers(content), evidence.known)
            or (bool(content) and any(whole.startswith(content) for whole in offered))
            for content in written
        )
    )


def _without_transfers(content: bytes) -> bytes:
    return _TRANSFER_LOG.sub(b"", content) if b" -> " in content else content
