"""Addresses in PORT, EPRT, 227 and 229: parsed as leniently as pyftpdlib does, and never wrongly."""

from __future__ import annotations

import ftplib

import pytest

from ftps_lab.wire import addresses

BAD_PORTS = (
    *("", ",", "1", "127,0,0,1", "127,0,0,1,4", "127,0,0,1,4,1,5", "127,0,0,256,4,1", "-1,0,0,1,4,1", "a,b,c,d,e,f"),
    *("127.0.0.1,4,1", "x127,0,0,1,4,1", "127,0,0,1,4,1)", "127,0,0,1,256,0", "127,0,0,1,-1,0", "1e2,0,0,1,4,1"),
    *(",,,,,", "127,0,0,1,4,", "9" * 5000 + ",0,0,1,4,1", "127,0,0,1,4,\0", "127,0,0,1,4,½"),
)
BAD_EPRTS = (
    *("", "|", "||", "|||||", "|1|127.0.0.1|1|1|1|", "1|127.0.0.1|5000|", "|1|127.0.0.1|5000", "|3|127.0.0.1|5000|"),
    *("|1|::1|5000|", "|2|127.0.0.1|5000|", "|1|127.0.0.1|65536|", "|1|127.0.0.1|-1|", "|1|127.0.0.1|x|"),
    *("|1|127.0.0|5000|", "|1|127.0.0.256|5000|", "|1|127.0.0.1||", "|1||5000|", "|x|127.0.0.1|5000|", "|1|\0|5000|"),
)
BAD_229S = (
    *("", "229", "229 (||5000|)", "229 (|||65536|)", "229 (|||-1|)", "229 |||5000|", "229 (|||x|)", "229 (||||)"),
    *("229 (|!|5000|)", "229 (|||123456|)", "229 (|||٣٣|)"),
)
BAD_227S = (
    *("", "227 (127,0,0,1)", "227 (127,0,0,256,4,1)", "227 (127,0,0,1,256,1)", "227 (1127,0,0,1,4,1)"),
    *("227 (127,0,0,1,4,1000)", "227 (٣,0,0,1,4,1)"),
)


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        ("127,0,0,1,4,1", ("127.0.0.1", 1025)),
        ("10,20,30,40,255,255", ("10.20.30.40", 65535)),
        ("0,0,0,0,0,0", ("0.0.0.0", 0)),  # noqa: S104 - nothing binds it
        ("127,0,0,001,4,1", ("127.0.0.1", 1025)),
        (" 127, 0,0,1,4,1 ", ("127.0.0.1", 1025)),
        ("127,0,0,1,0,5000", ("127.0.0.1", 5000)),  # pyftpdlib accepts these two as well
        ("127,0,0,1,20,-1", ("127.0.0.1", 5119)),
    ],
)
def test_port_is_read(argument: str, address: addresses.Address) -> None:
    assert addresses.of_port(argument) == address


@pytest.mark.parametrize("argument", BAD_PORTS)
def test_invalid_port_is_rejected(argument: str) -> None:
    assert addresses.of_port(argument) is None


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        ("|1|127.0.0.1|5000|", ("127.0.0.1", 5000)),
        ("|2|::1|5000|", ("::1", 5000)),
        ("!1!10.0.0.1!0!", ("10.0.0.1", 0)),
        ("|1|127.0.0.1|65535|", ("127.0.0.1", 65535)),
        ("|1|127.0.0.1| 5000|rest", ("127.0.0.1", 5000)),
    ],
)
def test_eprt_is_read(argument: str, address: addresses.Address) -> None:
    assert addresses.of_eprt(argument) == address


@pytest.mark.parametrize("argument", BAD_EPRTS)
def test_invalid_eprt_is_rejected(argument: str) -> None:
    assert addresses.of_eprt(argument) is None


@pytest.mark.parametrize(
    ("reply", "address"),
    [
        ("227 Entering passive mode (127,0,0,1,4,1).", ("127.0.0.1", 1025)),
        ("227 =127,0,0,1,4,1", ("127.0.0.1", 1025)),
        ("227 Entering Passive Mode 10,0,0,1,200,10", ("10.0.0.1", 51210)),
    ],
)
def test_227_is_read(reply: str, address: addresses.Address) -> None:
    assert addresses.of_227(reply) == address


@pytest.mark.parametrize("reply", BAD_227S)
def test_invalid_227_is_rejected(reply: str) -> None:
    assert addresses.of_227(reply) is None


@pytest.mark.parametrize(("reply", "port"), [("229 ok (|||5000|)", 5000), ("229 (!!!65535!)", 65535), ("(|||0|).", 0)])
def test_229_is_read(reply: str, port: int) -> None:
    assert addresses.of_229(reply) == port


@pytest.mark.parametrize("reply", BAD_229S)
def test_invalid_229_is_rejected(reply: str) -> None:
    assert addresses.of_229(reply) is None


@pytest.mark.parametrize("address", [("127.0.0.1", 1), ("10.20.30.40", 65535), ("192.168.0.255", 256)])
def test_written_addresses_are_read_back(address: addresses.Address) -> None:
    """From PORT, EPRT, and a rewritten 227 and 229, whose other text stays."""
    assert addresses.of_port(addresses.as_port(address)) == address
    assert addresses.of_eprt(addresses.as_eprt(address)) == address
    moved = addresses.moved_227("227 Entering passive mode (1,2,3,4,5,6). 7,8", address)
    assert addresses.of_227(moved) == address
    assert (moved[:27], moved[-6:]) == ("227 Entering passive mode (", "). 7,8")
    assert ftplib.parse227(moved)[1] == address[1]
    moved = addresses.moved_229("229 Entering (!!!7!) !", address[1])
    assert moved == f"229 Entering (|||{address[1]}|) !"
    assert ftplib.parse229(moved, address) == address


def test_ipv6_address_is_written_and_read_in_eprt() -> None:
    assert addresses.as_eprt(("::1", 5000)) == "|2|::1|5000|"
    assert addresses.of_eprt("|2|::1|5000|") == ("::1", 5000)
