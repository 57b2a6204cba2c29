"""The page of `ftps-lab run --html`, from the same results as every other report. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ftps_harness.report.account import (
    Section,
    again,
    given_to_lftp,
    said_by_lftp,
    what_failed,
    what_happened,
    witness_sections,
)
from ftps_harness.report.html import page
from ftps_harness.report.html.certificates import comparisons
from ftps_harness.report.html.diagram import drawing
from ftps_harness.report.html.svg import GLYPHS, picture, told
from ftps_harness.report.html.witnessed import interaction
from ftps_harness.report.plain import expectation_words, outcome_words, plural, whys
from ftps_harness.report.remarks import remarks
from ftps_harness.report.side_by_side import SOMETIMES, families
from ftps_harness.report.tally import added, deviations, exit_code, summary, totals, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markupsafe import Markup

    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.runner import ScenarioResult, StepResult
    from ftps_harness.report.html.certificates import Comparison
    from ftps_harness.report.html.sequence import Interaction
    from ftps_harness.report.side_by_side import Family
    from ftps_harness.report.tally import BuildRun

_DRAWN: Final = 600
"""Maximum number of steps on a page for which each is drawn. With more, only unexpected ones are: a page with thousands
of drawings would take seconds to open."""


@dataclass(frozen=True, slots=True)
class EvidencePart:
    """The evidence of one run of lftp: its input, its output, and what the witnesses saw.

    Attributes:
        title: Which run it is, if there are several.
    """

    attempt: Attempt
    title: str = ""

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Where the witnesses disagree."""
        return self.attempt.outcome.contradictions

    @property
    def groups(self) -> tuple[tuple[str, tuple[Section, ...]], ...]:
        """The same sections as in every other report, under three headings."""
        return (
            ("What lftp was given", tuple(given_to_lftp(self.attempt))),
            ("What lftp said", tuple(said_by_lftp(self.attempt))),
            ("What server and wire saw", tuple(witness_sections(self.attempt))),
        )

    @property
    def lines(self) -> Iterator[str]:
        """The same as plain lines, without lftp's debug log."""
        attempt = self.attempt
        for section in (*given_to_lftp(attempt), *said_by_lftp(attempt, log=False), *witness_sections(attempt)):
            yield section.heading
            yield from (f"    {line}" for line in section.lines)


@dataclass(frozen=True)  # no slots: `interaction` is cached
class StepView:
    """One step.

    Attributes:
        anchor: Its id on the page, and the prefix of all ids in its drawing.
        number: From 1.
        result: The step's result.
        drawn: Whether it is shown in full; otherwise its evidence is plain text.
    """

    anchor: str
    number: int
    result: StepResult
    drawn: bool = True

    @property
    def happened(self) -> str:
        """What happened, in a few words."""
        return what_happened(self.result)

    @property
    def expected(self) -> str:
        """What was expected, in a few words."""
        return expectation_words(self.result.expect)

    @property
    def why(self) -> tuple[str, ...]:
        """Every deviation from the expectation."""
        return whys(self.result)

    @cached_property
    def interaction(self) -> Interaction:
        """The recorded interaction of the run that is shown."""
        return interaction(self.result.shown, self.result.genuine)

    @property
    def picture(self) -> Markup:
        """The interaction as a picture, whose arrows link to the items of `told`."""
        return picture(drawing(self.interaction), self.anchor)

    @property
    def told(self) -> Markup:
        """The interaction as a list, with the evidence."""
        return told(self.interaction, self.anchor)

    @property
    def certificates(self) -> tuple[Comparison, ...]:
        """The certificates that the client was shown, next to the genuine one."""
        return comparisons(self.result.shown, self.result.genuine)

    @property
    def control(self) -> str:
        """Its control and the result; empty without a control."""
        control = self.result.control
        return f"{control.kind}: {outcome_words(control.attempt.outcome)}" if control else ""

    @property
    def evidence(self) -> Iterator[EvidencePart]:
        """The run of lftp that the verdict is about, and that of its control if the control failed."""
        several = len(self.result.attempts)
        number = self.result.attempts.index(self.result.shown) + 1
        yield EvidencePart(self.result.shown, f"Run {number} of {several}" if several > 1 else "")
        if self.result.control is not None and self.result.control.judgement.status != "pass":
            yield EvidencePart(self.result.control.attempt, f"Its control: {self.result.control.kind}")


