"""All pairs of builds and servers, several at a time; each plays every scenario on the place that it is."""

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
    """A pair that runs: its lftp, and the place that scenarios are played on."""

    @property
    def lftp(self) -> Lftp:
        """The build, as measured."""

    @property
    def place(self) -> Place:
        """Where it meets the server."""

    def check(self) -> None:
        """Raises LabError when one of its containers is gone: nothing more can be played."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One build against one server."""

    build: Build
    kind: ServerKind


@dataclass(frozen=True, slots=True)
class PairResult:
    """What came of one pair.

    Attributes:
        build: The build's name.
        kind: The server's.
        lftp: The build as measured; None where it could not be started.
        results: One for each scenario; fewer where Ctrl-C came first.
        seconds: From the first container to the last.
    """

    build: str
    kind: str
    lftp: Lftp | None
    results: tuple[ScenarioResult, ...]
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """How many results there are of each status."""
        return counts_of(self.results)

    @property
    def status(self) -> str:
        """The worst of its results."""
        return worst(result.status for result in self.results)


@dataclass(frozen=True, slots=True)
class MatrixRun:
    """All pairs.

    Attributes:
        pairs: Those of which something was played, in the order of the table.
        interrupted: Ctrl-C ended it.
        seconds: From start to end.
        left_out: Builds that this machine cannot make, and why.
        problem: Why something that ran has not been cleared away, as a sentence.
    """

    pairs: tuple[PairResult, ...]
    interrupted: bool
    seconds: float
    left_out: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def exit_code(run: MatrixRun, drifts: Sequence[object]) -> int:
    """As for ``ftps-lab run`` (docs/reference.md, "Exit codes"); an answer that drifted is a failed expectation."""
    return code_of([pair.counts for pair in run.pairs], interrupted=run.interrupted, failed=bool(drifts))


class Watcher(Protocol):
    """Told what happens, by whichever thread it happens in."""

    def began(self, pair: Pair) -> None:
        """A pair's containers are started."""

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
        pairs: Begun in this order.
        scenarios: Played in this order on each.
        open_pair: Starts a pair's containers, and ends them.
        options: How to run each scenario of a pair.
        watcher: Is told.
        jobs: How many pairs at a time.

    """
    began = time.monotonic()
    playing = {pair: _Playing(pair, watcher) for pair in pairs}
    played = play_all(pairs, lambda pair: playing[pair].play(scenarios, open_pair, options), _Quiet(), jobs=jobs)
    some = tuple(each.result() for each in playing.values() if each.results)
    return MatrixRun(some, played.interrupted, time.monotonic() - began, problem=played.problem)


class _Quiet:
    """Pairs tell the watcher themselves, from within."""

    def started(self, _pair: Pair, /) -> None:
        """Nothing to add."""

    def finished(self, _result: PairResult, /) -> None:
        """Nothing to add."""


class _Playing:
    """One pair, from its containers to its last scenario; what was played is here at any moment."""

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
            Interrupted: The end was asked for; what had been played before stays in `results`.
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
        except Exception as error:  # noqa: BLE001 - whatever breaks belongs to this pair alone
            # What was played stays; what was not can prove nothing.
            for scenario in scenarios[len(self.results) :]:
                self._add(ScenarioResult(scenario, "error", why=sentence(error)))
        self._took = time.monotonic() - self._began
        ended = self.result()
        self._watcher.ended(ended)
        return ended

    def result(self) -> PairResult:
        """What came of it so far."""
        took = time.monotonic() - self._began if self._took is None else self._took
        return PairResult(self._pair.build.name, self._pair.kind.name, self._client, tuple(self.results), took)

    def _add(self, result: ScenarioResult) -> None:
        process.check_interruption()  # its lftp was killed: this is no result
        self.results.append(result)
        self._watcher.played(self._pair, result)
