"""Packets in, connections out: who talked to whom on a loopback, and what they sent. Pure.

Packets are IPv4 (RFC 791) or IPv6 (RFC 8200) behind an Ethernet header, as AF_PACKET delivers them on ``lo``. The two
streams of a TCP connection (RFC 9293) are reassembled; each UDP datagram (RFC 768) is kept.
"""

from __future__ import annotations

import functools
import ipaddress
import struct
from dataclasses import dataclass, field
from typing import Literal

KEPT = 4 << 20
"""Bytes kept of each direction of a flow; of a longer one only the total length is known."""

Address = tuple[str, int]

_ETHERNET = 14
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP = 6, 17
_CONTROL = {1: 8, 58: 128}
"""ICMP and ICMPv6, and the type of their echo requests, which can carry any data (RFC 792, RFC 4443 section 4.1)."""
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_EXTENSIONS = frozenset({0, 43, 60})
"""IPv6 extension headers with a length field: hop-by-hop, routing, destination (RFC 8200 section 4)."""
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class Flow:
    """One TCP connection, or one UDP datagram and what came back.

    Attributes:
        protocol: ``tcp``, ``udp``, or ``other`` with its number as the server's port.
        client: The address that opened it.
        server: The address that it was sent to.
        state: For TCP: ``refused`` if nothing listened there, ``open`` once both sides agreed, else ``asked``.
        to_server: What the client sent, at most `KEPT` bytes.
        to_client: What came back, at most `KEPT` bytes.
        whole: No bytes are missing in either direction.
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
    """Everything on a loopback during one period.

    Attributes:
        flows: The flows in the order in which they began.
        lost: Packets that the capture missed; if there are any, the flows may be incomplete.
    """

    flows: tuple[Flow, ...] = ()
    lost: int = 0


@functools.lru_cache(maxsize=1024)  # a loopback has few addresses, and every packet repeats them
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
        """Append the new part of a segment; False if bytes before it are missing."""
        assert self.expected is not None
        ahead = (sequence - self.expected) % _WRAP
        if 0 < ahead < _WRAP // 2:
            return False
        self._append(payload[(self.expected - sequence) % _WRAP :])  # some or all of it may be a retransmission
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
    """Takes packets one by one, and assembles them into flows."""

    def __init__(self) -> None:
        self._flows: list[_Growing] = []
        self._by_ends: dict[tuple[str, Address, Address], _Growing] = {}

    def frozen(self) -> tuple[Flow, ...]:
        """The flows so far, in the order in which they began."""
        return tuple(flow.frozen() for flow in self._flows)

    def take(self, packet: bytes | memoryview) -> None:
        """Add one packet with its Ethernet header; anything but IP is ignored (``lo`` carries nothing else)."""
        if len(packet) < _ETHERNET:
            return
        kind = struct.unpack_from("!H", packet, 12)[0]
        ip = memoryview(packet)[_ETHERNET:]  # a loopback packet has up to 64 KiB: never copy a slice
        if kind == _IPV4 and len(ip) >= 20:
            header = (ip[0] & 0x0F) * 4
            end = struct.unpack_from("!H", ip, 2)[0] or len(ip)  # 0: longer than 64 KiB, through segmentation offload
            self._ip(ip[9], bytes(ip[12:16]), bytes(ip[16:20]), ip[header:end])
        elif kind == _IPV6 and len(ip) >= 40:
            protocol, body = ip[6], ip[40:]
            while protocol in _EXTENSIONS and len(body) >= 8:
                protocol, body = body[0], body[(body[1] + 1) * 8 :]
            self._ip(protocol, bytes(ip[8:24]), bytes(ip[24:40]), body)

    def _ip(self, protocol: int, source: bytes, target: bytes, body: memoryview) -> None:
        if protocol == _TCP and len(body) >= 20:
            if len(body) > (body[12] >> 4) * 4 or body[13] & (_SYN | _RST):  # else a bare ACK or FIN: nothing new
                self._tcp(_written(source), _written(target), body)
            return
        here, there = _written(source), _written(target)
        if protocol == _UDP and len(body) >= 8:
            ports = struct.unpack_from("!HH", body)
            self._udp((here, ports[0]), (there, ports[1]), bytes(body[8:]))
        elif protocol not in _CONTROL or (body and body[0] == _CONTROL[protocol]):  # else a reply from the kernel
            self._begin("other", (here, 0), (there, protocol)).up.take(0, bytes(body))

    def _tcp(self, here: str, there: str, body: memoryview) -> None:
        source, target, sequence, _ack, offset, flags = struct.unpack_from("!HHIIBB", body)
        sender, receiver = (here, source), (there, target)
        payload = bytes(body[(offset >> 4) * 4 :])
        if flags & _SYN and not flags & _ACK:
            known = self._by_ends.get(("tcp", sender, receiver))
            if known is None or known.state != "asked":  # else a retransmission
                known = self._begin("tcp", sender, receiver)
                known.up.expected = (sequence + 1) % _WRAP
            if payload:  # TCP Fast Open (RFC 7413): sent whether or not anything listens there
                known.up.take((sequence + 1) % _WRAP, payload)
            return
        flow = self._by_ends.get(("tcp", sender, receiver))
        upwards = flow is not None
        flow = flow or self._by_ends.get(("tcp", receiver, sender))
        if flow is None:
            if not payload:
                return  # the end of a connection that began earlier
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
