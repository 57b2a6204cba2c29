"""What a capture of everything tells beside the servers' own testimony: connections to anybody else. Pure.

On a loopback that belongs to the run alone, each connection must be one of the declared server's; whatever else was
reached, or tried, is nobody's to vouch for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_lab.testimony import WireRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_lab.testimony import Testimony, Wire
    from ftps_lab.wire import Flow, Traffic

_DNS = 53


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What lftp, and what it started, did beside talking to the declared server.

    Attributes:
        reached: Connections to somebody else, and datagrams, a phrase each: nobody witnessed what they were told.
        tried: What nobody answered, a phrase each: a refused connection, a name that was asked for.
        missing: What the capture should hold and does not, a sentence each.
        strangers: The raw bytes of connections to somebody else.
        streams: Every raw stream, also what the server never read of its own connections.
    """

    reached: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    strangers: tuple[WireRecord, ...] = ()
    streams: tuple[bytes, ...] = ()


NOTHING = Elsewhere()
"""Nothing else happened; or nobody could see it."""


def elsewhere(
    traffic: Traffic, testimony: Testimony, wire: Wire, *, server: tuple[str, int], names: Iterable[str]
) -> Elsewhere:
    """Hold all traffic against what the server witnessed.

    Args:
        traffic: Everything on the loopback.
        testimony: The server's.
        wire: The taps of its connections.
        server: Its address and control port.
        names: Those that lftp was told to connect to: asking for them is nothing strange.
    """
    known: set[tuple[str, int]] = {(record.kind, record.peer[1]) for record in wire.records}
    tapped = set(known)
    behind = testimony.behind.connections if testimony.behind else ()
    known |= {(connection.kind, connection.peer[1]) for connection in behind}
    found: set[tuple[str, int]] = set()
    reached: list[str] = []
    strangers: list[WireRecord] = []
    tried: list[str] = []
    expected = {name.rstrip(".").lower() for name in names}
    for flow in traffic.flows:
        mine = _which(flow, known, server)
        if mine:
            found |= mine
        elif (name := _name_asked_for(flow)) is not None:
            if name not in expected:
                tried.append(f"the address of {name!r}")
        elif flow.protocol == "tcp" and flow.state != "open":
            tried.append(f"{_phrase(flow)}: {'refused' if flow.state == 'refused' else 'no answer'}")
        else:
            reached.append(_phrase(flow))
            strangers.append(WireRecord("control", flow.client, flow.to_server, flow.to_client))
    return Elsewhere(
        tuple(dict.fromkeys(reached)),
        tuple(dict.fromkeys(tried)),
        tuple(_missing(traffic, tapped - found)),
        tuple(strangers),
        tuple(stream for flow in traffic.flows for stream in (flow.to_server, flow.to_client)),
    )


def _which(flow: Flow, known: set[tuple[str, int]], server: tuple[str, int]) -> set[tuple[str, int]]:
    """The server's own connection that a flow is; none if it is somebody else's.

    The client's port tells which: no two connections of a run share one with the server. An attacker in the middle has
    the genuine server behind it on the same address, at another port.
    """
    if flow.protocol != "tcp":
        return set()
    data = {("data", flow.client[1]), ("data", flow.server[1])} & known
    control = {("control", flow.client[1])} & known
    if flow.server[0] != server[0] and not data:
        return set()
    return data | control


def _missing(traffic: Traffic, absent: set[tuple[str, int]]) -> Iterator[str]:
    if traffic.lost:
        yield f"the capture of the loopback lost {traffic.lost} packets: nobody can say that nothing else happened"
    elif absent:
        ports = ", ".join(f"{kind} from port {port}" for kind, port in sorted(absent))
        yield f"the capture of the loopback lacks connections of the wire tap: {ports}"


def _phrase(flow: Flow) -> str:
    size = f", {len(flow.to_server)} bytes sent" if flow.to_server else ""
    return f"{flow.server[0]} port {flow.server[1]} by {flow.protocol}{size}"


def _name_asked_for(flow: Flow) -> str | None:
    """The name in a question to a resolver (RFC 1035 section 4.1); None if the flow is none."""
    question = flow.to_server[12:]
    if flow.protocol != "udp" or flow.server[1] != _DNS or not question:
        return None
    labels = []
    while question and 0 < question[0] < len(question):
        labels.append(question[1 : question[0] + 1].decode("ascii", "backslashreplace"))
        question = question[question[0] + 1 :]
    return ".".join(labels).lower()
