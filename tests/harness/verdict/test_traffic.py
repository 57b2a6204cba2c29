"""A capture compared with the servers' testimony: the owner of each connection. Pure functions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftps_harness.verdict.traffic import Elsewhere, attempts, elsewhere
from ftps_lab.testimony import Connection, Testimony, Wire, WireRecord
from ftps_lab.wire import Flow, Traffic

HOST = "127.0.0.1"
SERVER = (HOST, 21)
CLIENT = (HOST, 40000)
DATA = (HOST, 40001)
CONTROL = Flow("tcp", CLIENT, SERVER, "open", b"USER a\r\n", b"220 x\r\n")
TAPPED = WireRecord("control", CLIENT, b"USER a\r\n", b"220 x\r\n")
PASSIVE = Flow("tcp", DATA, (HOST, 50000), "open", b"", b"listing")
DATA_TAPPED = WireRecord("data", DATA, b"", b"listing")


def compare_capture(
    *flows: Flow, records: tuple[WireRecord, ...] = (TAPPED,), behind: Testimony | None = None, lost: int = 0
) -> Elsewhere:
    testimony = Testimony("genuine", behind=behind)
    return elsewhere(Traffic(flows, lost), testimony, Wire(records), server=SERVER, names=["ftp.example"])


def dns_query(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01" + bytes(6) + labels + b"\0\0\1\0\1"


OPT = b"\0\0\x29\x04\xb0\0\0\0\0\0\0"
"""An OPT record without options, as glibc sends it."""


def with_records(query: bytes, number: bytes = b"\0\1") -> bytes:
    """A query that announces additional records."""
    return query[:10] + number + query[12:]


def test_recorded_connections_are_not_foreign() -> None:
    found = compare_capture(CONTROL, PASSIVE, records=(TAPPED, DATA_TAPPED))
    assert (found.reached, found.tried, found.missing) == ((), (), ())


def test_active_data_connection_from_the_server_is_not_foreign() -> None:
    active = Flow("tcp", (HOST, 20), DATA, "open", b"listing", b"hello")
    record = WireRecord("data", DATA, b"hello", b"listing")
    found = compare_capture(CONTROL, active, records=(TAPPED, record))
    assert (found.reached, found.missing) == ((), ())
    assert compare_capture(CONTROL, active, records=(TAPPED, replace(record, to_server=b"hellO"))).missing


def test_connection_to_the_server_behind_an_attacker_is_not_foreign() -> None:
    peer = (HOST, 41000)
    behind = Testimony("genuine", connections=(Connection(1, "control", peer, 0.0),))
    flow = Flow("tcp", peer, (HOST, 55555), "open", b"x", b"y")
    assert compare_capture(CONTROL, flow, behind=behind).reached == ()
    assert compare_capture(CONTROL, behind=behind).missing == ()  # no tap recorded it
    assert compare_capture(CONTROL, flow).reached == (f"{HOST} port 55555 by tcp, 1 bytes sent",)


@pytest.mark.parametrize(
    "flow",
    [
        Flow("tcp", CLIENT, (HOST, 4444), "open"),  # the control connection's port, but another host
        Flow("tcp", (HOST, 40009), SERVER, "open"),  # to the server, which recorded no such connection
        Flow("tcp", CLIENT, ("192.0.2.1", 21), "open"),
        Flow("tcp", DATA, ("192.0.2.1", 50000), "open"),
        Flow("tcp", ("192.0.2.1", 20), DATA, "open"),
        Flow("udp", CLIENT, ("192.0.2.1", 123), "asked", b"x"),
        Flow("other", (HOST, 0), (HOST, 132), "asked", b"x"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_unrecorded_connection_is_foreign(flow: Flow, first: bool) -> None:
    """It is not taken for a recorded one either, even if it comes before that."""
    recorded = (CONTROL, PASSIVE)
    flows = (flow, *recorded) if first else (*recorded, flow)
    found = compare_capture(*flows, records=(TAPPED, DATA_TAPPED))
    (reached,) = found.reached
    assert reached.partition(",")[0] == f"{flow.server[0]} port {flow.server[1]} by {flow.protocol}"
    assert found.strangers[0].peer == flow.client
    assert found.missing == ()


def test_second_connection_from_the_same_port_is_foreign() -> None:
    """An rc could reuse the port of lftp's own connection after that has ended."""
    assert len(compare_capture(CONTROL, CONTROL).reached) == 1
    assert len(compare_capture(CONTROL, PASSIVE, PASSIVE, records=(TAPPED, DATA_TAPPED)).reached) == 1


def test_unanswered_connection_counts_as_tried() -> None:
    refused = Flow("tcp", CLIENT, ("192.0.2.1", 21), "refused")
    silent = Flow("tcp", CLIENT, ("192.0.2.2", 21))
    found = compare_capture(CONTROL, refused, silent)
    assert found.tried == ("192.0.2.1 port 21 by tcp: refused", "192.0.2.2 port 21 by tcp: no answer")
    assert found.reached == ()


def test_dns_query_for_another_name_counts_as_tried() -> None:
    names = ("ftp.example", "FTP.eXample", "a.b")  # the case of letters could carry a secret
    asked = [Flow("udp", CLIENT, (HOST, 53), "open", dns_query(name)) for name in names]
    assert compare_capture(CONTROL, *asked).tried == ("the address of 'FTP.eXample'", "the address of 'a.b'")


