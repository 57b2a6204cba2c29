"""`ftps-lab matrix --html`: the table as a heat map, the differences, and every answer of every cell. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ftps_harness.matrix import table
from ftps_harness.matrix.answers import answers, verdict_of, without_words
from ftps_harness.matrix.difference_report import TITLES
from ftps_harness.matrix.differences import KINDS, alike, differences
from ftps_harness.matrix.play import exit_code
from ftps_harness.play.runner import worst
from ftps_harness.report.html import page
from ftps_harness.report.plain import harmless, plural, whys
from ftps_harness.report.tally import STATUSES, added, deviations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.matrix.baseline import Drift
    from ftps_harness.matrix.differences import Difference, Group, Kind, Question
    from ftps_harness.matrix.play import MatrixRun, PairResult
    from ftps_harness.play.runner import ScenarioResult

_ENDLESS: Final = 100_000
"""Columns: so wide that only the browser breaks lines."""


@dataclass(frozen=True, slots=True)
class CellView:
    """One build's answer to one step on one server, or why it is missing.

    Attributes:
        words: The verdict in a few words.
        verdict: The verdict alone; ``none`` if the step did not run.
        why: Each deviation from the expectation, as a sentence.
    """

    words: str
    verdict: str
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepView:
    """One step in all cells.

    Attributes:
        rows: Each build, with its answer on each server.
    """

    title: str
    rows: tuple[tuple[str, tuple[CellView, ...]], ...]

    @property
    def common(self) -> CellView | None:
        """The answer, if it is the same in every cell and as expected."""
        cells = {cell for _, row in self.rows for cell in row}
        only = next(iter(cells))
        return only if len(cells) == 1 and not only.why else None


@dataclass(frozen=True)  # no slots: `steps` is cached
class ScenarioView:
    """One scenario on all pairs.

    Attributes:
        results: The results by build and server.
    """

    anchor: str
    results: dict[tuple[str, str], ScenarioResult]
    builds: tuple[str, ...]
    servers: tuple[str, ...]

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
        differing = sum(step.common is None for step in self.steps)
        return f"{plural(differing, 'step')} not alike" if differing else "alike everywhere" if self.any.steps else ""

    @cached_property
    def steps(self) -> tuple[StepView, ...]:
        """Every step that ran in any cell."""
        return tuple(self._steps())

    def _steps(self) -> Iterator[StepView]:
        longest = max(self.results.values(), key=lambda result: len(result.steps))
        for index, step in enumerate(longest.steps):
            rows = (
                (build, tuple(_cell(self.results.get((build, kind)), index) for kind in self.servers))
                for build in self.builds
            )
            yield StepView(step.title, tuple(rows))


@dataclass(frozen=True, slots=True)
class DifferenceView:
    """Differences of one kind: the steps, and the cells with their answers."""

    kind: Kind
    found: tuple[Difference, ...]

    @property
    def title(self) -> str:
        """The kind of difference, and the number of steps."""
        title = TITLES[self.kind]
        return f"{title[0].upper()}{title[1:]}: {plural(len(self.found), 'step')}"

    @property
    def alike(self) -> list[tuple[tuple[Question, ...], list[tuple[str, Group, str]]]]:
        """Steps grouped by the same answers: for each answer, the cells that gave it, and its verdict."""
        shown = alike(self.found, words=self.kind == "words")
        return [(questions, [_where(group, groups) for group in groups]) for questions, groups in shown]


def text(run: MatrixRun, drifts: Sequence[Drift]) -> str:
    """The whole page."""
    builds = tuple(dict.fromkeys(pair.build for pair in run.pairs))
    servers = tuple(dict.fromkeys(pair.kind for pair in run.pairs))
    scenarios = _scenarios(run, builds, servers)
    found = tuple(differences(run.pairs))
    kinds = ((kind, tuple(each for each in found if each.kind == kind)) for kind in KINDS)
    code = exit_code(run, drifts)
    said = _answer(run, drifts)
    return page.render(
        "matrix.html.j2",
        title=f"ftps-lab matrix: {said}",
        answer=said,
        state=page.ANSWERS[code],
        summary=table.summary(run, drifts),
        meaning=f"Exit code {code}: {table.EXIT_CODES[code]}",
        interrupted=run.interrupted,
        servers=servers,
        heat=[(build, [_pair_cell(run, build, kind) for kind in servers]) for build in builds],
        differences=[DifferenceView(kind, some) for kind, some in kinds if some],
        counts={status: sum(each.status == status for each in scenarios) for status in STATUSES},
        scenarios=scenarios,
        lists=[
            (title, lines)
            for title, lines in (
                ("Drift: other than scenarios/baselines/ says", list(table.drift_lines(drifts, _ENDLESS))),
                ("Failed", list(table.failures(run, _ENDLESS))),
                ("Claims that Debian 12's lftp 4.9.2 answers otherwise", list(table.promises(run, _ENDLESS))),
                ("Skipped", list(table.skipped(run, _ENDLESS))),
                ("Builds and servers", list(table.builds(run))),
            )
            if lines
        ],
    )


def _answer(run: MatrixRun, drifts: Sequence[Drift]) -> str:
    counts = added(pair.counts for pair in run.pairs)
    over = f"over {plural(len(run.pairs), 'pair')} of lftp build and server"
    wrong = deviations(counts)
    wrong += [f"{plural(len(drifts), 'answer')} not as recorded"] if drifts else []
    if wrong:
        return f"Not as expected: {', '.join(wrong)}, {over}"
    if run.interrupted:
        return f"Interrupted: {plural(counts['pass'], 'scenario')} passed {over}"
    unproved = [f"{pair.build} × {pair.kind}" for pair in run.pairs if not pair.counts["pass"]]
    if unproved or not run.pairs:
        return f"Nothing was proved with {', '.join(unproved) or 'any pair'}"
    return f"As expected: {plural(counts['pass'], 'scenario')} passed {over}"


def _scenarios(run: MatrixRun, builds: tuple[str, ...], servers: tuple[str, ...]) -> list[ScenarioView]:
    found: dict[str, dict[tuple[str, str], ScenarioResult]] = {}
    for pair in run.pairs:
        for result in pair.results:
            found.setdefault(result.scenario.id, {})[pair.build, pair.kind] = result
    return [ScenarioView(f"m{number}", results, builds, servers) for number, results in enumerate(found.values(), 1)]


def _pair_cell(run: MatrixRun, build: str, kind: str) -> tuple[str, str]:
    """A pair's results in a few words, and the worst status: ``none`` if it was not played."""
    pair: PairResult | None = next((pair for pair in run.pairs if (pair.build, pair.kind) == (build, kind)), None)
    if pair is None:
        return "not played", "none"
    status = pair.status if any(result.status != "skip" for result in pair.results) else "skip"
    return table.cell(pair, ", "), status


def _cell(result: ScenarioResult | None, index: int) -> CellView:
    if result is None or index >= len(result.steps):
        return CellView("skipped" if result is not None and result.status == "skip" else "not played", "none")
    step = result.steps[index]
    given = sorted({without_words(each) for each in answers(step)})
    return CellView(" | ".join(given), verdict_of(given[-1]), whys(step))


def _where(group: Group, among: Sequence[Group]) -> tuple[str, Group, str]:
    everyone = [cell for each in among for cell in each.cells]
    verdict = "exposed" if group.exposed else verdict_of(group.answers[-1])
    return harmless(table.everywhere(group.cells, everyone)), group, verdict
