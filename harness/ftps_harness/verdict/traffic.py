"""What a capture of all traffic adds to the servers' testimony: connections to any other server. Pure.

On a loopback that belongs to the run alone, each connection must be one of the declared server's; for anything else
that was reached or tried, there is no witness.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftps_lab.testimony import WireRecord
from ftps_lab.wire.flows import KEPT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ftps_lab.testimony import Testimony, Wire
    from ftps_lab.wire import Flow, Traffic

_RESOLVER = ("127.0.0.1", 53)

_FLAGS = (b"\1\0", b"\1\x20")
"""Flags of a query: recursion desired, perhaps with AD (RFC 6840 section 5.7)."""

_QUESTIONS = tuple(struct.pack("!HH", kind, 1) for kind in (1, 28, 33))
"""Type and class of the questions that resolvers ask for a host: A, AAAA, SRV; IN."""

_OPT = re.compile(rb"\0\0\x29(?:\x02\0|\x04[\xb0\xc4\xd0]|\x05[\0\x78\x82\xac]|\x10\0)\0\0[\0\x80]\0\0\0", re.DOTALL)
"""An OPT record without options, with a usual size: resolvers ask for longer answers with it (RFC 6891)."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Traffic of lftp and its child processes other than with the declared server.

    Attributes:
        reached: Connections to other servers, and datagrams, a phrase each: their content has no witness.
        tried: Unanswered attempts, a phrase each: a refused connection, a name lookup.
        missing: Traffic that the capture should have and does not, a sentence each.
        strangers: The raw bytes of connections to other servers.
        streams: Every raw stream, including bytes of its own connections that the server never read.
    """

    reached: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    strangers: tuple[WireRecord, ...] = ()
    streams: tuple[bytes, ...] = ()


NOTHING = Elsewhere()
"""Nothing else happened, or there was no capture."""


def elsewhere(
    traffic: Traffic, testimony: Testimony, wire: Wire, *, server: tuple[str, int], names: Iterable[str]
) -> Elsewhere:
    """Compare all traffic with what the server witnessed.

    Args:
        traffic: Everything on the loopback.
        testimony: The server's.
        wire: The taps of its connections.
        server: Its address and control port.
        names: The names that lftp should connect to: looking them up is normal.
    """
    declared = [_Declared(record.kind, record.peer, record) for record in wire.records]
    behind = testimony.behind.connections if testimony.behind else ()
    declared += [_Declared(connection.kind, connection.peer) for connection in behind]
    reached: list[str] = []
    strangers: list[WireRecord] = []
    tried: list[str] = []
    expected = _expected(names)
    for flow in traffic.flows:
        if (mine := next((each for each in declared if each.fits(flow, server)), None)) is not None:
            mine.flow = flow
        elif (phrase := _attempt(flow, expected)) is not None:
            tried += [phrase] if phrase else []
        else:
            reached.append(_phrase(flow))
            strangers.append(WireRecord("control", flow.client, flow.to_server, flow.to_client))
    return Elsewhere(
        tuple(dict.fromkeys(reached)),
        tuple(dict.fromkeys(tried)),
        tuple(_missing(traffic, declared)),
        tuple(strangers),
        tuple(stream for flow in traffic.flows for stream in (flow.to_server, flow.to_client)),
    )


def attempts(traffic: Traffic, *, server: str, names: Iterable[str]) -> tuple[str, ...]:
    """What a program tried to reach on other machines, a phrase each.

    Args:
        traffic: Everything on the loopback.
        server: The address of the lab's server; empty if there is none.
        names: The names that it was given: looking them up is normal.
    """
    expected = _expected(names)
    found = [f"something unknown: the capture lost {traffic.lost} packets"] if traffic.lost else []
    for flow in traffic.flows:
        active = flow.client[0] == server and flow.state == "open"  # the server opened it (RFC 959 section 3.2)
        here = active or flow.server[0] == server or ipaddress.ip_address(flow.server[0]).is_loopback
        if flow.server == _RESOLVER or not here:
            phrase = _attempt(flow, expected)
            found.append(_phrase(flow) if phrase is None else phrase)
    return tuple(dict.fromkeys(filter(None, found)))


def _expected(names: Iterable[str]) -> frozenset[str]:
    return frozenset(form for name in names for form in (name.rstrip("."), name.rstrip(".").lower()))


def _attempt(flow: Flow, expected: Collection[str]) -> str | None:
    """A phrase for an unanswered attempt, empty for an expected one; None for a connection or datagram."""
    if (name := _name_asked_for(flow)) is not None:
        return "" if name in expected else f"the address of {name!r}"
    if flow.protocol == "tcp" and flow.state != "open":
        return f"{_phrase(flow)}: {'refused' if flow.state == 'refused' else 'no answer'}"
    return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Names and addresses that programs tried to reach without a server there: the lab must simulate these.

    Attributes:
        names: The host names that they looked up, in order.
        addresses: The targets of their TCP connections, in order: address and port.
    """

    names: tuple[str, ...]
    addresses: tuple[tuple[str, int], ...]


