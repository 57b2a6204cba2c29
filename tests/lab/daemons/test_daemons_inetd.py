"""A daemon that is started once per connection, replaced by cat(1), which echoes its input."""

from __future__ import annotations

import os
import signal
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ftps_lab.daemons.inetd import Inetd
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def daemon(tmp_path: Path) -> Any:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    return SimpleNamespace(
        binary="cat",
        folder=tmp_path,
        address=address,
        argv=lambda: ["/bin/sh", "-c", "echo $WORD; exec cat"],
        environment=lambda: {"WORD": daemon_word[0]},
        tail=lambda: "its last words",
    )


daemon_word = ["one"]


@pytest.fixture
def inetd(daemon: Any) -> Iterator[Inetd]:
    running = Inetd(daemon)
    yield running
    running.stop()


def open_session(daemon: Any) -> socket.socket:
    sock = socket.create_connection(daemon.address, 5)
    assert sock.recv(10) == b"one\n"
    sock.sendall(b"hello")
    assert sock.recv(10) == b"hello"
    return sock


def wait_for_end(inetd: Inetd) -> None:
    until = time.monotonic() + 5
    while inetd.children():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_each_connection_has_its_own_process(daemon: Any, inetd: Inetd) -> None:
    first, second = open_session(daemon), open_session(daemon)
    assert len(inetd.children()) == 2
    first.close()
    second.close()
    wait_for_end(inetd)
    inetd.require_alive()


def test_connection_not_yet_accepted_counts_as_a_session(daemon: Any, inetd: Inetd) -> None:
    """Otherwise a server would settle before a client's session has started, and the log would lack it."""
    for _ in range(50):
        with socket.create_connection(daemon.address, 5):
            assert inetd.children()
        wait_for_end(inetd)


def test_environment_is_that_at_the_start(daemon: Any, inetd: Inetd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.daemon_word", ["two"])
    open_session(daemon).close()


def test_sessions_continue_after_stop_listening(daemon: Any, inetd: Inetd) -> None:
    with open_session(daemon) as sock:
        inetd.stop_listening()
        inetd.stop_listening()
        assert not inetd.alive
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(daemon.address, 5)
        next_one = Inetd(daemon)  # the address is free at once
        open_session(daemon).close()
        next_one.stop()
        sock.sendall(b"still there")
        assert sock.recv(20) == b"still there"
        assert len(inetd.children()) == 1
    wait_for_end(inetd)


def test_stop_ends_every_session(daemon: Any, inetd: Inetd) -> None:
    socks = [open_session(daemon) for _ in range(3)]
    pids = inetd.children()
    inetd.stop()
    inetd.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    for sock in socks:
        assert sock.recv(10) == b""
        sock.close()
    assert inetd.children() == []
    with pytest.raises(LabError, match="has died"):
        inetd.require_alive()


def test_crashed_session_is_an_error_in_every_later_call(daemon: Any, inetd: Inetd) -> None:
    with open_session(daemon):
        (pid,) = inetd.children()
        os.kill(pid, signal.SIGSEGV)
        wait_for_end(inetd)
    for _ in range(2):
        with pytest.raises(
            LabError, match=r"(?s)has died \(a session's process was killed by signal 11\).*its last words"
        ):
            inetd.require_alive()


def test_program_that_cannot_be_started_is_an_error(daemon: Any) -> None:
    daemon.argv = lambda: ["/nonexistent/program"]
    inetd = Inetd(daemon)
    try:
        with socket.create_connection(daemon.address, 5) as sock:
            assert sock.recv(10) == b""
        with pytest.raises(LabError, match="cannot start /nonexistent/program"):
            inetd.require_alive()
    finally:
        inetd.stop()


def test_address_in_use_is_an_error(daemon: Any, inetd: Inetd) -> None:
    with pytest.raises(LabError, match=r"cannot listen on 127\.0\.0\.1 port \d+ for cat: Address already in use"):
        Inetd(daemon)
