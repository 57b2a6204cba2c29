"""Facts from the raw bytes alone: data after a positive reply to AUTH, servers that list AUTH, readable content."""

from __future__ import annotations

import hashlib

import pytest

from ftps_harness.sandbox.secrets import Secrets
from ftps_harness.verdict.needles import Passwords
from ftps_harness.verdict.on_the_wire import account
from ftps_lab.testimony import Testimony, Transfer, Wire, WireRecord

SECRETS = Secrets.new()
PASSWORDS = Passwords.of([SECRETS.password])
HELLO = b"220 ready.\r\n"
YES = b"234 AUTH TLS successful.\r\n"
FEATURES = b"211-Features supported:\r\n AUTH TLS\r\n UTF8\r\n211 End FEAT.\r\n"


def wire_from_servers(*streams: bytes, kind: str = "control") -> Wire:
    """A tap with the bytes that servers sent on some connections."""
    assert kind in {"control", "data"}
    return Wire(
        tuple(
            WireRecord("control" if kind == "control" else "data", ("127.0.0.1", port), b"", stream)
            for port, stream in enumerate(streams, 40001)
        )
    )


@pytest.mark.parametrize(
    ("streams", "kinds"),
    [
        ([HELLO + YES + b"\x16\x03\x03\x00\x7a"], {"tls"}),
        ([HELLO + YES + b"\x14\x03\x03\x00\x01\x01"], {"tls"}),
        ([HELLO + YES + b"\x15\x03\x03\x00\x02\x02\x28"], {"alert"}),
        ([HELLO + YES], {"nothing"}),
        ([HELLO + YES + b"200 Forged.\r\n\x16\x03\x03"], {"text"}),
        ([HELLO + YES + b"454 no\r\n"], {"text"}),
        ([HELLO + YES + b"\n"], {"text"}),
        ([HELLO + FEATURES + YES + b"\x16\x03", HELLO + YES + b"2"], {"tls", "text"}),
        ([HELLO + b"502 no\r\n"], set()),
        ([HELLO], set()),
        ([b""], set()),
        ([b"\x16\x03\x03\x00\x7a" + b"\n234 by chance\n2"], set()),
        ([HELLO + b"211-x\r\n 234 is no reply\r\n211 end\r\n2"], set()),
    ],
)
def test_bytes_after_a_positive_reply_to_auth_are_classified(streams: list[bytes], kinds: set[str]) -> None:
    assert account(wire_from_servers(*streams), Testimony("genuine"), SECRETS, PASSWORDS).behind_auth == kinds


@pytest.mark.parametrize(
    ("stream", "listed"),
    [
        (HELLO + FEATURES, True),
        (HELLO + FEATURES + YES + b"\x16\x03", True),
        (HELLO + FEATURES.replace(b" AUTH TLS\r\n", b""), False),
        (HELLO + b"500 AUTH is not known here.\r\n", False),
        (HELLO + b"211-Features:\r\n AUTHENTIC\r\n211 End.\r\n", False),
        (HELLO + YES + b"\x16\x03\n AUTH TLS\n", False),
        (b"\x16\x03\n AUTH TLS\n", False),
    ],
)
def test_auth_is_listed_only_by_a_clear_reply_to_feat(stream: bytes, listed: bool) -> None:
    told = account(wire_from_servers(stream), Testimony("genuine"), SECRETS, PASSWORDS)
    assert told.lists_auth is listed


def test_bytes_on_a_data_connection_are_not_replies() -> None:
    """A file may look like a control connection."""
    told = account(wire_from_servers(HELLO + FEATURES + YES, kind="data"), Testimony("genuine"), SECRETS, PASSWORDS)
    assert (told.behind_auth, told.lists_auth) == (frozenset(), False)


@pytest.mark.parametrize("forged", [False, True])
def test_content_is_recognised_by_its_hash_unless_forged(forged: bool) -> None:
    content = b"drwx nobody\r\n"
    digest = hashlib.sha256(content).hexdigest()
    sent = Transfer(1, 1, "LIST", "", "download", len(content), digest, "clear", "", completed=True, forged=forged)
    told = account(wire_from_servers(content, kind="data"), Testimony("genuine", transfers=(sent,)), SECRETS, PASSWORDS)
    assert told.payload is not forged


def test_secret_content_counts_even_if_forged() -> None:
    content = SECRETS.content
    sent = Transfer(1, 1, "RETR", "", "download", len(content), "", "clear", "", completed=True, forged=True)
    told = account(wire_from_servers(content, kind="data"), Testimony("genuine", transfers=(sent,)), SECRETS, PASSWORDS)
    assert told.payload


