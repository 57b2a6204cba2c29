"""Packets in, connections out: who spoke to whom on a loopback, and what was said. Pure.

Packets are IPv4 (RFC 791) or IPv6 (RFC 8200) behind an Ethernet header, as AF_PACKET hands them out on ``lo``; of TCP
(RFC 9293) the two streams are put together again, of UDP (RFC 768) each datagram is kept.
"""

from __future__ import annotations

import functools
import ipaddress
import struct
from dataclasses import dataclass, field
from typing import Literal

KEPT = 4 << 20
"""Bytes that are kept of each direction of a flow; of what is longer, the length is known and the rest is not."""

Address = tuple[str, int]

_ETHERNET = 14
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP = 6, 17
_CONTROL = {1: 8, 58: 128}
"""ICMP and ICMPv6, and the type of their echo requests, which take anything along (RFC 792, RFC 4443 section 4.1)."""
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_EXTENSIONS = frozenset({0, 43, 60})
"""IPv6 extension headers with a length field: hop-by-hop, routing, destination (RFC 8200 section 4)."""
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class Flow:
    """One TCP connection, or one UDP datagram and what came back.

    Attributes:
        protocol: ``tcp``, ``udp``, or ``other`` with its number as the server's port.
        client: Who began it.
        server: Whom it was for.
        state: Of TCP: ``refused`` when nobody listened there, ``open`` once both sides agreed, else ``asked``.
        to_server: What the client sent, at most `KEPT` bytes.
        to_client: What came back, at most `KEPT` bytes.
        whole: Nothing of either is missing.
    """

    protocol: Literal["tcp", "udp", "other"]
    client: Address
    server: Address
    state: Literal["asked", "open", "refused"] = "asked"
    to_server: bytes = b""
    to_client: bytes = b""
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Traffic:
    """Everything on a loopback between two moments.

    Attributes:
        flows: In the order in which they began.
        lost: Packets that the capture could not keep up with: then nobody can say that there was nothing else.
    """

    flows: tuple[Flow, ...] = ()
    lost: int = 0


