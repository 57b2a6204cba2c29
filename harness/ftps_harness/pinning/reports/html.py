"""`ftps-lab pin-check --html`: which requirements hold, and the evidence for those that do not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.contract import LEVELS
from ftps_harness.pinning.reports.words import CONNECTS_FIRST, UNTRIED, answer, is_connects_first, levels
from ftps_harness.report.html import page

if TYPE_CHECKING:
    from ftps_harness.pinning.check import Report, Result

STATUSES: Final = ("fail", "error", "not-claimed", "pass")
"""Statuses in the order of the page: failures first."""


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
        results=sorted(results, key=_order),
        first=UNTRIED if report.untried else CONNECTS_FIRST if is_connects_first(report) else "",
    )


def _order(result: Result) -> tuple[int, int]:
    return STATUSES.index(result.status), LEVELS.index(result.requirement.level)
