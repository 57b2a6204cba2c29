"""`ftps-lab pin-check --html`: which requirements hold, and the evidence for those that do not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.contract import LEVELS
from ftps_harness.pinning.reports.words import CONNECTS_FIRST, UNTRIED, answer, is_connects_first
from ftps_harness.report.html import page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.pinning.check import Report, Result

STATUSES: Final = ("fail", "error", "not-claimed", "pass")
"""Statuses in the order of the page: failures first."""


@dataclass(frozen=True, slots=True)
class Level:
    """The number of requirements of a level that hold."""

    name: str
    holds: int
    tried: int

    @property
    def status(self) -> str:
        """Whether all hold."""
        return "pass" if self.holds == self.tried else "fail" if self.name == "must" else "warning"


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
        levels=list(_levels(report)),
        counts={status: sum(each.status == status for each in results) for status in STATUSES},
        results=sorted(results, key=_order),
        first=UNTRIED if report.untried else CONNECTS_FIRST if is_connects_first(report) else "",
    )


def _order(result: Result) -> tuple[int, int]:
    return STATUSES.index(result.status), LEVELS.index(result.requirement.level)


def _levels(report: Report) -> Iterator[Level]:
    for level in LEVELS:
        holds = report.count(level, "pass")
        yield Level(level, holds, holds + report.count(level, "fail") + report.count(level, "error"))
