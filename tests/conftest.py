"""Fixtures for all tests: the Docker engine, a browser, and the proof that a waiting server is idle."""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import signal
import tempfile
import time
from typing import TYPE_CHECKING, Any

import pytest

from ftps_harness import doctor
from ftps_lab import containers, temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from ftps_lab.containers import Engine
    from ftps_lab.servers import FtpsServer

    Quiet = Callable[..., None]


def pytest_configure() -> None:
    """Reset ignored signals: every process that we start would inherit them, and tests of signals would hang.

    nohup makes its program ignore SIGHUP; a shell makes a background job ignore SIGINT and SIGQUIT. (So nohup does not
    keep these tests alive when the terminal closes; setsid does.)
    """
    gc.disable()  # until the tests are collected
    _use_plain_tmpdir()
    for number, usual in (
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def _use_plain_tmpdir() -> None:
    """Tests create HOMEs in pytest's folders too, and lftp reads no rc below a path with a blank (`temporary`)."""
    place = temporary.place()
    if place != temporary.wanted_place():
        os.environ["TMPDIR"] = tempfile.tempdir = str(place)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that uses `engine`, directly or through another fixture: `make test` leaves those out."""
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker("containers")


def pytest_collection_finish() -> None:
    """Let the garbage collector skip what stays until the end: seven processes with 7,000 collected tests each."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The Docker engine of this machine. A test that uses it belongs to `make test-containers`."""
    if reason := containers.why_no_engine():
        pytest.skip(reason)
    with contextlib.closing(containers.connect()) as engine:
        if reason := containers.why_no_bases(engine, fetch=True):
            pytest.skip(f"base images {reason}")  # the sentence that doctor prints
        yield engine


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium; if it or its driver is missing, the tests are skipped with doctor's reason."""
    if why := doctor.why_no_browser():
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    # chromium has no sandbox for root; a small /dev/shm, as in containers, would crash it.
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=doctor.chromium(), args=[*as_root, "--disable-dev-shm-usage"])
        yield launched
        launched.close()


@pytest.fixture(autouse=True)
def _only_marked_tests_reach_the_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make a test that needs an engine without declaring it fail here too, not only on a machine without one."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("containers") is None:
            patch.setenv("DOCKER_HOST", "unix:///nowhere/this-test-does-not-use-the-fixture-engine.sock")
        yield


ROUNDS, PAUSE = 10, 0.001
"""How many checks in a row must find a server idle, and the seconds between them."""

SOON = 0.1
"""Seconds. A server that wants to be woken within this time is not idle."""

ANSWER_SECONDS = 30.0
"""Only a server that is stuck in one turn of its event loop fails to answer within this time."""


class Turns:
    """Replaces the poller of a server's event loop, and counts in the server's thread why the server is woken."""

    def __init__(self, server: FtpsServer) -> None:
        self._ioloop = server.event_loop
        self._waker = server.waker
        self._poller = self._ioloop._poller
        self._turns = self._idle = 0
        self._ioloop._poller = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        """Count a turn. It is idle if only we woke the server and it would otherwise have slept for long."""
        events: list[tuple[int, int]] = self._poller.poll(timeout)
        self._turns += 1
        self._idle += [fd for fd, _ in events] == [self._waker.fileno] and not 0 <= timeout < SOON
        return events

    def end(self) -> None:
        """Stop counting."""
        self._ioloop._poller = self._poller

    def ask(self) -> tuple[int, int]:
        """The number of turns so far, including the one that answers this, and how many of them were idle."""
        answers: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._waker.call(lambda: answers.put((self._turns, self._idle)))
        try:
            return answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise AssertionError(f"one turn of the event loop takes more than {ANSWER_SECONDS} seconds") from None


@pytest.fixture
def prove_quiet() -> Quiet:
    """Wait until these servers, and those behind them, are idle; a server that spins fails the test.

    Neither a clock nor processor usage decides. An honest server fills the buffers that it can, in at most `turns` of
    its event loop, however long that takes on a slow machine; after that it only makes the turns that this fixture asks
    for. A server that spins uses up its `turns`: whatever it spins on is present in each of them, even if a busy
    machine lets it make only one between two questions.
    """

    def prove(*servers: FtpsServer, turns: int = 5000) -> None:
        behind = [server.behind for server in servers if server.behind is not None]
        watched = [Turns(server) for server in (*servers, *behind)]
        try:
            spent = quiet = 0
            last = [each.ask() for each in watched]
            while quiet < ROUNDS:
                time.sleep(PAUSE)
                now = [each.ask() for each in watched]
                # Each should have made one turn, an idle one; a server that has ended makes none.
                gone = [(made[0] - before[0], made[1] - before[1]) for before, made in zip(last, now, strict=True)]
                assert all(made for made, _ in gone), "a server has ended"
                quiet = quiet + 1 if set(gone) == {(1, 1)} else 0
                spent += sum(max(made - 1, made - idle) for made, idle in gone)
                last = now
                assert spent <= turns, f"{spent} turns of the event loop, and still not quiet"
        finally:
            for each in watched:
                each.end()

    return prove
