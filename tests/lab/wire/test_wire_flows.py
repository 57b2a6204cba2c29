"""Reassembled packets: connections, refused connections, and missing bytes."""

from __future__ import annotations

import ipaddress
import random
import struct

import pytest

from ftps_lab.wire import Flow, Flows
from ftps_lab.wire.flows import KEPT

CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 21)
SYN, ACK, RST, FIN = 0x02, 0x10, 0x04, 0x01


def ip(source: str, target: str, protocol: int, body: bytes) -> bytes:
    """A packet as AF_PACKET delivers it on ``lo``."""
    here, there = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if here.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + here.packed + there.packed
        return bytes(12) + b"\x08\x00" + header + body
    return (
        bytes(12)
        + b"\x86\xdd"
        + struct.pack("!IHBB", 6 << 28, len(body), protocol, 64)
        + here.packed
        + there.packed
        + body
    )


def tcp(source: tuple[str, int], target: tuple[str, int], sequence: int, flags: int, data: bytes = b"") -> bytes:
    body = struct.pack("!HHIIBBHHH", source[1], target[1], sequence % (1 << 32), 0, 5 << 4, flags, 0, 0, 0) + data
    return ip(source[0], target[0], 6, body)


def udp(source: tuple[str, int], target: tuple[str, int], data: bytes) -> bytes:
    return ip(source[0], target[0], 17, struct.pack("!HHHH", source[1], target[1], 8 + len(data), 0) + data)


def flows(*packets: bytes) -> tuple[Flow, ...]:
    watched = Flows()
    for packet in packets:
        watched.take(packet)
    return watched.frozen()


def handshake(client: tuple[str, int] = CLIENT, server: tuple[str, int] = SERVER, first: int = 100) -> list[bytes]:
    return [tcp(client, server, first, SYN), tcp(server, client, 500, SYN | ACK), tcp(client, server, first + 1, ACK)]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "192.0.2.77"])
def test_connection_is_reassembled_in_both_directions(address: str) -> None:
    client, server = (address, 40000), (address, 21)
    (flow,) = flows(
        *handshake(client, server),
        tcp(server, client, 501, ACK, b"220 hello\r\n"),
        tcp(client, server, 101, ACK, b"USER a\r\n"),
        tcp(client, server, 109, ACK, b"PASS b\r\n"),
        tcp(client, server, 117, FIN | ACK),
    )
    assert flow == Flow("tcp", client, server, "open", b"USER a\r\nPASS b\r\n", b"220 hello\r\n")


def test_reordered_and_repeated_packets_give_the_same_stream() -> None:
    """Also across the wrap of sequence numbers."""
    data = random.Random(1).randbytes(5000)
    first = (1 << 32) - 1200
    pieces = [tcp(CLIENT, SERVER, first + 1 + at, ACK, data[at : at + 70]) for at in range(0, len(data), 40)]
    for seed in range(20):
        mixed = pieces[:]
        random.Random(seed).shuffle(mixed)
        (flow,) = flows(*handshake(first=first), *mixed)
        assert flow.to_server == data, seed
        assert flow.whole


def test_stream_with_a_hole_is_not_whole() -> None:
    (flow,) = flows(*handshake(), tcp(CLIENT, SERVER, 101, ACK, b"abc"), tcp(CLIENT, SERVER, 110, ACK, b"xyz"))
    assert (flow.to_server, flow.whole) == (b"abc", False)


def test_stream_beyond_the_limit_is_not_whole() -> None:
    size = 60000
    packets = [tcp(CLIENT, SERVER, 101 + at, ACK, bytes(size)) for at in range(0, KEPT + size, size)]
    (flow,) = flows(*handshake(), *packets)
    assert (len(flow.to_server), flow.whole) == (KEPT, False)


def test_reset_in_answer_to_syn_is_a_refused_connection() -> None:
    (flow,) = flows(tcp(CLIENT, SERVER, 1, SYN), tcp(SERVER, CLIENT, 0, RST | ACK))
    assert flow == Flow("tcp", CLIENT, SERVER, "refused")


def test_data_in_a_syn_is_recorded_once() -> None:
    """TCP Fast Open sends it before anything answers; if nothing does, it was on the wire all the same."""
    syn = tcp(CLIENT, SERVER, 100, SYN, b"PASS x\r\n")
    (flow,) = flows(syn, tcp(SERVER, CLIENT, 0, RST | ACK))
    assert (flow.state, flow.to_server) == ("refused", b"PASS x\r\n")
    _, *answers = handshake()
    (flow,) = flows(syn, tcp(CLIENT, SERVER, 100, SYN), syn, *answers, tcp(CLIENT, SERVER, 101, ACK, b"PASS x\r\nQUIT"))
    assert (flow.state, flow.to_server, flow.whole) == ("open", b"PASS x\r\nQUIT", True)


def test_reset_of_an_open_connection_is_not_a_refusal() -> None:
    (flow,) = flows(*handshake(), tcp(SERVER, CLIENT, 501, RST))
    assert flow.state == "open"


def test_reused_port_is_another_connection() -> None:
    again = [tcp(CLIENT, SERVER, 9000, SYN), tcp(SERVER, CLIENT, 70, SYN | ACK), tcp(CLIENT, SERVER, 9001, ACK, b"b")]
    first, second = flows(*handshake(), tcp(CLIENT, SERVER, 101, ACK, b"a"), *again)
    assert (first.to_server, second.to_server) == (b"a", b"b")


def test_content_of_an_earlier_connection_is_recorded() -> None:
    (flow,) = flows(tcp(CLIENT, SERVER, 77, ACK, b"PASS late\r\n"))
    assert (flow.state, flow.to_server) == ("open", b"PASS late\r\n")
    assert flows(tcp(CLIENT, SERVER, 77, FIN | ACK)) == ()


def test_udp_is_recorded_in_both_directions() -> None:
    (flow,) = flows(udp(CLIENT, ("127.0.0.1", 53), b"ask"), udp(("127.0.0.1", 53), CLIENT, b"answer"))
    assert flow == Flow("udp", CLIENT, ("127.0.0.1", 53), "open", b"ask", b"answer")


def test_other_protocols_are_recorded() -> None:
    (flow,) = flows(ip("127.0.0.1", "127.0.0.2", 132, b"sctp"))
    assert flow == Flow("other", ("127.0.0.1", 0), ("127.0.0.2", 132), "asked", b"sctp")


@pytest.mark.parametrize(("address", "protocol", "echo"), [("127.0.0.1", 1, 8), ("::1", 58, 128)])
def test_ping_is_recorded_but_icmp_errors_are_not(address: str, protocol: int, echo: int) -> None:
    (flow,) = flows(ip(address, address, protocol, bytes([echo]) + b"\0\0\0secret"))
    assert b"secret" in flow.to_server
    assert flows(ip(address, address, protocol, b"\3\3\0\0")) == ()


@pytest.mark.parametrize("cut", range(0, 70, 3))
def test_truncated_packet_is_not_an_error(cut: int) -> None:
    for packet in (
        tcp(CLIENT, SERVER, 1, ACK, b"x" * 20),
        tcp(("::1", 1), ("::1", 2), 1, SYN),
        udp(CLIENT, SERVER, b"x"),
    ):
        flows(packet[:cut])


def test_random_packets_are_not_an_error() -> None:
    noise = random.Random(7)
    for _ in range(2000):
        flows(bytes(12) + noise.choice([b"\x08\x00", b"\x86\xdd"]) + noise.randbytes(noise.randrange(90)))
