"""Running many scenarios, several at a time, so that it can be ended at any moment and leaves nothing behind.

Scenarios always run in threads of their own, also one at a time: the main thread only waits, so that Ctrl-C arrives
there and never in the middle of something that must be undone.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from ftps_harness import process
from ftps_harness.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftps_harness.runner import ScenarioResult
    from ftps_harness.scenario import Scenario

Made = TypeVar("Made")

_END_SECONDS = 30.0
"""How long what runs may take to end once its lftp is killed; it takes milliseconds."""


class Watcher(Protocol):
    """Told in the main thread what happens."""

    def started(self, scenario: Scenario) -> None:
        """A scenario begins."""

    def finished(self, result: ScenarioResult) -> None:
        """A scenario ended."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it.

    Attributes:
        results: Of the scenarios that ended, in the order in which they were given.
        interrupted: Ctrl-C (KeyboardInterrupt) ended it.
    """

    results: tuple[ScenarioResult, ...]
    interrupted: bool = False


def play_all(
    scenarios: Sequence[Scenario],
    play: Callable[[Scenario], ScenarioResult],
    watcher: Watcher,
    *,
    jobs: int = 1,
    fail_fast: bool = False,
) -> Played:
    """Run scenarios in `jobs` threads.

    Args:
        scenarios: What to run; begun in this order.
        play: Runs one.
        watcher: Is told.
        jobs: How many at a time.
        fail_fast: Begin no more after the first that failed or broke.

    Raises:
        HarnessError: A scenario that was told to end does not.
        Exception: Whatever `play` or the watcher raises; everything is ended first.
    """
    band = _Band(scenarios, play, fail_fast=fail_fast)
    interrupted = False
    try:
        band.start(min(jobs, len(scenarios)))
        band.listen(watcher)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        band.end()
    return Played(tuple(band.results[index] for index in sorted(band.results)), interrupted)


def apart(work: Callable[[], Made]) -> Made:
    """Do something short in a thread of its own: Ctrl-C comes after it, with all that it makes in place or gone.

    Raises:
        Exception: Whatever `work` raises.
    """
    outcomes: queue.SimpleQueue[Made | _Raised] = queue.SimpleQueue()

    def do() -> None:
        try:
            outcomes.put(work())
        except BaseException as error:  # noqa: BLE001 - it surfaces in the caller
            outcomes.put(_Raised(error))

    thread = threading.Thread(target=do, name="ftps-lab apart")
    thread.start()
    try:
        outcome = outcomes.get()
    finally:
        thread.join()
    if isinstance(outcome, _Raised):
        raise outcome.error
    return outcome


@dataclass(frozen=True, slots=True)
class _Raised:
    """An exception on its way to the main thread."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class _Event:
    """What a thread tells: a scenario begins, a scenario ended, something broke, or the thread has no more to do."""

    scenario: Scenario | None = None
    result: ScenarioResult | None = None
    error: BaseException | None = None


class _Band:
    """The threads that play."""

    def __init__(
        self, scenarios: Sequence[Scenario], play: Callable[[Scenario], ScenarioResult], *, fail_fast: bool
    ) -> None:
        self.results: dict[int, ScenarioResult] = {}
        self._waiting = iter(enumerate(scenarios))
        self._play = play
        self._fail_fast = fail_fast
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failed = threading.Event()
        self._interruption = process.Interruption()
        self._threads: list[threading.Thread] = []

    def start(self, jobs: int) -> None:
        """Begin to play."""
        for number in range(jobs):
            thread = threading.Thread(target=self._work, name=f"ftps-lab run {number + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def listen(self, watcher: Watcher) -> None:
        """Tell the watcher until every thread has ended."""
        left = len(self._threads)
        while left:
            event = self._events.get()
            if event.error is not None:
                raise event.error
            if event.result is not None:
                watcher.finished(event.result)
            elif event.scenario is not None:
                watcher.started(event.scenario)
            else:
                left -= 1

    def end(self) -> None:
        """Kill every lftp that runs, begin nothing more, and wait until all is cleared away."""
        self._stop.set()
        self._interruption.ask()
        until = time.monotonic() + _END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            raise HarnessError(
                f"a scenario did not end within {_END_SECONDS:.0f} seconds; its folder may be left behind"
            )
        self._interruption.close()

    def _work(self) -> None:
        """What each thread does: one scenario after the other."""
        process.INTERRUPTION.set(self._interruption)
        try:
            while (taken := self._take()) is not None:
                index, scenario = taken
                self._events.put(_Event(scenario=scenario))
                result = self._play(scenario)
                if self._stop.is_set():
                    break  # its lftp was killed: this is no result
                self.results[index] = result
                if result.status in {"fail", "error"}:
                    self._failed.set()
                self._events.put(_Event(result=result))
        except BaseException as error:  # noqa: BLE001 - it surfaces in the main thread, whatever it is
            self._events.put(_Event(error=error))
        self._events.put(_Event())

    def _take(self) -> tuple[int, Scenario] | None:
        with self._lock:
            if self._stop.is_set() or (self._fail_fast and self._failed.is_set()):
                return None
            return next(self._waiting, None)
