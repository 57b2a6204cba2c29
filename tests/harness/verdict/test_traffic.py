"""A capture compared with the servers' testimony: the owner of each connection. Pure functions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftps_harness.verdict.traffic import elsewhere
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


def held(*flows: Flow, records: tuple[WireRecord, ...] = (TAPPED,), behind: Testimony | None = None, lost: int = 0):  # type: ignore[no-untyped-def]
    testimony = Testimony("genuine", behind=behind)
    return elsewhere(Traffic(flows, lost), testimony, Wire(records), server=SERVER, names=["ftp.example"])


def question(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01" + bytes(6) + labels + b"\0\0\1\0\1"


def test_the_servers_own_connections_are_nothing_else() -> None:
    found = held(CONTROL, PASSIVE, records=(TAPPED, DATA_TAPPED))
    assert (found.reached, found.tried, found.missing) == ((), (), ())


def test_in_active_mode_the_server_is_who_connects() -> None:
    active = Flow("tcp", (HOST, 20), DATA, "open", b"listing", b"hello")
    record = WireRecord("data", DATA, b"hello", b"listing")
    found = held(CONTROL, active, records=(TAPPED, record))
    assert (found.reached, found.missing) == ((), ())
    assert held(CONTROL, active, records=(TAPPED, replace(record, to_server=b"hellO"))).missing


def test_the_genuine_server_behind_an_attacker_is_the_labs_too() -> None:
    peer = (HOST, 41000)
    behind = Testimony("genuine", connections=(Connection(1, "control", peer, 0.0),))
    flow = Flow("tcp", peer, (HOST, 55555), "open", b"x", b"y")
    assert held(CONTROL, flow, behind=behind).reached == ()
    assert held(CONTROL, flow).reached == (f"{HOST} port 55555 by tcp, 1 bytes sent",)


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
def test_any_other_connection_is_to_somebody_else(flow: Flow) -> None:
    found = held(CONTROL, PASSIVE, flow, records=(TAPPED, DATA_TAPPED))
    assert len(found.reached) == 1
    assert found.strangers[0].peer == flow.client


def test_a_port_stands_for_one_connection_alone() -> None:
    """An rc could connect from the port of lftp's own connection after that has ended."""
    assert len(held(CONTROL, CONTROL).reached) == 1
    assert len(held(CONTROL, PASSIVE, PASSIVE, records=(TAPPED, DATA_TAPPED)).reached) == 1


def test_what_nobody_answered_was_tried() -> None:
    refused = Flow("tcp", CLIENT, ("192.0.2.1", 21), "refused")
    silent = Flow("tcp", CLIENT, ("192.0.2.2", 21))
    found = held(CONTROL, refused, silent)
    assert found.tried == ("192.0.2.1 port 21 by tcp: refused", "192.0.2.2 port 21 by tcp: no answer")
    assert found.reached == ()


def test_a_question_for_another_name_was_tried() -> None:
    asked = [Flow("udp", CLIENT, (HOST, 53), "open", question(name)) for name in ("ftp.example", "FTP.example", "a.b")]
    assert held(CONTROL, *asked).tried == ("the address of 'a.b'",)


@pytest.mark.parametrize(
    ("server", "query"),
    [
        (("192.0.2.7", 53), question("ftp.example")),
        ((HOST, 53), question("ftp.example") + b"secret"),
        ((HOST, 53), question("ftp.example") + b"\0\0\x29\x10\0\0\0\0\0\0\6secret"),
        ((HOST, 53), question("ftp.example")[:-3]),
    ],
    ids=["elsewhere", "more", "option", "less"],
)
def test_a_question_that_takes_something_along_is_to_somebody_else(server: tuple[str, int], query: bytes) -> None:
    assert held(CONTROL, Flow("udp", CLIENT, server, "asked", query)).reached != ()


def test_resolvers_may_ask_for_longer_answers() -> None:
    query = question("ftp.example") + b"\0\0\x29\x04\xb0\0\0\0\0\0\0"
    found = held(CONTROL, Flow("udp", CLIENT, (HOST, 53), "asked", query))
    assert (found.reached, found.tried) == ((), ())


def test_what_is_no_question_is_no_name() -> None:
    assert held(CONTROL, Flow("udp", CLIENT, (HOST, 53), "asked", b"short")).reached != ()


def test_a_capture_that_lacks_a_connection_says_so() -> None:
    (sentence,) = held().missing
    assert sentence == "the capture of the loopback lacks connections of the wire tap: control from port 40000"
    (sentence,) = held(lost=3).missing
    assert "lost 3 packets" in sentence


def test_the_tap_must_hold_the_bytes_of_the_wire() -> None:
    for record in (replace(TAPPED, to_server=b"USER b\r\n"), replace(TAPPED, to_client=b"220 y\r\n")):
        (sentence,) = held(CONTROL, records=(record,)).missing
        assert "have different bytes" in sentence


def test_the_tap_may_lack_what_was_not_read_and_hold_what_never_left() -> None:
    more = replace(CONTROL, to_server=CONTROL.to_server + b"PASS x\r\n", to_client=b"220")
    found = held(more)
    assert found.missing == ()
    assert b"USER a\r\nPASS x\r\n" in found.streams  # the search for secrets covers it


def test_a_tap_longer_than_what_was_sent_is_a_lie() -> None:
    assert held(replace(CONTROL, to_server=b"USER"), records=(TAPPED,)).missing
