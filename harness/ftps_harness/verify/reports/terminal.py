"""What came of `ftps-lab verify`, for people: the answer first, then findings, then what was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.report.plain import counts_words, harmless, plural, verdict_words
from ftps_harness.report.printer import Printer
from ftps_harness.verify.findings import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.fix import Fix
    from ftps_harness.verify.judge import Tried

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
_NAME = 26


class Terminal(Printer):
    """Prints reports."""

    def report(self, report: Report) -> None:
        """Everything about one subject."""
        answer, style = _answer(report)
        self._wrapped(answer, "", style)
        port = report.login.port or {"explicit": 21, "implicit": 990}[report.login.protocol]
        self._wrapped(
            f"{report.subject.given}, for {report.login.host} port {port} ({report.login.protocol} FTPS); lftp "
            f"{report.lftp.version}, {report.lftp.tls}; {len(report.tried)} trials in the place {report.place}",
            "",
        )
        for each in report.findings:
            if each.severity != "note" and not each.suppressed:
                self._finding(each)
        self._notes([each for each in report.findings if each.severity == "note" and not each.suppressed])
        self._suppressed([each for each in report.findings if each.suppressed])
        self._tried(report)
        for why in report.broken:
            self._wrapped(f"could not be judged: {why}", "", "bold magenta")
        self._line()
        self._line(", ".join(plural(report.count(severity), severity) for severity in ("error", "warning", "note")))

    def fix(self, found: Fix | None, *, written: bool) -> None:
        """The diff that cures an rc, and what is left; or that there is none."""
        self._line()
        if found is None:
            self._wrapped("No line of an rc cures what was found, or the genuine server would be refused then.", "")
            return
        left = ", ".join(plural(found.report.count(severity), severity) for severity in ("error", "warning"))
        done = "Written" if written else "This diff cures what a line can cure; everything was tried again with it"
        self._wrapped(f"{done}. Left: {left}.", "", "bold")
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
            assert each.suppressed is not None  # the caller chose them so
            until = f" until {each.suppressed.until}" if each.suppressed.until else ""
            self._line()
            self._wrapped(f"ignored{until}: {each.id}, because {each.suppressed.reason}", "  ")

    def _tried(self, report: Report) -> None:
        self._line()
        self._line("What was tried", "bold")
        for each in report.tried:
            self._line(f"  {each.trial.name:<{_NAME}}  {_came_to(each)}")


def _answer(report: Report) -> tuple[str, str]:
    """The first line, and its colour."""
    errors, warnings = report.count("error"), report.count("warning")
    if errors or warnings:
        counts = " and ".join(plural(n, what) for n, what in ((errors, "error"), (warnings, "warning")) if n)
        worst = next(each for each in report.findings if not each.suppressed)
        return f"NOT SAFE: {counts}. {worst.title}", "bold red" if errors else "bold yellow"
    if report.broken:
        return f"UNDECIDED: {plural(len(report.broken), 'trial')} could not be judged.", "bold magenta"
    return "SAFE: the genuine server is accepted, and no attack that an rc can stop got anything.", "bold green"


def _details(found: Finding) -> Iterator[tuple[str, str]]:
    if found.where is not None:
        yield "line", f"{found.where.file}:{found.where.line}: {found.where.text}"
    if found.proof is not None:
        proof = found.proof
        words = verdict_words("exposed", None, proof.exposed, proof.to) if proof.exposed else "nothing got out"
        yield "proof", f"{proof.attack}: {words}, {proof.times} of {proof.of} runs"
        yield "again", proof.again
    if found.cure:
        yield "cure", found.cure


def _came_to(tried: Tried) -> str:
    if len(tried.outcomes) > 1:
        return counts_words(dict(tried.counts))
    outcome = tried.outcomes[0]
    return harmless(verdict_words(outcome.verdict, outcome.reasons, outcome.exposed, outcome.to))