@dataclass(frozen=True, slots=True)
class ScenarioView:
    """One scenario with its steps."""

    anchor: str
    result: ScenarioResult
    again: str
    drawn: bool

    @property
    def steps(self) -> tuple[StepView, ...]:
        """The steps that ran."""
        return tuple(
            StepView(f"{self.anchor}-{number}", number, step, drawn=self.drawn or step.status != "pass")
            for number, step in enumerate(self.result.steps, 1)
        )

    @property
    def paragraphs(self) -> list[str]:
        """Why the scenario matters."""
        return [" ".join(part.split()) for part in self.result.scenario.why.strip().split("\n\n")]


@dataclass(frozen=True, slots=True)
class BuildView:
    """All scenarios that ran with one lftp build."""

    anchor: str
    run: BuildRun
    drawn: bool

    @property
    def scenarios(self) -> Iterator[ScenarioView]:
        """The scenarios, in the order in which they were chosen."""
        for number, result in enumerate(self.run.results, 1):
            yield ScenarioView(f"{self.anchor}-{number}", result, again(self.run, result), self.drawn)

    @property
    def families(self) -> list[Family]:
        """Scenarios with the same steps."""
        return families(self.run.results)

    @property
    def remarks(self) -> tuple[Section, ...]:
        """Remarks about steps that are as expected."""
        return tuple(remarks(self.run))


def text(runs: Sequence[BuildRun]) -> str:
    """Return the whole page.

    Args:
        runs: One for each lftp build.
    """
    counts = added(run.counts for run in runs)
    answer = _answer(runs, counts)
    drawn = sum(len(result.steps) for run in runs for result in run.results) <= _DRAWN
    return page.render(
        "run.html.j2",
        title=f"ftps-lab run: {answer}",
        answer=answer,
        state=page.ANSWERS[exit_code(runs)],
        counts=counts,
        unfinished=[sentence for run in runs if (sentence := unfinished(run))],
        glyphs=GLYPHS,
        summary=summary(runs),
        failed=list(_failed(runs)),
        tone=_tone,
        drawn=drawn,
        builds=[BuildView(f"r{number}", run, drawn) for number, run in enumerate(runs, 1)],
    )


def _failed(runs: Sequence[BuildRun]) -> Iterator[tuple[str, str, str]]:
    """Status, anchor and line of everything unexpected."""
    for of, run in enumerate(runs, 1):
        for number, result in enumerate(run.results, 1):
            yield from ((result.status, f"r{of}-{number}", line) for line in what_failed(result))


def _tone(cell: str) -> str:
    """The verdict whose style a cell of the side-by-side table gets: a leaked password or file is `exposed`."""
    word = cell.rstrip(SOMETIMES)
    return "exposed" if word in {"PASSWORD", "payload"} else word


def _answer(runs: Sequence[BuildRun], counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    if wrong := deviations(counts):
        return f"Not as expected: {' and '.join(wrong)}, of {plural(total, 'scenario')}"
    if any(run.interrupted for run in runs):
        return f"Interrupted: {counts['pass']} of {plural(sum(run.total for run in runs), 'scenario')} passed"
    if unproved := [run for run in runs if not run.counts["pass"]]:
        which = "" if len(runs) == 1 else f" with {' and '.join(f'lftp {run.lftp.version}' for run in unproved)}"
        return f"Nothing was proved{which}: {totals([counts])}"
    skipped = f", {counts['skip']} skipped" if counts["skip"] else ""
    return f"As expected: {counts['pass']} of {plural(total, 'scenario')} passed{skipped}"