@pytest.mark.parametrize(("content", "readable"), [(b"abc", True), (b"abcd", False)])
def test_only_content_transferred_in_clear_is_readable(content: bytes, readable: bool) -> None:
    digest = hashlib.sha256(b"abc").hexdigest()
    sent = Transfer(1, 1, "RETR", "", "download", 3, digest, "clear", "", completed=True)
    told = account(wire_from_servers(content, kind="data"), Testimony("genuine", transfers=(sent,)), SECRETS, PASSWORDS)
    assert told.payload is readable
    in_tls = Transfer(1, 1, "RETR", "", "download", 3, digest, "tls", "", completed=True)
    told = account(
        wire_from_servers(content, kind="data"), Testimony("genuine", transfers=(in_tls,)), SECRETS, PASSWORDS
    )
    assert not told.payload


def test_empty_transfer_in_clear_is_not_readable_content() -> None:
    sent = Transfer(1, 1, "LIST", "", "download", 0, hashlib.sha256(b"").hexdigest(), "clear", "", completed=True)
    told = account(wire_from_servers(b"", kind="data"), Testimony("genuine", transfers=(sent,)), SECRETS, PASSWORDS)
    assert not told.payload


def test_password_is_found_in_bytes_of_a_server() -> None:
    wire = wire_from_servers(HELLO, b"550 " + SECRETS.password.encode())
    assert account(wire, Testimony("genuine"), SECRETS, PASSWORDS).password
    assert not account(wire, Testimony("genuine"), SECRETS, Passwords()).password
    assert not account(wire_from_servers(HELLO), Testimony("genuine"), SECRETS, PASSWORDS).password


def record(kind: int, length: int) -> bytes:
    """A TLS record with arbitrary content."""
    return bytes([kind, 3, 3]) + length.to_bytes(2) + b"\x17" * length


SHAKING = record(0x16, 300) + record(0x14, 1)
AGAIN = record(0x16, 300)[:5] + b"\x01" + bytes(299)
"""A second ClientHello, after the ChangeCipherSpec (RFC 8446 section 4.1.4)."""

FINISHED, COMMAND, ALERT = record(0x17, 53), record(0x17, 40), record(0x17, 19)


@pytest.mark.parametrize(
    ("stream", "talks"),
    [
        (SHAKING + FINISHED + COMMAND * 2, True),
        (b"AUTH TLS\r\n" + SHAKING + FINISHED + COMMAND * 2 + ALERT, True),
        (b"FEAT\r\nAUTH TLS\r\n" + SHAKING + FINISHED + COMMAND * 2, True),
        (SHAKING + FINISHED + record(0x17, 20) * 2, True),
        (SHAKING + record(0x16, 53) + COMMAND * 2, True),
        (SHAKING + FINISHED + COMMAND, False),  # queued by lftp when it refused
        (SHAKING + FINISHED + COMMAND + ALERT, False),
        (SHAKING + AGAIN + FINISHED + COMMAND, False),
        (SHAKING + AGAIN + FINISHED + COMMAND * 2, True),
        (SHAKING + FINISHED + ALERT, False),
        (SHAKING + FINISHED, False),
        (SHAKING + record(0x16, 53) + COMMAND, False),
        (SHAKING + record(0x15, 40) + record(0x15, 40), False),
        (b"AUTH TLS\r\n" + SHAKING, False),
        (b"USER u\r\nPASS p\r\n" + b"\x17\x03\x03\x00\x28" * 9, False),
        (b"", False),
    ],
)
def test_commands_in_tls_are_recognised_by_their_records(stream: bytes, talks: bool) -> None:
    """A login needs two commands. A Finished or alert does not count, nor do bytes inside a record or in clear."""
    for kind in ("control", "data"):
        wire = Wire((WireRecord("control" if kind == "control" else "data", ("127.0.0.1", 40001), stream, b""),))
        told = account(wire, Testimony("genuine"), SECRETS, PASSWORDS).talks
        assert told == (frozenset({("control", 40001)}) if talks and kind == "control" else frozenset())


@pytest.mark.parametrize(
    ("kind", "stream", "begun"),
    [
        ("control", SHAKING, True),
        ("control", b"AUTH TLS\r\n" + SHAKING, True),
        ("control", b"USER u\r\n", False),
        ("data", SHAKING, False),
    ],
)
def test_tls_begun_by_the_client_is_recognised_on_control_connections(kind: str, stream: bytes, begun: bool) -> None:
    wire = Wire((WireRecord("control" if kind == "control" else "data", ("127.0.0.1", 40001), stream, b""),))
    hellos = account(wire, Testimony("genuine"), SECRETS, PASSWORDS).hellos
    assert hellos == (frozenset({("control", 40001)}) if begun else frozenset())
