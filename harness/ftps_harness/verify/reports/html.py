"""`ftps-lab verify --html`: whether the setup is safe, each finding with line, proof and fix, and the trials. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_harness.report.html import page
from ftps_harness.report.html.step import RunView
from ftps_harness.report.plain import plural
from ftps_harness.verify.judge import UNDECIDED
from ftps_harness.verify.reports.identity import label
from ftps_harness.verify.reports.words import Answer, answer, proof_words, result_words, setup_facts
from ftps_harness.verify.trials import GENUINE, TRIALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Finding
    from ftps_harness.verify.judge import Tried

_STATES: Final = {"safe": "pass", "error": "fail", "warning": "warning", "undecided": "error"}
_STATUSES: Final = {"error": "severe", "warning": "warning", "note": "note"}
"""Severity → status on the page: errors are red there; the status ``error`` means that nothing could be judged."""

_TITLES: Final = {trial.name: trial.title for trial in (GENUINE, *TRIALS)}


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding.

    Attributes:
        anchor: Its id on the page.
        finding: The finding.
        again: The command that reproduces it; empty for a command line, which may hold a password.
        run: The recorded run that proves it; None if there is none.
    """

    anchor: str
    finding: Finding
    again: str
    run: RunView | None

    @property
    def status(self) -> str:
        """The status that marks it on the page."""
        return "ignored" if self.finding.suppressed else _STATUSES[self.finding.severity]

    @property
    def is_open(self) -> bool:
        """Whether it fails a run; the page shows it expanded."""
        return self.status in {"severe", "warning"}

    @property
    def proof(self) -> str:
        """What leaked, and in how many runs."""
        return proof_words(self.finding.proof) if self.finding.proof else ""

    @property
    def trial(self) -> str:
        """The trial that proves it, in a few words."""
        return _TITLES.get(self.finding.proof.attack, "") if self.finding.proof else ""


@dataclass(frozen=True, slots=True)
class TrialView:
    """One trial and its result.

    Attributes:
        tried: The trial.
        run: Its recorded run, to be drawn; None if a finding draws it, or if there is none.
        where: The id of the part of the page that draws it; empty if nothing does.
    """

    tried: Tried
    run: RunView | None
    where: str

    @property
    def result_words(self) -> str:
        """The result in a few words; an attack in which lftp merely failed also got nothing."""
        words = result_words(self.tried)
        return f"nothing was exposed ({words})" if self.status == "pass" and self.tried.trial != GENUINE else words

    @property
    def status(self) -> str:
        """Whether something leaked, or whether that is unknown."""
        if self.tried.exposed or (self.tried.trial.kind == "expired" and self.tried.verdict == "accepted"):
            return "fail"
        return "error" if self.tried.verdict in UNDECIDED else "pass"


@dataclass(frozen=True, slots=True)
class SubjectView:
    """One setup.

    Attributes:
        anchor: The beginning of its ids on the page.
        name: Its rc, script or program; never a command line, which may hold a password.
    """

    anchor: str
    name: str
    report: Report

    @property
    def answer(self) -> Answer:
        """Whether it is safe."""
        return answer(self.report)

    @property
    def state(self) -> str:
        """The answer's status, which marks it on the page."""
        return _STATES[self.answer.state]

    @property
    def facts(self) -> str:
        """The server and the lftp used."""
        return setup_facts(self.report)

    @property
    def findings(self) -> Iterator[FindingView]:
        """The findings, the most severe first, ignored ones last."""
        tried = {each.trial.name: each for each in self.report.tried}
        for number, each in enumerate(self._sorted, 1):
            again = each.proof.again if each.proof and not self.report.subject.argv else ""
            proof = tried.get(each.proof.attack) if each.proof else None
            anchor = f"{self.anchor}-{number}"
            yield FindingView(anchor, each, again, self._run(proof, anchor) if proof else None)

    @property
    def _sorted(self) -> list[Finding]:
        return sorted(self.report.findings, key=lambda found: bool(found.suppressed))

    def _run(self, tried: Tried, anchor: str) -> RunView | None:
        if tried.recording is None:
            return None
        several = len(tried.outcomes)
        number = f", run {tried.proof} of {several}" if several > 1 else ""
        return RunView(
            anchor, tried.recording, self.report.genuine, f"Recorded in the trial {tried.trial.name}{number}"
        )

    @property
    def trials(self) -> Iterator[TrialView]:
        """The trials, the genuine server's first; what a finding draws is not drawn again."""
        drawn: dict[str, str] = {}
        for number, each in enumerate(self._sorted, 1):
            if each.proof:
                drawn.setdefault(each.proof.attack, f"{self.anchor}-{number}")
        for number, tried in enumerate(self.report.tried, 1):
            anchor = f"{self.anchor}-t{number}"
            run = None if tried.trial.name in drawn else self._run(tried, anchor)
            yield TrialView(tried, run, drawn.get(tried.trial.name, anchor if run else ""))


def text(reports: Sequence[Report], folder: Path) -> str:
    """The whole page.

    Args:
        reports: One for each subject.
        folder: The current folder; files below it are named relative to it.
    """
    subjects = [SubjectView(f"s{number}", label(each.subject, folder), each) for number, each in enumerate(reports, 1)]
    views = [found for subject in subjects for found in subject.findings]
    statuses = ("severe", "warning", "note", "ignored")
    said, state = _answer(subjects)
    return page.render(
        "verify.html.j2",
        title=f"ftps-lab verify: {said}",
        answer=said,
        state=state,
        counts={status: sum(each.status == status for each in views) for status in statuses},
        subjects=subjects,
    )


def _answer(subjects: Sequence[SubjectView]) -> tuple[str, str]:
    """The first line and its status: those of the only setup, or else of the worst one with the number of setups."""
    if len(subjects) == 1:
        return subjects[0].answer.text, subjects[0].state
    states = [each.state for each in subjects]
    of = f"of {plural(len(subjects), 'setup')}"
    if unsafe := states.count("fail") + states.count("warning"):
        return f"NOT SAFE: {unsafe} {of}", "fail" if "fail" in states else "warning"
    if undecided := states.count("error"):
        return f"UNDECIDED: {undecided} {of}", "error"
    return f"SAFE: all {of}", "pass"
