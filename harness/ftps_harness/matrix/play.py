"""All pairs of builds and servers, several at a time; each plays every scenario on the place that it is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ftps_harness import process
from ftps_harness.errors import HarnessError
from ftps_harness.pool import play_all
from ftps_harness.report.tally import code_of, counts_of
from ftps_harness.runner import ScenarioResult, run_scenario, worst
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from ftps_harness.lftp import Lftp
    from ftps_harness.matrix.builds import Build, ServerKind
    from ftps_harness.place import Place
    from ftps_harness.runner import Options
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
        results: One for each scenario.
        seconds: From the first container to the last.
        opening: Seconds of these until both containers answered.
    """

    build: str
    kind: str
    lftp: Lftp | None
    results: tuple[ScenarioResult, ...]
    seconds: float
    opening: float = 0.0

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
        pairs: Those that were played to their end, in the order of the table.
        interrupted: Ctrl-C ended it.
        seconds: From start to end.
        left_out: Builds that this machine cannot make, and why.
    """

    pairs: tuple[PairResult, ...]
    interrupted: bool
    seconds: float
    left_out: tuple[tuple[str, str], ...] = ()


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

    Raises:
        UsageError: A scenario can mean nothing for a build.
    """
    began = time.monotonic()
    played = play_all(pairs, lambda pair: _play_pair(pair, scenarios, open_pair, options, watcher), _Quiet(), jobs=jobs)
    return MatrixRun(played.results, played.interrupted, time.monotonic() - began)


class _Quiet:
    """Pairs tell the watcher themselves, from within."""

    def started(self, _pair: Pair, /) -> None:
        """Nothing to add."""

    def finished(self, _result: PairResult, /) -> None:
        """Nothing to add."""


def _play_pair(
    pair: Pair,
    scenarios: Sequence[Scenario],
    open_pair: Callable[[Pair], AbstractContextManager[Opened]],
    options: Callable[[Pair], Options],
    watcher: Watcher,
) -> PairResult:
    began = time.monotonic()
    watcher.began(pair)
    results: list[ScenarioResult] = []
    client: Lftp | None = None
    opening = 0.0
    try:
        with open_pair(pair) as opened:
            client, opening = opened.lftp, time.monotonic() - began
            for scenario in scenarios:
                result = run_scenario(scenario, client, options(pair), opened.place)
                process.check_interruption()  # its lftp was killed: this is no result
                results.append(result)
                watcher.played(pair, result)
                opened.check()
    except process.Interrupted:
        raise
    except (LabError, HarnessError) as error:
        # What was played stays; what was not can prove nothing.
        for scenario in scenarios[len(results) :]:
            results.append(ScenarioResult(scenario, "error", why=str(error)))
            watcher.played(pair, results[-1])
    took = time.monotonic() - began
    ended = PairResult(pair.build.name, pair.kind.name, client, tuple(results), took, opening)
    watcher.ended(ended)
    return ended
