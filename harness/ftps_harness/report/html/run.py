"""The page of `ftps-lab run --html`, from the same results as every other report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
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
    from collections.abc import Iterator, Sequence

    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.report.side_by_side import Family
    from ftps_harness.report.tally import BuildRun

_FULL: Final = 600
"""Maximum number of steps on a page for which all evidence of each is laid out.

With more, the evidence of steps that are as expected is plain text, and `_DRAWN` limits the drawings: a browser takes
two microseconds for each node of a page and 20 ns for each byte, even of folded parts. A page that drew each of 5,000
steps has 2.4 million nodes in 66 MB, and takes four to five seconds to open (measured with Debian's chromium).
"""

_DRAWN: Final = 1000
"""How many steps are drawn on a page of more than `_FULL`; all that are not as expected are drawn, however many."""

Drawn = Mapping[tuple[int, int], frozenset[int]]
"""The numbers of a build and of a scenario, from 1 → the numbers of the steps that are drawn."""


@dataclass(frozen=True, slots=True)
class ScenarioView:
    """One scenario with its steps.

    Attributes:
        anchor: Its id on the page.
        drawn: The numbers of the steps that are drawn; None if all evidence of each is laid out.
    """

    anchor: str
    result: ScenarioResult
    again: str
    drawn: frozenset[int] | None

    @property
    def steps(self) -> Iterator[StepView]:
        """The steps that ran."""
        for number, step in enumerate(self.result.steps, 1):
            full = self.drawn is None or step.status != "pass"
            drawn = full or number in (self.drawn or ())
            yield StepView(f"{self.anchor}-{number}", number, step, drawn=drawn, full=full)

    @property
    def paragraphs(self) -> list[str]:
        """Why the scenario matters."""
        return [" ".join(part.split()) for part in self.result.scenario.why.strip().split("\n\n")]


@dataclass(frozen=True, slots=True)
class BuildView:
    """All scenarios that ran with one lftp build.

    Attributes:
        number: From 1.
        drawn: The steps of the page that are drawn; None if all evidence of each is laid out.
    """

    number: int
    run: BuildRun
    drawn: Drawn | None

    @property
    def anchor(self) -> str:
        """The beginning of its ids on the page."""
        return f"r{self.number}"

    @property
    def scenarios(self) -> Iterator[ScenarioView]:
        """The scenarios, in the order in which they were chosen."""
        for number, result in enumerate(self.run.results, 1):
            drawn = None if self.drawn is None else self.drawn.get((self.number, number), frozenset())
            yield ScenarioView(f"{self.anchor}-{number}", result, again(self.run, result), drawn)

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
    drawn = _to_draw(runs)
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
        many=drawn is not None,
        builds=[BuildView(number, run, drawn) for number, run in enumerate(runs, 1)],
    )


def _to_draw(runs: Sequence[BuildRun]) -> Drawn | None:
    """The steps that are drawn; None if all evidence of each is laid out.

    On a page of many steps, these are the ones that are not as expected; of each other scenario the most telling one;
    then the others, in the order of the page.
    """
    steps: dict[tuple[int, int, int], tuple[bool, bool]] = {}
    for of, run in enumerate(runs, 1):
        for number, result in enumerate(run.results, 1):
            telling = _most_telling(result)
            for index, step in enumerate(result.steps, 1):
                steps[of, number, index] = (step.status == "pass", index != telling)
    if len(steps) <= _FULL:
        return None
    ordered = sorted(steps, key=lambda place: steps[place])
    unexpected = sum(not as_expected for as_expected, _ in steps.values())
    drawn: dict[tuple[int, int], frozenset[int]] = {}
    for of, number, index in ordered[: max(unexpected, _DRAWN)]:
        drawn[of, number] = drawn.get((of, number), frozenset()) | {index}
    return drawn


def _most_telling(result: ScenarioResult) -> int:
    """The first step in which something leaked, else with a refusal, else of all; 0 if a step is not as expected."""
    if not result.steps or any(step.status != "pass" for step in result.steps):
        return 0
    order = {"exposed": 0, "rejected": 1}
    verdicts = [order.get(step.shown.outcome.verdict, 2) for step in result.steps]
    return verdicts.index(min(verdicts)) + 1


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
