"""/dev/log in the test's folder: every message from a daemon is in the file, or the record is incomplete."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from ftps_lab.daemons import syslog
from ftps_lab.daemons.pure_ftpd import PureFtpd
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(syslog, "DEVICE", tmp_path / "device")
    return tmp_path / "device"


@pytest.fixture
def running_syslog(device: Path, tmp_path: Path) -> Iterator[syslog.Syslog]:
    taking = syslog.Syslog(tmp_path / "log")
    yield taking
    taking.close()
    taking.close()
    assert not device.exists()


class HeldLog:
    """A log whose writer waits before each line until it may continue."""

    def __init__(self, log: io.FileIO) -> None:
        self._log = log
        self._free = threading.Event()
        self.go_on, self.stop = self._free.set, self._free.clear

    def write(self, line: bytes) -> None:
        assert self._free.wait(30)
        self._log.write(line)


def send_messages(device: Path, *messages: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        for message in messages:
            daemon.sendto(message, str(device))


def test_messages_before_a_flush_are_in_the_file(running_syslog: syslog.Syslog, device: Path, tmp_path: Path) -> None:
    head = b"<94>Nov 22 22:51:17 "
    for number in range(50):
        send_messages(device, head + b"pure-ftpd: %d\n\0" % number, head + b"two\nlines\r\n")
    assert running_syslog.flush()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == [line for number in range(50) for line in (f"pure-ftpd: {number}", "two\\nlines")]


def test_log_whose_writer_has_ended_is_not_quiet(running_syslog: syslog.Syslog, device: Path, tmp_path: Path) -> None:
    """Otherwise the record would count as complete without the end of the daemon's sessions."""
    daemon = object.__new__(PureFtpd)
    daemon._syslog = running_syslog
    assert daemon.is_quiet()
    running_syslog._send(syslog._BARRIER + b"end", 1.0)
    running_syslog._thread.join(5)
    for _ in range(30):  # more than the kernel queues for a reader
        assert not running_syslog.flush(0.01)
    assert not daemon.is_quiet(0.01)
    running_syslog._socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while running_syslog._socket.recv(100):
            pass


def test_late_barrier_does_not_satisfy_the_next_flush(
    running_syslog: syslog.Syslog, device: Path, tmp_path: Path
) -> None:
    """Otherwise, after one flush that timed out, all later ones would read an incomplete log."""
    writing = running_syslog._log
    held = HeldLog(writing)
    running_syslog._log = held  # type: ignore[assignment]
    send_messages(device, b"first")
    assert not running_syslog.flush(0.05)
    held.go_on()
    assert running_syslog.flush()
    held.stop()
    send_messages(device, b"second")
    assert not running_syslog.flush(0.05)
    assert (tmp_path / "log").read_text() == "first\n"
    held.go_on()
    assert running_syslog.flush()
    assert (tmp_path / "log").read_text() == "first\nsecond\n"
    running_syslog._log = writing


def test_second_syslog_at_once_is_refused(running_syslog: syslog.Syslog, device: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="only one such server at a time"):
        syslog.Syslog(tmp_path / "other")
    assert running_syslog.flush()


def test_socket_of_a_killed_syslog_is_replaced(device: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(device))
    again = syslog.Syslog(tmp_path / "log")
    assert again.flush()
    again.close()
