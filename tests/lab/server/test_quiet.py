"""`prove_quiet` fails for each way of spinning, and never for a server that works and then waits."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Quiet
    from tests.lab.conftest import Lab

    from ftps_lab.servers import FtpsServer


class AlwaysWritable:
    """A socket that is always polled for writing but has nothing to write."""

    def __init__(self, ioloop: Any) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._fileno = self._ours.fileno()
        ioloop.register(self._fileno, self, ioloop.WRITE)

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def handle_write_event(self) -> None:
        pass

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


def without_waiting(ioloop: Any) -> None:
    """Make the loop poll without waiting."""
    loop = ioloop.loop
    ioloop.loop = lambda timeout, blocking: loop(0, blocking=blocking)


SPINS: dict[str, Callable[[Any], object]] = {
    "a socket that is always writable": AlwaysWritable,
    "a timer that is always due": lambda ioloop: ioloop.call_every(0, lambda: None),
    "a loop that does not wait": without_waiting,
}


@pytest.fixture
def server(lab: Lab) -> Iterator[FtpsServer]:
    """An attacker with the genuine server behind it."""
    server = lab.serve(attack="intercept")
    yield server
    server.stop()


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("spin", SPINS)
def test_spinning_server_is_noticed(server: FtpsServer, prove_quiet: Quiet, spin: str, behind: bool) -> None:
    """Also the server behind an attacker."""
    spinning = server.behind if behind else server
    assert spinning is not None
    spinning.waker.call(lambda: SPINS[spin](spinning.event_loop))
    with pytest.raises(AssertionError, match="still not quiet"):
        prove_quiet(server, turns=500)


def test_endless_turn_is_noticed(server: FtpsServer, prove_quiet: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that computes within one turn answers no client."""
    monkeypatch.setitem(prove_quiet.__globals__, "ANSWER_SECONDS", 0.1)
    ended: list[bool] = []

    def compute() -> None:
        while not ended:
            pass

    server.waker.call(compute)
    try:
        with pytest.raises(AssertionError, match="one turn"):
            prove_quiet(server)
    finally:
        ended.append(True)


def test_work_before_the_rest_is_not_spinning(lab: Lab, server: FtpsServer, prove_quiet: Quiet) -> None:
    """Afterwards the server's turns are no longer counted."""
    client = lab.victim(server)
    for _ in range(200):
        client.putcmd("NOOP")
    prove_quiet(server)
    for each in (server, server.behind):
        assert each is not None
        assert isinstance(each.event_loop._poller, select.epoll)
    client.close()
