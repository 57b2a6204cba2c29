"""Running many scenarios (or pairs of the matrix), several at a time: ended at any moment, with nothing left behind.

They always run in threads of their own, also one at a time: the main thread only waits, and can be told at any
moment that the end is asked for.
"""

from __future__ import annotations

import contextlib
import queue
import resource
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ftps_harness.errors import HarnessError, sentence
from ftps_harness.sandbox import process, signals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FILES, _FILES_EACH = 40, 24
"""Open files of the process, and of each that runs. Measured over the catalogue: 28 with `-j 1`, 242 with `-j 16`."""

_LISTEN_SECONDS = 0.25

_END_SECONDS = 30.0
"""How long what runs may take to end once its lftp is killed; it takes milliseconds."""


class Judged(Protocol):
    """What came of playing one."""

    @property
    def status(self) -> str:
        """``fail`` and ``error`` end a run with `fail_fast`."""


Item = TypeVar("Item")
Result = TypeVar("Result", bound=Judged)
_Item_contra = TypeVar("_Item_contra", contravariant=True)
_Result_contra = TypeVar("_Result_contra", contravariant=True)


class Watcher(Protocol[_Item_contra, _Result_contra]):
    """Told in the main thread what happens."""

    def started(self, item: _Item_contra, /) -> None:
        """One begins."""

    def finished(self, result: _Result_contra, /) -> None:
        """One ended."""


@dataclass(frozen=True, slots=True)
class Played(Generic[Result]):
    """What came of it.

    Attributes:
        results: Of those that ended, in the order in which they were given.
        interrupted: Ctrl-C or another such signal ended it.
        problem: Why something that ran has not been cleared away, as a sentence; empty when all was.
    """

    results: tuple[Result, ...]
    interrupted: bool = False
    problem: str = ""


def affordable(jobs: int) -> int:
    """How many can run at a time within this process's limit of open files, which is raised where that is allowed."""
    needed = _FILES + jobs * _FILES_EACH
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < needed:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard < 0 else min(needed, hard), hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return jobs if soft < 0 or soft >= needed else max(1, (soft - _FILES) // _FILES_EACH)


def play_all(
    items: Sequence[Item],
    play: Callable[[Item], Result],
    watcher: Watcher[Item, Result],
    *,
    jobs: int = 1,
    fail_fast: bool = False,
    cost: Callable[[Item], float] | None = None,
) -> Played[Result]:
    """Run them in `jobs` threads.

    Args:
        items: What to run; begun in this order.
        play: Runs one.
        watcher: Is told.
        jobs: How many at a time.
        fail_fast: Begin no more after the first that failed or broke.
        cost: With several at a time the items that cost most begin first, so that none of them runs alone at the end;
            those that cost the same keep their order.

    Raises:
        HarnessError: No thread can be started.
        Exception: Whatever `play` or the watcher raises; everything is ended first.
    """
    order = list(enumerate(items))
    if cost is not None and jobs > 1:
        order.sort(key=lambda numbered: -cost(numbered[1]))
    workers = _WorkerPool(order, play, fail_fast=fail_fast)
    problem = ""
    with signals.on_shutdown_signal(workers.interrupt):
        try:
            workers.start(min(jobs, len(items)))
            interrupted = not workers.listen(watcher)
        finally:
            problem = workers.end()
    return Played(tuple(workers.results[index] for index in sorted(workers.results)), interrupted, problem)


@dataclass(frozen=True, slots=True)
class _Event(Generic[Item, Result]):
    """Message to the main thread. All fields unset: this worker has finished."""

    item: Item | None = None
    """It begins."""
    result: Result | None = None
    """It ended."""
    error: BaseException | None = None
    """Something broke in a thread."""
    interrupted: bool = False
    """The end is asked for."""


class _WorkerPool(Generic[Item, Result]):
    """The threads that play."""

    def __init__(self, items: Sequence[tuple[int, Item]], play: Callable[[Item], Result], *, fail_fast: bool) -> None:
        self.results: dict[int, Result] = {}
        self._waiting = iter(items)
        self._play = play
        self._fail_fast = fail_fast
        self._events: queue.SimpleQueue[_Event[Item, Result]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failed = threading.Event()
        self._interruption = process.Interruption()
        self._threads: list[threading.Thread] = []

    def start(self, jobs: int) -> None:
        """Begin to play, with fewer threads where the machine has no more of them.

        Raises:
            HarnessError: It has none.
        """
        for number in range(jobs):
            thread = threading.Thread(target=self._work, name=f"ftps-lab run {number + 1}", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:
                if not self._threads:
                    raise HarnessError(f"nothing can be run: {sentence(error)}") from error
                return
            self._threads.append(thread)

    def interrupt(self) -> None:
        """Ask for the end; in the middle of anything."""
        self._events.put(_Event(interrupted=True))

    def listen(self, watcher: Watcher[Item, Result]) -> bool:
        """Tell the watcher until every thread has ended; False when the end was asked for."""
        left = len(self._threads)
        while left:
            event = self._next()
            if event.interrupted:
                return False
            if event.error is not None:
                raise event.error
            if event.result is not None:
                watcher.finished(event.result)
            elif event.item is not None:
                watcher.started(event.item)
            else:
                left -= 1
        return True

    def _next(self) -> _Event[Item, Result]:
        """The next event. A signal that came just before the wait is not heard before its end, so none is long."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._events.get(timeout=_LISTEN_SECONDS)

    def end(self) -> str:
        """Kill every lftp that runs, begin nothing more, and wait until all is cleared away: what was not, if so."""
        self._stop.set()
        self._interruption.ask()
        until = time.monotonic() + _END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            return f"what was running did not end within {_END_SECONDS:.0f} seconds; the next start removes its folder"
        self._interruption.close()
        return ""

    def _work(self) -> None:
        """What each thread does: one after the other."""
        process.INTERRUPTION.set(self._interruption)
        try:
            while (taken := self._take()) is not None:
                index, item = taken
                self._events.put(_Event(item=item))
                result = self._play(item)
                if self._stop.is_set():
                    break  # its lftp was killed: this is no result
                self.results[index] = result
                if result.status in {"fail", "error"}:
                    self._failed.set()
                self._events.put(_Event(result=result))
        except BaseException as error:  # noqa: BLE001 - it surfaces in the main thread, whatever it is
            self._events.put(_Event(error=error))
        self._events.put(_Event())

    def _take(self) -> tuple[int, Item] | None:
        with self._lock:
            if self._stop.is_set() or (self._fail_fast and self._failed.is_set()):
                return None
            return next(self._waiting, None)
