"""The class's view of a testimony while it grows."""

from __future__ import annotations

import io
import os
import pty
from dataclasses import replace

import pytest

from ftps_harness.teach.keys import KEYS, Keys
from ftps_harness.teach.live import Events
from ftps_lab.testimony import Alert, Command, Connection, Credential, Handshake, Testimony, Transfer

CONTROL = Connection(1, "control", ("127.0.0.1", 4000), 0.0)


def transfer(name: str, size: int, *, completed: bool) -> Transfer:
    """A download in clear."""
    return Transfer(2, 1, "RETR", name, "download", size, "", "clear", "", completed)


def test_each_event_is_printed_once() -> None:
    events = Events()
    first = Testimony("genuine", connections=(CONTROL,), commands=(Command(1, "AUTH", "TLS", "clear", 234),))
    assert list(events.new(first)) == ["  [1] connected, from port 4000", "  [1] IN CLEAR: AUTH TLS -> 234"]
    assert list(events.new(first)) == []
    events.forget()
    assert len(list(events.new(first))) == 2


@pytest.mark.parametrize(
    ("role", "channel", "said"),
    [
        ("genuine", "tls", []),
        ("genuine", "clear", ["readable on the wire"]),
        ("impostor", "tls", ["CAPTURED"]),
        ("impostor", "clear", ["CAPTURED", "readable on the wire"]),
    ],
)
def test_password_is_printed_if_captured_or_readable_on_the_wire(role: str, channel: str, said: list[str]) -> None:
    login = Credential(1, "alice", "sunflower7", channel, accepted=True)  # type: ignore[arg-type]  # as parametrized
    told = list(Events().new(Testimony(role, credentials=(login,))))  # type: ignore[arg-type]  # the same
    assert told[-1] == "  [1] alice is logged in"
    assert [line.split("] ")[1].split(" password")[0].rstrip(":") for line in told[:-1]] == said
    assert all("sunflower7" in line for line in told[:-1])


def test_events_of_one_moment_are_in_the_order_of_their_times() -> None:
    """A testimony lists each kind of event on its own: the handshake must not come before the AUTH that led to it."""
    events = Events()
    testimony = Testimony(
        "genuine",
        connections=(CONTROL,),
        handshakes=(Handshake(1, True, "TLSv1.3", "x", "localhost", "AA", at=0.2),),
        commands=(Command(1, "AUTH", "TLS", "clear", 234, at=0.1), Command(1, "USER", "alice", "tls", 331, at=0.3)),
        credentials=(Credential(1, "alice", "sunflower7", "tls", accepted=True, at=0.4),),
    )
    assert [line.split("] ")[1] for line in events.new(testimony)] == [
        "connected, from port 4000",
        "IN CLEAR: AUTH TLS -> 234",
        "TLSv1.3, for localhost",
        "in TLS: USER alice -> 331",
        "alice is logged in",
    ]


def test_client_that_leaves_without_a_password_is_reported_once() -> None:
    events = Events()
    closed = replace(CONTROL, closed_at=0.5)
    other = replace(CONTROL, number=2, closed_at=0.6)
    login = Credential(2, "alice", "x", "tls", accepted=True, at=0.55)
    alerts = (
        Alert(1, "received", "fatal", "bad certificate", 0.4),
        Alert(1, "received", "warning", "close_notify", 0.4),
    )
    list(events.new(Testimony("genuine", connections=(CONTROL, replace(CONTROL, number=2)))))
    testimony = Testimony("genuine", connections=(closed, other), alerts=alerts, credentials=(login,))
    assert list(events.new(testimony)) == [
        "  [1] TLS alert from the client: bad certificate",
        "  [1] left without sending a password",
        "  [2] alice is logged in",
    ]
    assert list(events.new(testimony)) == []


def test_text_of_a_client_is_escaped() -> None:
    hostile = Testimony(
        "genuine",
        commands=(Command(1, "USER", "\x1b]0;x\x07", "clear", 331),),
        credentials=(Credential(1, "\x1b[2J", "\x07", "clear", accepted=False),),
        handshakes=(Handshake(1, True, "TLSv1.3", "x", "\x1b[2J", "AA"),),
        transfers=(transfer("\x1b[2J", 3, completed=True),),
    )
    told = list(Events().new(hostile))
    assert len(told) == 5
    assert not any(letter in line for line in told for letter in "\x1b\x07")


def test_transfer_is_printed_once_complete() -> None:
    events = Events()
    begun, whole = transfer("a", 3, completed=False), transfer("a", 9, completed=True)
    assert list(events.new(Testimony("genuine", transfers=(begun,)))) == []
    assert list(events.new(Testimony("genuine", transfers=(whole,)))) == [
        "  [2] download a, 9 bytes, readable on the wire"
    ]


class TestKeys:
    def test_pipe_is_read_as_lines(self) -> None:
        reading, writing = os.pipe()
        with os.fdopen(reading) as stream, Keys(stream) as keys:
            assert not keys.live
            assert keys.read() is None
            os.write(writing, b"nonsense\nnext\nq")
            assert keys.read() == "next"
            assert keys.read() is None
            os.write(writing, b"uit\n")
            assert keys.read() == "quit"
            os.close(writing)
            assert keys.read() is None
            assert keys.read() is None

    def test_terminal_is_read_by_key_and_restored(self) -> None:
        ours, theirs = pty.openpty()
        import termios

        before = termios.tcgetattr(theirs)
        with os.fdopen(theirs, closefd=False) as stream, Keys(stream) as keys:
            assert keys.live
            assert termios.tcgetattr(theirs) != before
            for typed, meant in (
                (b"x", None),
                (b"\n", "next"),
                (b"p", "previous"),
                (b"r", "rotate"),
                (b"\x04", "quit"),
            ):
                os.write(ours, typed)
                assert keys.read() == meant
        assert termios.tcgetattr(theirs) == before
        os.close(ours)
        os.close(theirs)

    def test_missing_input_yields_no_key(self) -> None:
        for stream in (None, io.StringIO()):
            with Keys(stream) as keys:
                assert keys.read() is None

    def test_keys_cover_every_action(self) -> None:
        assert set(KEYS.values()) == {"next", "previous", "rotate", "quit"}
