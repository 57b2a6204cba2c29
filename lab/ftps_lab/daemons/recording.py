"""The relay's recording: its links, with the raw bytes of each."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Literal

from ftps_lab.testimony import Wire, WireRecord

Address = tuple[str, int]


@dataclass(slots=True, eq=False)
class Link:
    """One relayed connection.

    Attributes:
        port: The port that the client connected to.
        source: The loopback address by which the daemon knows this connection.
        opened: Seconds since the record started.
        certificate: SHA-256 fingerprint of the leaf that the daemon was proved to show when this was accepted.
        implicit: This control connection starts with TLS.
        marks: How many bytes had passed to the server and to the client after each of the client's first pieces.
        done: Closed on both sides, with everything forwarded.
    """

    kind: Literal["control", "data"]
    port: int
    peer: Address
    source: str
    opened: float
    certificate: str = ""
    implicit: bool = False
    to_server: bytearray = field(default_factory=bytearray)
    to_client: bytearray = field(default_factory=bytearray)
    marks: list[tuple[int, int]] = field(default_factory=list)
    done: bool = False

    def heard_before(self, offset: int) -> int:
        """How many bytes the server had sent when the client's stream reached `offset`."""
        index = bisect_left(self.marks, (offset,))
        return self.marks[index][1] if index < len(self.marks) else len(self.to_client)


@dataclass(slots=True, eq=False)
class Recording:
    """All the links of one record."""

    began: float = field(default_factory=time.monotonic)
    links: list[Link] = field(default_factory=list)

    @property
    def wire(self) -> Wire:
        """The raw bytes recorded so far."""
        return Wire(tuple(WireRecord(a.kind, a.peer, bytes(a.to_server), bytes(a.to_client)) for a in self.links))
