"""The result of checking a tool in words, shared by all reports. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ftps_harness.pinning.contract import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.pinning.check import Report

CONNECTS_FIRST: Final = "Fix `connects` first: while lftp refuses the genuine server, most other requirements fail too."
UNTRIED: Final = "The tool does not pin an ordinary server, so no other requirement was checked."


class Level(NamedTuple):
    """The number of requirements of a level that hold, of those checked and claimed."""

    name: str
    holds: int
    tried: int

    @property
    def status(self) -> str:
        """Whether all hold."""
        return "pass" if self.holds == self.tried else "fail" if self.name == "must" else "warning"


class Answer(NamedTuple):
    """The first line of a report, and the kind of answer."""

    text: str
    state: Literal["pass", "fail", "error"]


def answer(report: Report) -> Answer:
    """Whether the tool meets the contract."""
    if report.problem:
        return Answer(f"UNDECIDED: {report.problem}", "error")
    if report.fails(strict=False):
        return Answer(f"FAILED: {tally(report)}.", "fail")
    if report.interrupted:
        return Answer(f"UNDECIDED: {tally(report)}; interrupted before every requirement was checked.", "error")
    if report.broken:
        return Answer(f"UNDECIDED: {tally(report)}; the lab could not decide every requirement.", "error")
    return Answer(f"PASSED: {tally(report)}.", "pass")


def levels(report: Report) -> Iterator[Level]:
    """Each level of the contract."""
    for name in LEVELS:
        holds = report.count(name, "pass")
        yield Level(name, holds, holds + report.count(name, "fail") + report.count(name, "error"))


def tally(report: Report) -> str:
    """``must 28 of 30, should 5 of 7``: the requirements that hold, of those tried and claimed."""
    counts = [f"{level.name} {level.holds} of {level.tried}" for level in levels(report)]
    unclaimed = sum(report.count(level, "not-claimed") for level in LEVELS)
    return ", ".join(counts) + (f"; {unclaimed} not claimed" if unclaimed else "")


def is_connects_first(report: Report) -> bool:
    """Whether the tool fails the requirement on which most of the contract builds."""
    failed = [each for each in report.results if each.status in {"fail", "error"}]
    return len(failed) > 1 and failed[0].requirement.id == "connects"
