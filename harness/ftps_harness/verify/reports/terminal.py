"""The report of `ftps-lab verify` for people: first the answer, then the findings, then the trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.report.plain import harmless, plural
from ftps_harness.report.printer import Printer
from ftps_harness.verify.findings import KINDS
from ftps_harness.verify.reports.words import answer, proof_words, result_words, setup_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.fix import Fix

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
_ANSWER_STYLES = {"safe": "bold green", "error": "bold red", "warning": "bold yellow", "undecided": "bold magenta"}
_NAME = 26


class Terminal(Printer):
    """Prints reports."""

    def report(self, report: Report) -> None:
        """Everything about one subject."""
        first = answer(report)
        self._wrapped(first.text, "", _ANSWER_STYLES[first.state])
        self._wrapped(f"{report.subject.given}, {setup_facts(report)}", "")
        for each in report.findings:
            if each.severity != "note" and not each.suppressed:
                self._finding(each)
        self._notes([each for each in report.findings if each.severity == "note" and not each.suppressed])
        self._suppressed([each for each in report.findings if each.suppressed])
        self._tried(report)
        for why in report.broken:
            self._wrapped(f"not judged: {why}", "", "bold magenta")
        self._line()
        self._line(", ".join(plural(report.count(severity), severity) for severity in ("error", "warning", "note")))

    def fix(self, found: Fix | None, *, written: bool) -> None:
        """Print the diff that fixes an rc, and the remaining findings; or say that no line fixes anything."""
        self._line()
        if found is None:
            self._wrapped("No change to the rc fixes these findings and still lets lftp accept the genuine server.", "")
            return
        left = ", ".join(plural(found.report.count(severity), severity) for severity in ("error", "warning"))
        done = (
            "The corrected rc was written"
            if written
            else "This diff fixes what an rc line can fix; every trial was run again with it"
        )
        self._wrapped(f"{done}. Remaining: {left}.", "", "bold")
        for line in harmless(found.diff).splitlines():
            self._line(line, "green" if line[:1] == "+" else "red" if line[:1] == "-" else "")

    def _finding(self, found: Finding) -> None:
        self._line()
        self._line(f"{found.severity.upper()}  {found.id}", _STYLES[found.severity])
        self._wrapped(found.title, "  ")
        for label, text in _details(found):
            self._wrapped(text, f"  {label:<6} ", hanging=True)

    def _notes(self, notes: list[Finding]) -> None:
        if not notes:
            return
        self._line()
        self._line("Notes: weaknesses that never fail a run", "bold")
        for each in notes:
            own = each.cure if each.cure and each.cure != KINDS[each.id].cure else ""
            self._wrapped(f"{each.id}: {each.title} {own}".rstrip(), "  ", hanging=True)

    def _suppressed(self, findings: list[Finding]) -> None:
        for each in findings:
            assert each.suppressed is not None  # the caller selected suppressed findings
            until = f" until {each.suppressed.until}" if each.suppressed.until else ""
            self._line()
            self._wrapped(f"ignored{until}: {each.id}, because {each.suppressed.reason}", "  ")

    def _tried(self, report: Report) -> None:
        self._line()
        self._line("Trials", "bold")
        for each in report.tried:
            self._line(f"  {each.trial.name:<{_NAME}}  {result_words(each)}")


def _details(found: Finding) -> Iterator[tuple[str, str]]:
    if found.where is not None:
        yield "line", f"{found.where.file}:{found.where.line}: {found.where.text}"
    if found.proof is not None:
        yield "proof", proof_words(found.proof)
        yield "again", found.proof.again
    if found.cure:
        yield "cure", found.cure
