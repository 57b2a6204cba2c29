"""The report of `ftps-lab pin-check` for people: the answer, the failed requirements with evidence, then the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.pinning.reports.words import CONNECTS_FIRST, UNTRIED, answer, is_connects_first, tally
from ftps_harness.report.plain import harmless, plural
from ftps_harness.report.printer import Printer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_harness.pinning.check import Report, Result
    from ftps_harness.pinning.contract import Requirement
    from ftps_harness.pinning.record import Failure

_FAILURES = 1
"""The number of failures per requirement shown with full evidence; the others show only what was seen."""
_ALSO = 5
"""The number of further failures shown with what was expected and seen."""
_LINES = 14
"""Maximum number of lines shown from an output or a diff."""
_INDENT = 11
"""Columns of indentation before the evidence of a failure."""
_FOLDED = 4
"""Maximum number of terminal lines for one line of an output or a diff."""
_STYLES = {"fail": "bold red", "error": "bold magenta", "not-claimed": "yellow", "pass": "green"}


class Terminal(Printer):
    """Prints reports."""

    def report(self, report: Report) -> None:
        """Print the answer, then the details."""
        first = answer(report)
        self._wrapped(first.text, "", _STYLES[first.state])
        if report.problem:
            return
        self._wrapped(f"{' '.join(report.command)}; contract {report.contract}", "")
        for note in report.notes:
            self._wrapped(f"Note: {note}.", "", _STYLES["not-claimed"])
        if report.untried:
            self._untried(report.results[0])
            return
        if is_connects_first(report):
            self._line()
            self._wrapped(CONNECTS_FIRST, "", "bold")
        for each in (each for each in report.results if each.status in {"fail", "error"}):
            self._result(each)
        self._not_claimed([each for each in report.results if each.status == "not-claimed"])
        self._held([each.requirement.id for each in report.results if each.status == "pass"])
        self._line()
        self._line(tally(report), _STYLES[first.state])

    def listed(self, requirements: Sequence[Requirement]) -> None:
        """Print the contract."""
        for each in requirements:
            claimed = ", if claimed" if each.if_claimed else ""
            self._line(f"{each.id}  ({each.level}{claimed})", "bold")
            self._wrapped(each.holds, "  ")
            self._wrapped(each.reason, "    ")

    def _result(self, result: Result) -> None:
        self._line()
        what = "FAIL" if result.status == "fail" else "ERROR"
        self._line(f"{what}  {result.requirement.id}  ({result.requirement.level})", _STYLES[result.status])
        self._wrapped(result.requirement.holds, "  ")
        if not result.failures:
            self._wrapped(result.why, "  why      ", hanging=True)
        for each in result.failures[:_FAILURES]:
            self._failure(each)
        for each in result.failures[_FAILURES : _FAILURES + _ALSO]:
            self._wrapped(f"expected: {each.expected}; seen: {each.seen}", "  also     ", hanging=True)
        if (more := len(result.failures) - _FAILURES - _ALSO) > 0:
            self._wrapped(f"and {more} more; see --json or --junit", "           ")
        if result.again:
            self._line(f"  again    {harmless(result.again)}")  # not shortened: users copy it

    def _untried(self, first: Result) -> None:
        """Print once that the tool does not even pin an ordinary server."""
        self._line()
        self._wrapped(UNTRIED, "", _STYLES["fail"])
        for each in first.failures:
            self._failure(each)

    def _failure(self, failure: Failure) -> None:
        self._line()
        for number, done in enumerate(failure.done[-4:]):
            self._wrapped(done, "  done     " if number == 0 else "           ", hanging=True)
        self._wrapped(failure.seen, "  seen     ", hanging=True)
        self._wrapped(failure.expected, "  expected ", hanging=True)
        self._block("output", failure.output.splitlines() or ["(nothing)"])
        self._block("HOME", failure.diff or ["(unchanged)"])

    def _block(self, label: str, lines: Sequence[str]) -> None:
        width = self._width - _INDENT
        shown = [_folded(harmless(line), width) for line in lines[:_LINES]]
        for number, part in enumerate(part for parts in shown for part in parts):
            begin = f"  {label:<8} " if number == 0 else " " * _INDENT
            self._line(f"{begin}{part}".rstrip())
        if len(lines) > _LINES:
            self._line(f"{' ' * _INDENT}… {plural(len(lines) - _LINES, 'more line')}")

    def _not_claimed(self, results: Sequence[Result]) -> None:
        for each in results:
            self._line()
            self._wrapped(f"not claimed: {each.requirement.id}: {each.why}", "  ", _STYLES["not-claimed"])

    def _held(self, ids: Sequence[str]) -> None:
        if ids:
            self._line()
            self._wrapped(f"Holds: {', '.join(ids)}", "")


def _folded(line: str, width: int) -> list[str]:
    """Break a line only at the terminal's width; truncate a very long one."""
    parts = [line[at : at + width] for at in range(0, len(line), width)] or [""]
    return parts if len(parts) <= _FOLDED else [*parts[: _FOLDED - 1], f"… {len(line)} characters"]