@pytest.mark.parametrize(
    ("server", "query"),
    [
        (("192.0.2.7", 53), dns_query("ftp.example")),
        ((HOST, 53), dns_query("ftp.example") + b"secret"),
        ((HOST, 53), dns_query("ftp.example") + b"\0\0\x29\x10\0\0\0\0\0\0\6secret"),
        ((HOST, 53), dns_query("ftp.example") + b"\0\0\x10\x10\0\0\0\0\0\0\0"),
        ((HOST, 53), dns_query("ftp.example")[:-3]),
        ((HOST, 53), dns_query("ftp.example")[:-4] + b"pass"),
        ((HOST, 53), dns_query("ftp.example")[:-2] + b"pa"),
        ((HOST, 53), dns_query("ftp.example").replace(b"\1\0", b"pa", 1)),
        ((HOST, 53), with_records(dns_query("ftp.example"), b"pa")),
        ((HOST, 53), with_records(dns_query("ftp.example") + OPT, b"pa")),
        ((HOST, 53), with_records(dns_query("ftp.example") + OPT[:3] + b"pa" + OPT[5:])),
        ((HOST, 53), with_records(dns_query("ftp.example") + OPT[:5] + b"pass" + OPT[9:])),
    ],
    ids=[
        *("another resolver", "trailing data", "an EDNS option", "another record", "truncated"),
        *("type and class", "class", "flags", "records", "records with EDNS", "EDNS size", "EDNS flags"),
    ],
)
def test_dns_query_with_extra_data_or_elsewhere_is_foreign(server: tuple[str, int], query: bytes) -> None:
    assert compare_capture(CONTROL, Flow("udp", CLIENT, server, "asked", query)).reached != ()


def test_dns_query_with_a_plain_edns_record_is_allowed() -> None:
    query = with_records(dns_query("ftp.example") + OPT)
    found = compare_capture(CONTROL, Flow("udp", CLIENT, (HOST, 53), "asked", query))
    assert (found.reached, found.tried) == ((), ())


def test_malformed_dns_query_is_foreign() -> None:
    assert compare_capture(CONTROL, Flow("udp", CLIENT, (HOST, 53), "asked", b"short")).reached != ()


def test_capture_without_a_recorded_connection_is_incomplete() -> None:
    (sentence,) = compare_capture().missing
    assert sentence == "the capture of the loopback lacks connections of the wire tap: control from port 40000"
    (sentence,) = compare_capture(lost=3).missing
    assert "lost 3 packets" in sentence


def test_tap_with_other_bytes_than_the_capture_is_reported() -> None:
    for record in (replace(TAPPED, to_server=b"USER b\r\n"), replace(TAPPED, to_client=b"220 y\r\n")):
        (sentence,) = compare_capture(CONTROL, records=(record,)).missing
        assert "have different bytes" in sentence


def test_capture_and_tap_may_differ_in_unread_bytes() -> None:
    more = replace(CONTROL, to_server=CONTROL.to_server + b"PASS x\r\n", to_client=b"220")
    found = compare_capture(more)
    assert found.missing == ()
    assert b"USER a\r\nPASS x\r\n" in found.streams  # the search for secrets covers it


def test_tap_with_more_client_bytes_than_the_capture_is_reported() -> None:
    assert compare_capture(replace(CONTROL, to_server=b"USER"), records=(TAPPED,)).missing


@pytest.mark.parametrize(
    ("flow", "phrase"),
    [
        (CONTROL, ""),
        (Flow("tcp", CLIENT, (HOST, 4444), "refused"), ""),  # a closed port of this machine
        (Flow("tcp", CLIENT, ("::1", 4444), "refused"), ""),
        (Flow("tcp", CLIENT, ("198.51.100.7", 21), "open", b"USER a"), ""),  # the server
        (Flow("tcp", ("198.51.100.7", 20), ("2001:db8::1", 4444), "open", b"listing"), ""),  # active mode
        (Flow("tcp", ("198.51.100.7", 20), ("2001:db8::1", 4444), "refused"), "2001:db8::1 port 4444 by tcp: refused"),
        (Flow("udp", CLIENT, (HOST, 53), "asked", dns_query("ftp.example")), ""),
        (Flow("udp", CLIENT, (HOST, 53), "asked", dns_query("other.example")), "the address of 'other.example'"),
        (Flow("udp", CLIENT, (HOST, 53), "asked", b"x"), "127.0.0.1 port 53 by udp, 1 bytes sent"),
        (Flow("tcp", CLIENT, ("192.0.2.1", 21), "refused"), "192.0.2.1 port 21 by tcp: refused"),
        (Flow("tcp", CLIENT, ("192.0.2.1", 21), "open"), "192.0.2.1 port 21 by tcp"),  # the program listens there
        (Flow("udp", CLIENT, ("192.0.2.1", 9), "asked", b"x"), "192.0.2.1 port 9 by udp, 1 bytes sent"),
    ],
)
def test_attempts_of_a_program_are_those_beyond_this_machine(flow: Flow, phrase: str) -> None:
    found = attempts(Traffic((flow, flow), 0), server="198.51.100.7", names=["ftp.example"])
    assert found == ((phrase,) if phrase else ())


def test_attempts_in_a_capture_with_losses_are_unknown() -> None:
    assert attempts(Traffic((), 3), server="", names=[]) == ("something unknown: the capture lost 3 packets",)
