"""The scenarios of the matrix page: each step, every answer to it, and a run that gave each answer. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

from ftps_harness.matrix import table
from ftps_harness.matrix.answers import answers, verdict_of, without_words
from ftps_harness.play.runner import worst
from ftps_harness.report.html.step import StepView
from ftps_harness.report.plain import harmless, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ftps_harness.matrix.differences import Cell
    from ftps_harness.matrix.play import MatrixRun
    from ftps_harness.play.runner import ScenarioResult, StepResult

Results: TypeAlias = "dict[Cell, ScenarioResult]"
"""The results of one scenario, by build and server."""

DRAWN: Final = 600
"""Maximum number of answers on a page for which each is drawn; with more, only those of steps that differ are."""


@dataclass(frozen=True, slots=True)
class CellView:
    """One build's answer to one step on one server, or why it is missing.

    Attributes:
        words: The verdict in a few words.
        verdict: The verdict alone; ``none`` if the step did not run.
        expected: The answer is as expected, or there is none.
    """

    words: str
    verdict: str
    expected: bool = True


@dataclass(frozen=True)  # no slots: `shown` is cached
class AnswerView:
    """One answer to a step: the cells that gave it, and the run of the first of them in full.

    Attributes:
        anchor: The prefix of its ids on the page.
        cells: The cells that gave it.
        where: The same in words.
        step: The step in the first of them.
        again: The command that plays the scenario in that cell again.
    """

    anchor: str
    number: int
    cells: tuple[Cell, ...]
    where: str
    step: StepResult
    again: str

    @property
    def cell(self) -> CellView:
        """The answer in a few words."""
        return _answer(self.step)

    @property
    def drawn_from(self) -> str:
        """The cell whose run is shown."""
        return " × ".join(self.cells[0])

    @property
    def others(self) -> str:
        """How many other cells gave the same answer; empty if none did."""
        return plural(len(self.cells) - 1, "other cell") if len(self.cells) > 1 else ""

    @cached_property
    def shown(self) -> StepView:
        """The step as it was recorded."""
        return StepView(self.anchor, self.number, self.step)


@dataclass(frozen=True)  # no slots: `answers` is cached
class StepAnswers:
    """One step in all cells.

    Attributes:
        anchor: Its id on the page.
        results: The results of its scenario.
        among: All cells of the matrix, in the order of the table.
        again: How to name the scenario on a command line.
    """

    anchor: str
    index: int
    title: str
    results: Results
    builds: tuple[str, ...]
    servers: tuple[str, ...]
    again: str

    @cached_property
    def answers(self) -> tuple[AnswerView, ...]:
        """Each answer once, without lftp's wording; answers that are not as expected first."""
        found: dict[tuple[str, ...], list[Cell]] = {}
        for cell, result in self.results.items():
            if self.index < len(result.steps):
                found.setdefault(_said(result.steps[self.index]), []).append(cell)
        everyone = [cell for cells in found.values() for cell in cells]
        groups = sorted(found.values(), key=lambda cells: self._step(cells[0]).status == "pass")
        return tuple(self._view(number, tuple(cells), everyone) for number, cells in enumerate(groups, 1))

    def _view(self, number: int, cells: tuple[Cell, ...], everyone: Sequence[Cell]) -> AnswerView:
        build, server = cells[0]
        where = harmless(table.everywhere(cells, everyone))
        again = harmless(shlex.join(["ftps-lab", "matrix", "--client", build, "--server", server, self.again]))
        return AnswerView(f"{self.anchor}-{number}", self.index + 1, cells, where, self._step(cells[0]), again)

    def _step(self, cell: Cell) -> StepResult:
        return self.results[cell].steps[self.index]

    @property
    def rows(self) -> Iterator[tuple[str, tuple[CellView, ...]]]:
        """Each build, with its answer on each server."""
        for build in self.builds:
            yield build, tuple(_cell(self.results.get((build, server)), self.index) for server in self.servers)

    @property
    def alike(self) -> bool:
        """Whether every cell gave the same answer, as expected."""
        whole = len(self.builds) * len(self.servers)
        return len(self.answers) == 1 and len(self.answers[0].cells) == whole and self.answers[0].cell.expected


@dataclass(frozen=True)  # no slots: `steps` is cached
class ScenarioView:
    """One scenario on all pairs.

    Attributes:
        anchor: Its id on the page.
        again: How to name it on a command line.
    """

    anchor: str
    results: Results
    builds: tuple[str, ...]
    servers: tuple[str, ...]
    again: str

    @property
    def any(self) -> ScenarioResult:
        """Any of its results: all have the same scenario."""
        return next(iter(self.results.values()))

    @property
    def status(self) -> str:
        """The worst status of its results; skipped only if all are."""
        statuses = {result.status for result in self.results.values()}
        return "skip" if statuses == {"skip"} else worst(statuses - {"skip"})

    @property
    def skipped(self) -> list[str]:
        """The distinct reasons why it was skipped."""
        return list(dict.fromkeys(result.why for result in self.results.values() if result.why))

    @property
    def brief(self) -> str:
        """The number of steps in which the cells answered differently."""
        differing = sum(not step.alike for step in self.steps)
        if differing:
            return f"{plural(differing, 'step')} with different answers"
        return "alike everywhere" if self.steps else ""

    @cached_property
    def steps(self) -> tuple[StepAnswers, ...]:
        """Every step that ran in any cell."""
        longest = max(self.results.values(), key=lambda result: len(result.steps))
        return tuple(
            StepAnswers(f"{self.anchor}-{number}", number - 1, step.title, self.results, self.builds, self.servers,
                        self.again)
            for number, step in enumerate(longest.steps, 1)
        )  # fmt: skip


def scenarios(run: MatrixRun, again: Mapping[str, str]) -> list[ScenarioView]:
    """Every scenario of a matrix, in the order in which they were played.

    Args:
        run: All pairs.
        again: How to name each scenario on a command line, by id.
    """
    builds = tuple(dict.fromkeys(pair.build for pair in run.pairs))
    servers = tuple(dict.fromkeys(pair.kind for pair in run.pairs))
    found: dict[str, Results] = {}
    for pair in run.pairs:
        for result in pair.results:
            found.setdefault(result.scenario.id, {})[pair.build, pair.kind] = result
    return [
        ScenarioView(f"m{number}", results, builds, servers, again.get(name, name))
        for number, (name, results) in enumerate(found.items(), 1)
    ]


def _said(step: StepResult) -> tuple[str, ...]:
    """The step's answers without lftp's wording."""
    return tuple(sorted({without_words(each) for each in answers(step)}))


def _answer(step: StepResult) -> CellView:
    said = _said(step)
    return CellView(" | ".join(said), verdict_of(said[-1]), step.status == "pass")


def _cell(result: ScenarioResult | None, index: int) -> CellView:
    if result is None or index >= len(result.steps):
        return CellView("skipped" if result is not None and result.status == "skip" else "not played", "none")
    return _answer(result.steps[index])
