"""Runs many scenarios (or pairs of the matrix) concurrently; can stop at any moment and leaves nothing behind.

They always run in worker threads, even one at a time: the main thread only waits, so it can react to a request to stop
at any moment.
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
"""Open files of the process, and of each running item. Measured on the catalogue: 28 with `-j 1`, 242 with `-j 16`."""

_LISTEN_SECONDS = 0.25

_END_SECONDS = 30.0
"""Time limit for a running item to end once its lftp is killed; it takes milliseconds."""


class Judged(Protocol):
    """The result of one item."""

    @property
    def status(self) -> str:
        """``fail`` and ``error`` end a run with `fail_fast`."""


Item = TypeVar("Item")
Result = TypeVar("Result", bound=Judged)
_Item_contra = TypeVar("_Item_contra", contravariant=True)
_Result_contra = TypeVar("_Result_contra", contravariant=True)


class Watcher(Protocol[_Item_contra, _Result_contra]):
    """Receives events in the main thread."""

    def started(self, item: _Item_contra, /) -> None:
        """An item has started."""

    def finished(self, result: _Result_contra, /) -> None:
        """An item has ended."""


@dataclass(frozen=True, slots=True)
class Played(Generic[Result]):
    """The results of all items.

    Attributes:
        results: The results of the items that ended, in the order in which the items were given.
        interrupted: Whether Ctrl-C or a similar signal ended the run.
        problem: Why something could not be cleaned up, as a sentence; empty if everything was.
    """

    results: tuple[Result, ...]
    interrupted: bool = False
    problem: str = ""


def affordable(jobs: int) -> int:
    """How many of `jobs` fit into this process's limit of open files, which is raised if permitted."""
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
    ahead: int = 0,
    fail_fast: bool = False,
    cost: Callable[[Item], float] | None = None,
) -> Played[Result]:
    """Run the items in threads.

    Args:
        items: What to run; started in this order.
        play: Runs one item.
        watcher: Receives the events.
        jobs: How many items to run at a time.
        ahead: How many more items to work on while programs of `jobs` items run. Their own programs wait for a turn, so
            this overlaps only the work before and after programs: servers, folders, judgement.
        fail_fast: Start no more items after the first failure or error.
        cost: The cost of an item. With several at a time the most expensive start first, so that none of them runs
            alone at the end; items of equal cost keep their order.

    Raises:
        HarnessError: No thread can be started.
        Exception: Whatever `play` or the watcher raises; everything is ended first.
    """
    order = list(enumerate(items))
    if cost is not None and jobs > 1:
        order.sort(key=lambda numbered: -cost(numbered[1]))
    workers = _WorkerPool(order, play, turn=threading.Semaphore(jobs) if ahead else None, fail_fast=fail_fast)
    problem = ""
    with signals.on_shutdown_signal(workers.interrupt):
        try:
            workers.start(min(jobs + ahead, len(items)))
            interrupted = not workers.listen(watcher)
        finally:
            problem = workers.end()
    return Played(tuple(workers.results[index] for index in sorted(workers.results)), interrupted, problem)


@dataclass(frozen=True, slots=True)
class _Event(Generic[Item, Result]):
    """Message to the main thread. All fields unset: this worker has finished."""

    item: Item | None = None
    """The item that has started."""
    result: Result | None = None
    """The result of the item that has ended."""
    error: BaseException | None = None
    """The exception that a thread raised."""
    interrupted: bool = False
    """Whether a stop was requested."""


class _WorkerPool(Generic[Item, Result]):
    """The worker threads."""

    def __init__(
        self,
        items: Sequence[tuple[int, Item]],
        play: Callable[[Item], Result],
        *,
        turn: threading.Semaphore | None,
        fail_fast: bool,
    ) -> None:
        self.results: dict[int, Result] = {}
        self._waiting = iter(items)
        self._play = play
        self._turn = turn
        self._fail_fast = fail_fast
        self._events: queue.SimpleQueue[_Event[Item, Result]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failed = threading.Event()
        self._interruption = process.Interruption()
        self._threads: list[threading.Thread] = []

    def start(self, jobs: int) -> None:
        """Start the threads; fewer of them if the machine permits no more.

        Raises:
            HarnessError: The machine permits none.
        """
        for number in range(jobs):
            thread = threading.Thread(target=self._work, name=f"ftps-lab run {number + 1}", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:
                if not self._threads:
                    raise HarnessError(f"cannot run anything: {sentence(error)}") from error
                return
            self._threads.append(thread)

    def interrupt(self) -> None:
        """Request a stop; safe to call at any point."""
        self._events.put(_Event(interrupted=True))

    def listen(self, watcher: Watcher[Item, Result]) -> bool:
        """Forward events to the watcher until every thread has ended; False if a stop was requested."""
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
        """Return the next event. A signal just before a wait is handled only after it, so every wait is short."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._events.get(timeout=_LISTEN_SECONDS)

    def end(self) -> str:
        """Kill every running lftp, start nothing more, and wait for the cleanup; return why it failed, if it did."""
        self._stop.set()
        self._interruption.ask()
        until = time.monotonic() + _END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            return f"a run did not end within {_END_SECONDS:.0f} seconds; the next start of ftps-lab removes its folder"
        self._interruption.close()
        return ""

    def _work(self) -> None:
        """The body of each thread: run one item after another."""
        process.INTERRUPTION.set(self._interruption)
        if self._turn is not None:
            process.TURN.set(self._turn)
        try:
            while (taken := self._take()) is not None:
                index, item = taken
                self._events.put(_Event(item=item))
                result = self._play(item)
                if self._stop.is_set():
                    break  # its lftp was killed, so the result does not count
                self.results[index] = result
                if result.status in {"fail", "error"}:
                    self._failed.set()
                self._events.put(_Event(result=result))
        except BaseException as error:  # noqa: BLE001 - any exception surfaces in the main thread
            self._events.put(_Event(error=error))
        self._events.put(_Event())

    def _take(self) -> tuple[int, Item] | None:
        with self._lock:
            if self._stop.is_set() or (self._fail_fast and self._failed.is_set()):
                return None
            return next(self._waiting, None)
