"""What the relay has recorded: its links, with the raw bytes of each."""

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
        port: Where the client came to.
        source: The loopback address that the daemon knows this connection by.
        opened: Seconds since the record began.
        certificate: SHA-256 fingerprint of the leaf that the daemon was proved to show when this was accepted.
        implicit: TLS comes first on this control connection.
        marks: After each of the client's first pieces, how many bytes had passed to the server and to the client.
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
        """How many bytes had come from the server when the client's stream had reached `offset`."""
        index = bisect_left(self.marks, (offset,))
        return self.marks[index][1] if index < len(self.marks) else len(self.to_client)


@dataclass(slots=True, eq=False)
class Tape:
    """All the links between two moments."""

    began: float = field(default_factory=time.monotonic)
    links: list[Link] = field(default_factory=list)

    @property
    def wire(self) -> Wire:
        """The raw bytes so far."""
        return Wire(tuple(WireRecord(a.kind, a.peer, bytes(a.to_server), bytes(a.to_client)) for a in self.links))
