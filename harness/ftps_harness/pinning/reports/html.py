"""`ftps-lab pin-check --html`: which requirements hold, and the evidence for those that do not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.contract import LEVELS
from ftps_harness.pinning.reports.words import CONNECTS_FIRST, UNTRIED, answer, is_connects_first, levels
from ftps_harness.report.html import page
from ftps_harness.report.html.step import RunView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.pinning.check import Report, Result
    from ftps_harness.pinning.record import Failure

STATUSES: Final = ("fail", "error", "not-claimed", "pass")
"""Statuses in the order of the page: failures first."""


@dataclass(frozen=True, slots=True)
class FailureView:
    """One expectation that does not hold.

    Attributes:
        anchor: The beginning of its ids on the page.
        failure: The failure.
    """

    anchor: str
    failure: Failure

    @property
    def runs(self) -> Iterator[tuple[str, RunView]]:
        """The servers that lftp met before it: the result in a phrase, and the run to draw."""
        for number, met in enumerate(self.failure.met, 1):
            yield met.what, RunView(f"{self.anchor}-{number}", met.recording, met.genuine)


@dataclass(frozen=True, slots=True)
class ResultView:
    """One requirement and its result."""

    result: Result

    @property
    def failures(self) -> Iterator[FailureView]:
        """The expectations that do not hold, in order."""
        for number, each in enumerate(self.result.failures, 1):
            yield FailureView(f"{self.result.requirement.id}-{number}", each)


def text(report: Report) -> str:
    """The whole page."""
    said = answer(report)
    results = report.results[:1] if report.untried else report.results
    return page.render(
        "pin-check.html.j2",
        title=f"ftps-lab pin-check: {said.text}",
        answer=said.text,
        state=said.state,
        report=report,
        levels=list(levels(report)),
        counts={status: sum(each.status == status for each in results) for status in STATUSES},
        results=[ResultView(each) for each in sorted(results, key=_order)],
        first=UNTRIED if report.untried else CONNECTS_FIRST if is_connects_first(report) else "",
    )


def _order(result: Result) -> tuple[int, int]:
    return STATUSES.index(result.status), LEVELS.index(result.requirement.level)
