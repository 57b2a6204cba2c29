"""The page of `ftps-lab run --html`, from the same results as every other report. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_harness.report.account import Section, again, what_failed
from ftps_harness.report.html import page
from ftps_harness.report.html.step import StepView
from ftps_harness.report.plain import plural
from ftps_harness.report.remarks import remarks
from ftps_harness.report.side_by_side import SOMETIMES, families
from ftps_harness.report.tally import added, deviations, exit_code, summary, totals, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.report.side_by_side import Family
    from ftps_harness.report.tally import BuildRun

_DRAWN: Final = 600
"""Maximum number of steps on a page for which each is drawn. With more, only unexpected ones are: a page with thousands
of drawings would take seconds to open."""


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
