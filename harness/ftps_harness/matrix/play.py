"""Plays all pairs of builds and servers, several at a time; each pair is a place for every scenario."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ftps_harness.errors import sentence
from ftps_harness.play.pool import play_all
from ftps_harness.play.runner import ScenarioResult, run_scenario, worst
from ftps_harness.report.tally import code_of, counts_of
from ftps_harness.sandbox import process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.matrix.builds import Build, ServerKind
    from ftps_harness.play.places.loopback import Place
    from ftps_harness.play.runner import Options
    from ftps_harness.scenario import Scenario


class Opened(Protocol):
    """A running pair: its lftp, and the place for scenarios."""

    @property
    def lftp(self) -> Lftp:
        """The build as measured."""

    @property
    def place(self) -> Place:
        """The place where lftp and the server run."""

    def check(self) -> None:
        """Raise LabError if one of its containers is gone, so that nothing more can be played."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One build against one server."""

    build: Build
    kind: ServerKind


@dataclass(frozen=True, slots=True)
class PairResult:
    """The results of one pair.

    Attributes:
        build: The build's name.
        kind: The server's name.
        lftp: The build as measured; None if it could not be started.
        results: One for each scenario; fewer after Ctrl-C.
        seconds: From the start of the first container to the end of the last.
    """

    build: str
    kind: str
    lftp: Lftp | None
    results: tuple[ScenarioResult, ...]
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """The number of results of each status."""
        return counts_of(self.results)

    @property
    def status(self) -> str:
        """The worst status of its results."""
        return worst(result.status for result in self.results)


@dataclass(frozen=True, slots=True)
class MatrixRun:
    """All pairs.

    Attributes:
        pairs: The pairs with at least one played scenario, in the order of the table.
        interrupted: Whether Ctrl-C ended the run.
        seconds: From start to end.
        left_out: Builds that this machine cannot build, and why.
        problem: Why something could not be cleaned up, as a sentence.
    """

    pairs: tuple[PairResult, ...]
    interrupted: bool
    seconds: float
    left_out: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def exit_code(run: MatrixRun, drifts: Sequence[object]) -> int:
    """Exit codes of ``ftps-lab run`` (docs/reference.md, "Exit codes"); drift counts as a failed expectation."""
    return code_of([pair.counts for pair in run.pairs], interrupted=run.interrupted, failed=bool(drifts))


class Watcher(Protocol):
    """Receives events, in the thread in which they occur."""

    def began(self, pair: Pair) -> None:
        """A pair's containers are starting."""

    def played(self, pair: Pair, result: ScenarioResult) -> None:
        """A scenario was played."""

    def ended(self, result: PairResult) -> None:
        """A pair has ended."""


def play(
    pairs: Sequence[Pair],
    scenarios: Sequence[Scenario],
    open_pair: Callable[[Pair], AbstractContextManager[Opened]],
    options: Callable[[Pair], Options],
    watcher: Watcher,
    *,
    jobs: int,
) -> MatrixRun:
    """Play every scenario on every pair.

    Args:
        pairs: Started in this order.
        scenarios: Played in this order on each.
        open_pair: Starts a pair's containers, and ends them.
        options: How to run each scenario of a pair.
        watcher: Receives the events.
        jobs: How many pairs to play at a time.

    """
    began = time.monotonic()
    playing = {pair: _Playing(pair, watcher) for pair in pairs}
    played = play_all(pairs, lambda pair: playing[pair].play(scenarios, open_pair, options), _Quiet(), jobs=jobs)
    some = tuple(each.result() for each in playing.values() if each.results)
    return MatrixRun(some, played.interrupted, time.monotonic() - began, problem=played.problem)


class _Quiet:
    """Ignores the pool's events: pairs notify the watcher themselves."""

    def started(self, _pair: Pair, /) -> None:
        """Ignored."""

    def finished(self, _result: PairResult, /) -> None:
        """Ignored."""


class _Playing:
    """One pair, from its containers to its last scenario; its results so far are available at any moment."""

    def __init__(self, pair: Pair, watcher: Watcher) -> None:
        self.results: list[ScenarioResult] = []
        self._pair = pair
        self._watcher = watcher
        self._client: Lftp | None = None
        self._began = time.monotonic()
        self._took: float | None = None

    def play(
        self,
        scenarios: Sequence[Scenario],
        open_pair: Callable[[Pair], AbstractContextManager[Opened]],
        options: Callable[[Pair], Options],
    ) -> PairResult:
        """Play every scenario.

        Raises:
            Interrupted: A stop was requested; earlier results stay in `results`.
        """
        self._began = time.monotonic()
        self._watcher.began(self._pair)
        try:
            with open_pair(self._pair) as opened:
                self._client = opened.lftp
                for scenario in scenarios:
                    self._add(run_scenario(scenario, opened.lftp, options(self._pair), opened.place))
                    opened.check()
        except process.Interrupted:
            raise
        except Exception as error:  # noqa: BLE001 - any failure affects this pair alone
            # Results so far stay; the other scenarios prove nothing.
            for scenario in scenarios[len(self.results) :]:
                self._add(ScenarioResult(scenario, "error", why=sentence(error)))
        self._took = time.monotonic() - self._began
        ended = self.result()
        self._watcher.ended(ended)
        return ended

    def result(self) -> PairResult:
        """The result so far."""
        took = time.monotonic() - self._began if self._took is None else self._took
        return PairResult(self._pair.build.name, self._pair.kind.name, self._client, tuple(self.results), took)

    def _add(self, result: ScenarioResult) -> None:
        process.check_interruption()  # its lftp was killed, so the result does not count
        self.results.append(result)
        self._watcher.played(self._pair, result)
