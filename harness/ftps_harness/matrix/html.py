"""`ftps-lab matrix --html`: the table as a heat map, the differences, and every answer of every cell. Pure.

`html_scenarios` makes what is below the heading "Every answer".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_harness.matrix import table
from ftps_harness.matrix.answers import verdict_of
from ftps_harness.matrix.difference_report import TITLES
from ftps_harness.matrix.differences import KINDS, Question, alike, differences
from ftps_harness.matrix.html_scenarios import DRAWN, scenarios
from ftps_harness.matrix.play import exit_code
from ftps_harness.report.html import page
from ftps_harness.report.plain import harmless, plural
from ftps_harness.report.tally import STATUSES, added, deviations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftps_harness.matrix.baseline import Drift
    from ftps_harness.matrix.differences import Difference, Group, Kind
    from ftps_harness.matrix.html_scenarios import ScenarioView
    from ftps_harness.matrix.play import MatrixRun, PairResult

_ENDLESS: Final = 100_000
"""Columns: so wide that only the browser breaks lines."""


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


def text(run: MatrixRun, drifts: Sequence[Drift], again: Mapping[str, str] | None = None) -> str:
    """The whole page.

    Args:
        run: All pairs.
        drifts: The answers that differ from the baselines.
        again: How to name each scenario on a command line, by id; None to use its id.
    """
    servers = tuple(dict.fromkeys(pair.kind for pair in run.pairs))
    views = scenarios(run, again or {})
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
        heat=_heat(run, servers),
        differences=[DifferenceView(kind, some) for kind, some in kinds if some],
        anchors=_anchors(views),
        counts={status: sum(each.status == status for each in views) for status in STATUSES},
        scenarios=views,
        all_drawn=sum(len(step.answers) for view in views for step in view.steps) <= DRAWN,
        lists=[(title, lines) for title, lines in _lists(run, drifts) if lines],
    )


def _heat(run: MatrixRun, servers: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    builds = dict.fromkeys(pair.build for pair in run.pairs)
    return [(build, [_pair_cell(run, build, kind) for kind in servers]) for build in builds]


def _lists(run: MatrixRun, drifts: Sequence[Drift]) -> list[tuple[str, list[str]]]:
    """What the terminal also prints, under headings."""
    return [
        ("Drift: answers that differ from scenarios/baselines/", list(table.drift_lines(drifts, _ENDLESS))),
        ("Failed", list(table.failures(run, _ENDLESS))),
        ("Claims: answers that differ from Debian 12's lftp 4.9.2", list(table.promises(run, _ENDLESS))),
        ("Skipped", list(table.skipped(run, _ENDLESS))),
        ("Builds and servers", list(table.builds(run))),
    ]


def _anchors(views: Sequence[ScenarioView]) -> dict[Question, str]:
    """The anchor of each step that can differ."""
    found: dict[Question, str] = {}
    for view in views:
        for step in view.steps:
            found.setdefault(Question(view.any.scenario.id, step.title), step.anchor)
    return found


def _answer(run: MatrixRun, drifts: Sequence[Drift]) -> str:
    counts = added(pair.counts for pair in run.pairs)
    over = f"over {plural(len(run.pairs), 'pair')} of lftp build and server"
    wrong = deviations(counts)
    wrong += [f"{plural(len(drifts), 'answer')} different from the baseline"] if drifts else []
    if wrong:
        return f"Not as expected: {', '.join(wrong)}, {over}"
    if run.interrupted:
        return f"Interrupted: {plural(counts['pass'], 'scenario')} passed {over}"
    unproved = [f"{pair.build} × {pair.kind}" for pair in run.pairs if not pair.counts["pass"]]
    if unproved or not run.pairs:
        return f"Nothing was proved with {', '.join(unproved) or 'any pair'}"
    return f"As expected: {plural(counts['pass'], 'scenario')} passed {over}"


def _pair_cell(run: MatrixRun, build: str, kind: str) -> tuple[str, str]:
    """A pair's results in a few words, and the worst status: ``none`` if it was not played."""
    pair: PairResult | None = next((pair for pair in run.pairs if (pair.build, pair.kind) == (build, kind)), None)
    if pair is None:
        return "not played", "none"
    status = pair.status if any(result.status != "skip" for result in pair.results) else "skip"
    return table.cell(pair, ", "), status


def _where(group: Group, among: Sequence[Group]) -> tuple[str, Group, str]:
    everyone = [cell for each in among for cell in each.cells]
    verdict = "exposed" if group.exposed else verdict_of(group.answers[-1])
    return harmless(table.everywhere(group.cells, everyone)), group, verdict
