"""All scenarios that ran with one lftp build, and their totals. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftps_harness.report.plain import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.runner import ScenarioResult

STATUSES = ("pass", "fail", "error", "skip")
"""The statuses, in the order of every summary."""

_WORDS = ("passed", "failed", "errors", "skipped")


@dataclass(frozen=True, slots=True)
class BuildRun:
    """The results of running scenarios with one lftp build.

    Attributes:
        lftp: The build.
        results: The results of completed scenarios, in the order in which the scenarios were chosen.
        total: How many scenarios were chosen.
        seconds: From start to end.
        controls: Whether controls were run.
        interrupted: Whether Ctrl-C ended the run early.
        again: How to name each scenario on a command line, by id.
        options: Options to add to such a command line.
        place: Where the scenarios ran: ``sealed`` or ``loopback``.
        problem: Why something could not be cleaned up, as a sentence.
    """

    lftp: Lftp
    results: tuple[ScenarioResult, ...]
    total: int
    seconds: float
    controls: bool = True
    interrupted: bool = False
    again: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    place: str = "loopback"
    problem: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """The number of results of each status."""
        return counts_of(self.results)


def counts_of(results: Iterable[ScenarioResult]) -> dict[str, int]:
    """The number of results of each status."""
    counted: Counter[str] = Counter(result.status for result in results)
    return {status: counted[status] for status in STATUSES}


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of several counts, by status."""
    each = tuple(counts)
    return {status: sum(one[status] for one in each) for status in STATUSES}


def totals(counts: Sequence[Mapping[str, int]]) -> str:
    """The total counts, with which every closing line begins: ``42 passed, 0 failed, 0 errors, 0 skipped``."""
    total = added(counts)
    return ", ".join(f"{total[status]} {word}" for status, word in zip(STATUSES, _WORDS, strict=True))


def deviations(counts: Mapping[str, int]) -> list[str]:
    """How many are not as expected, in words: ``2 failed``, ``1 could not be judged``; empty if all are."""
    words = {"fail": "failed", "error": "could not be judged"}
    return [f"{counts[status]} {said}" for status, said in words.items() if counts[status]]


def exit_code(runs: Sequence[BuildRun]) -> int:
    """The exit code of the process."""
    return code_of([run.counts for run in runs], interrupted=any(run.interrupted for run in runs))


def code_of(counts: Sequence[Mapping[str, int]], *, interrupted: bool, failed: bool = False) -> int:
    """The exit code (docs/reference.md, "Exit codes"): 130 before 3, 3 before 1, else 0.

    Args:
        counts: Counts by status, for each part; a part without a completed scenario proves nothing, nor does an empty
            list.
        interrupted: Whether a stop was requested.
        failed: Whether anything other than a scenario is not as expected.
    """
    if interrupted:
        return 130
    if not counts or any(count["error"] or not count["pass"] + count["fail"] for count in counts):
        return 3
    return 1 if failed or any(count["fail"] for count in counts) else 0


def summary(runs: Sequence[BuildRun]) -> str:
    """The closing line, for CI logs: ``42 passed, 0 failed, 0 errors, 0 skipped in 3.1 s``."""
    without = "" if all(run.controls for run in runs) else ", without controls"
    return f"{totals([run.counts for run in runs])} in {sum(run.seconds for run in runs):.1f} s{without}"


def unfinished(run: BuildRun) -> str:
    """Why not everything ran, as a sentence; empty if everything did."""
    if len(run.results) == run.total:
        return ""
    why = "interrupted" if run.interrupted else "stopped after the first failure (--fail-fast)"
    return f"{why}: {len(run.results)} of {plural(run.total, 'scenario')} ran"