def wanted(traffic: Traffic) -> Wanted:
    """The names and addresses that programs tried to reach."""
    names = (name for flow in traffic.flows if (name := _name_asked_for(flow)) is not None)
    addresses = (flow.server for flow in traffic.flows if flow.protocol == "tcp")
    return Wanted(tuple(dict.fromkeys(names)), tuple(dict.fromkeys(addresses)))


@dataclass(slots=True)
class _Declared:
    """One connection that a server of the lab witnessed, and its flow in the capture.

    Attributes:
        record: Its tap; None for a connection of the genuine server behind an attacker in the middle.
        flow: Its flow in the capture. Each connection has one flow: a second one from the same port is not the lab's.
    """

    kind: Literal["control", "data"]
    peer: tuple[str, int]
    record: WireRecord | None = None
    flow: Flow | None = None

    def fits(self, flow: Flow, server: tuple[str, int]) -> bool:
        """Whether a flow is this connection; in active mode the server opened it (RFC 959 section 3.2)."""
        if self.flow is not None or flow.protocol != "tcp":
            return False
        if self.kind == "data" and flow.server == self.peer:
            return flow.client[0] == server[0]
        if flow.client != self.peer or flow.server[0] != server[0]:
            return False
        return self.kind == "data" or self.record is None or flow.server[1] == server[1]

    @property
    def differs(self) -> bool:
        """Whether the tap has bytes that were not on the wire.

        It may lack bytes that the server never read, and have bytes that were never sent.
        """
        record, flow = self.record, self.flow
        if record is None or flow is None:
            return False
        active = flow.server == self.peer  # then the FTP server opened it
        up, down = (flow.to_client, flow.to_server) if active else (flow.to_server, flow.to_client)
        sent, got = min(len(record.to_server), KEPT), min(len(down), len(record.to_client))
        return up[:sent] != record.to_server[:sent] or down[:got] != record.to_client[:got]


def _missing(traffic: Traffic, declared: Iterable[_Declared]) -> Iterator[str]:
    if traffic.lost:
        yield f"the capture of the loopback lost {traffic.lost} packets, so it may have missed other traffic"
        return
    absent = [each for each in declared if each.record is not None and each.flow is None]
    if absent:
        ports = ", ".join(f"{each.kind} from port {each.peer[1]}" for each in absent)
        yield f"the capture of the loopback lacks connections of the wire tap: {ports}"
    if other := [each for each in declared if each.differs]:
        ports = ", ".join(f"{each.kind} from port {each.peer[1]}" for each in other)
        yield f"the wire tap and the capture of the loopback have different bytes: {ports}"


def _phrase(flow: Flow) -> str:
    size = f", {len(flow.to_server)} bytes sent" if flow.to_server else ""
    return f"{flow.server[0]} port {flow.server[1]} by {flow.protocol}{size}"


def _name_asked_for(flow: Flow) -> str | None:
    """The name in a query to the sandbox's resolver, as a resolver sends it (RFC 1035 section 4.1); else None.

    Any unusual value in another field could carry a piece of a secret, and so could the case of the name's letters.
    """
    query = flow.to_server
    if flow.protocol != "udp" or flow.server != _RESOLVER or query[4:10] != b"\0\1" + bytes(4):
        return None
    labels, at = [], 12
    while at < len(query) and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "backslashreplace"))
        at += query[at] + 1
    question, rest = query[at + 1 : at + 5], query[at + 5 :]
    records = 0 if not rest else 1 if _OPT.fullmatch(rest) else None
    plain = query[2:4] in _FLAGS and question in _QUESTIONS and int.from_bytes(query[10:12], "big") == records
    return ".".join(labels) if plain else None
