"""TLS records, read from raw bytes: whole ones, a truncated one, and bytes that only look like one."""

from __future__ import annotations

import pytest

from ftps_lab.daemons.log import Exchange
from ftps_lab.wire import tls

HELLO = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"
CONTENT = b"\x17\x03\x03\x00\x03abc"


def test_stream_is_read_record_by_record() -> None:
    first, second = tls.walk(HELLO + CONTENT)
    assert (first.kind, first.start, first.end, first.body, first.length) == (tls.HANDSHAKE, 0, 9, HELLO[5:], 4)
    assert (second.kind, second.start, second.end, second.body) == (tls.APPLICATION_DATA, 9, 17, b"abc")
    assert list(tls.walk(bytearray(b"x" + CONTENT), 1)) == [tls.Record(tls.APPLICATION_DATA, 1, 9, b"abc")]


def test_last_record_may_be_truncated() -> None:
    """`walk` returns its existing part, `records` omits it; both omit a truncated header."""
    for missing in (1, 3):
        cut = HELLO + CONTENT[:-missing]
        *_, last = tls.walk(cut)
        assert (last.length, last.body) == (3, b"abc"[:-missing])
        assert ([record.kind for record in tls.records(cut)[0]], tls.records(cut)[1]) == ([tls.HANDSHAKE], True)
    for length in range(5):
        assert [record.end for record in tls.walk(HELLO + CONTENT[:length])] == [9]
        assert tls.records(HELLO + CONTENT[:length])[1] is True


@pytest.mark.parametrize(
    "rest",
    [b"a", b"220 ready\r\n", b"\x16\x02", b"\x13\x03\x03\x00\x01a", b"\x18\x03\x03\x00\x01a", b"\x17\x03\x03\x00\x00"],
)
def test_bytes_that_are_not_a_record_make_a_stream_impure(rest: bytes) -> None:
    found, pure = tls.records(HELLO + rest)
    assert ([record.kind for record in found], pure) == ([tls.HANDSHAKE], False)


def test_overlong_record_makes_a_stream_impure() -> None:
    assert tls.records(b"\x17\x03\x03\xff\xff") == ([], False)
    assert tls.records(b"") == ([], True)


@pytest.mark.parametrize(
    ("stream", "client", "server"),
    [
        (HELLO, 0, 0),
        (b"AUTH TLS\r\n" + HELLO, 10, 10),
        (b"AUTH TLS\r\n", None, None),
        (b"234 go\r\n\x15\x03\x03\x00\x02\x02\x28", None, 8),
        (b"x" + HELLO, None, None),
    ],
)
def test_begins_finds_the_first_handshake_or_alert(stream: bytes, client: int | None, server: int | None) -> None:
    assert tls.begins(stream) == client
    assert tls.begins(stream, or_alert=True) == server


@pytest.mark.parametrize(
    ("reply", "port"),
    [
        ((227, "Entering Passive Mode (127,0,0,1,195,80)."), 50000),
        ((229, "Entering Extended Passive Mode (|||50000|)"), 50000),
        ((227, "no address here"), None),
        ((229, "(||50000|)"), None),
        ((200, "(127,0,0,1,195,80)"), None),
    ],
)
def test_announced_port_is_read_from_227_and_229(reply: tuple[int, str], port: int | None) -> None:
    assert Exchange("PASV", "", [reply]).announced == port