@functools.lru_cache(maxsize=1024)  # a loopback has few, and each is in every packet
def _written(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


@dataclass(slots=True)
class _Stream:
    """One direction of a TCP connection."""

    expected: int | None = None
    data: bytearray = field(default_factory=bytearray)
    waiting: dict[int, bytes] = field(default_factory=dict)
    length: int = 0

    def take(self, sequence: int, payload: bytes) -> None:
        if self.expected is None:
            self.expected = sequence
        if not self._append_if_next(sequence, payload):
            known = self.waiting.get(sequence, b"")
            self.waiting[sequence] = max(known, payload, key=len)
            return
        moved = bool(self.waiting)
        while moved:
            ready = [at for at, later in self.waiting.items() if self._append_if_next(at, later)]
            for at in ready:
                del self.waiting[at]
            moved = bool(ready)

    def _append_if_next(self, sequence: int, payload: bytes) -> bool:
        """Append what is new of a segment; False when bytes before it are missing."""
        assert self.expected is not None
        ahead = (sequence - self.expected) % _WRAP
        if 0 < ahead < _WRAP // 2:
            return False
        self._append(payload[(self.expected - sequence) % _WRAP :])  # some of it, or all, may have been sent before
        return True

    def _append(self, payload: bytes) -> None:
        assert self.expected is not None
        self.data += payload[: max(0, KEPT - len(self.data))]
        self.length += len(payload)
        self.expected = (self.expected + len(payload)) % _WRAP

    @property
    def whole(self) -> bool:
        return not self.waiting and self.length == len(self.data)


@dataclass(slots=True)
class _Growing:
    """A flow that is being watched."""

    protocol: Literal["tcp", "udp", "other"]
    client: Address
    server: Address
    state: Literal["asked", "open", "refused"] = "asked"
    up: _Stream = field(default_factory=_Stream)
    down: _Stream = field(default_factory=_Stream)

    def frozen(self) -> Flow:
        return Flow(
            self.protocol,
            self.client,
            self.server,
            self.state,
            bytes(self.up.data),
            bytes(self.down.data),
            whole=self.up.whole and self.down.whole,
        )


class Flows:
    """Takes packets one by one, and tells which connections they were."""

    def __init__(self) -> None:
        self._flows: list[_Growing] = []
        self._by_ends: dict[tuple[str, Address, Address], _Growing] = {}

    def frozen(self) -> tuple[Flow, ...]:
        """The flows so far, in the order in which they began."""
        return tuple(flow.frozen() for flow in self._flows)

    def take(self, packet: bytes | memoryview) -> None:
        """One packet with its Ethernet header; what is no IP is no traffic of ours (there is none on ``lo``)."""
        if len(packet) < _ETHERNET:
            return
        kind = struct.unpack_from("!H", packet, 12)[0]
        ip = memoryview(packet)[_ETHERNET:]  # a packet of loopback has up to 64 KiB: no slice of it is a copy
        if kind == _IPV4 and len(ip) >= 20:
            header = (ip[0] & 0x0F) * 4
            end = struct.unpack_from("!H", ip, 2)[0] or len(ip)  # 0: longer than 64 KiB, by segmentation offload
            self._ip(ip[9], bytes(ip[12:16]), bytes(ip[16:20]), ip[header:end])
        elif kind == _IPV6 and len(ip) >= 40:
            protocol, body = ip[6], ip[40:]
            while protocol in _EXTENSIONS and len(body) >= 8:
                protocol, body = body[0], body[(body[1] + 1) * 8 :]
            self._ip(protocol, bytes(ip[8:24]), bytes(ip[24:40]), body)

    def _ip(self, protocol: int, source: bytes, target: bytes, body: memoryview) -> None:
        if protocol == _TCP and len(body) >= 20:
            if len(body) > (body[12] >> 4) * 4 or body[13] & (_SYN | _RST):  # else it acknowledges, or ends: no news
                self._tcp(_written(source), _written(target), body)
            return
        here, there = _written(source), _written(target)
        if protocol == _UDP and len(body) >= 8:
            ports = struct.unpack_from("!HH", body)
            self._udp((here, ports[0]), (there, ports[1]), bytes(body[8:]))
        elif protocol not in _CONTROL or (body and body[0] == _CONTROL[protocol]):  # else an answer of the kernel's
            self._begin("other", (here, 0), (there, protocol)).up.take(0, bytes(body))

    def _tcp(self, here: str, there: str, body: memoryview) -> None:
        source, target, sequence, _ack, offset, flags = struct.unpack_from("!HHIIBB", body)
        sender, receiver = (here, source), (there, target)
        payload = bytes(body[(offset >> 4) * 4 :])
        if flags & _SYN and not flags & _ACK:
            known = self._by_ends.get(("tcp", sender, receiver))
            if known is None or known.state != "asked":  # else it is sent again
                known = self._begin("tcp", sender, receiver)
            known.up.expected = (sequence + 1) % _WRAP
            return
        flow = self._by_ends.get(("tcp", sender, receiver))
        upwards = flow is not None
        flow = flow or self._by_ends.get(("tcp", receiver, sender))
        if flow is None:
            if not payload:
                return  # the end of a connection that began before
            flow, upwards = self._begin("tcp", sender, receiver), True
            flow.state = "open"
        stream = flow.up if upwards else flow.down
        if flags & _SYN:
            flow.state = "open"
            stream.expected = (sequence + 1) % _WRAP
        elif flags & _RST and not upwards and flow.state == "asked":
            flow.state = "refused"
        elif payload:
            stream.take(sequence, payload)

    def _udp(self, sender: Address, receiver: Address, payload: bytes) -> None:
        if (answered := self._by_ends.get(("udp", receiver, sender))) is not None:
            answered.state = "open"
            answered.down.take(answered.down.expected or 0, payload)
        else:
            self._begin("udp", sender, receiver).up.take(0, payload)

    def _begin(self, protocol: Literal["tcp", "udp", "other"], client: Address, server: Address) -> _Growing:
        flow = _Growing(protocol, client, server)
        self._flows.append(flow)
        self._by_ends[protocol, client, server] = flow
        return flow
