"""The diagrams of the matrix page: each different answer is drawn once, from a run that gave that very answer."""

from __future__ import annotations

import html as markup
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from tests.harness.matrix.test_html import pair, run
from tests.harness.report.html.claims import untrue
from tests.harness.report.html.outline import Outline
from tests.harness.report.results import FAILED, attempt, result, scenario, step

from ftps_harness.matrix import html
from ftps_harness.play.runner import Options, ScenarioResult, run_scenario
from ftps_harness.report.html.witnessed import interaction
from ftps_harness.scenario.selection import choose, load_all
from ftps_harness.verdict.judgement import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.matrix.play import MatrixRun
    from ftps_harness.play.runner import StepResult

SCENARIOS = ("attack/refuse-auth", "document/expired", "document/rotation-looks-like-tampering")

CELLS = [(build, kind) for build in ("bullseye", "bookworm", "sid") for kind in ("lab", "vsftpd")]


@dataclass(frozen=True)
class Drawn:
    """One answer as the page shows it.

    Attributes:
        step: The id of its step.
        said: All of its text.
        build: The build of the cell from whose run it is drawn.
        kind: The server of that cell.
    """

    step: str
    said: str
    build: str
    kind: str


def drawn(text: str) -> Iterator[Drawn]:
    """Every answer on a page, read from its markup."""
    for part in text.split('<details class="answer"')[1:]:
        entry = part[: part.index('<span class="label">Run it again</span>')]
        found = re.search(r"Drawn from the run of (\S+) × (\S+?)\.", entry)
        anchor = re.search(r'id="(m\d+-\d+)-\d+-q"', entry)
        assert found is not None
        assert anchor is not None
        yield Drawn(anchor[1], Outline(f"<i {entry}").said, *found.groups())


def key(each: StepResult) -> tuple[object, ...]:
    """What tells two answers apart, from the outcomes: their verdicts, leaks and reasons, and what was expected."""
    outcomes = {(a.outcome.verdict, a.outcome.exposed, a.outcome.to, a.outcome.reasons) for a in each.attempts}
    return each.status == "pass", frozenset(outcomes)


def untrue_drawings(made: MatrixRun, text: str) -> list[str]:
    """One sentence for each answer that is not drawn once, and for each drawing that is not of the run it names."""
    wrong = []
    pages = list(drawn(text))
    order = list(dict.fromkeys(each.scenario.id for pair in made.pairs for each in pair.results))
    steps = {
        (pair.build, pair.kind, f"m{order.index(each.scenario.id) + 1}-{number}"): of
        for pair in made.pairs
        for each in pair.results
        for number, of in enumerate(each.steps, 1)
    }
    for anchor in dict.fromkeys(where for _, _, where in steps):
        given = {key(of) for (_, _, where), of in steps.items() if where == anchor}
        shown = [key(steps[page.build, page.kind, page.step]) for page in pages if page.step == anchor]
        if len(shown) != len(given) or {*shown} != given:
            wrong.append(f"{anchor}: {len(given)} different answers, {len(shown)} drawn")
    for page in pages:
        of = steps[page.build, page.kind, page.step]
        picture = interaction(of.shown, of.genuine)
        wrong += untrue(picture, of.shown)
        told = [" ".join(arrow.text.split()) for arrow in picture.arrows]
        wrong += [f"{page.step}: not said: {each}" for each in told if each not in page.said]
    return wrong


@pytest.fixture(scope="module")
def real(client: Lftp) -> list[ScenarioResult]:
    """A few scenarios, really played."""
    scenarios = load_all(choose(SCENARIOS), ())
    return [run_scenario(each, client, Options(timeout=20)) for each in scenarios]


def otherwise(real: ScenarioResult) -> ScenarioResult:
    """A real result whose first step was recorded in its last step, with another outcome: as of another build."""
    first, *others = real.steps
    assert others[-1].shown.outcome != first.shown.outcome
    return replace(real, steps=(replace(first, attempts=others[-1].attempts), *others))


def matrix(real: list[ScenarioResult]) -> MatrixRun:
    """Six cells: one build answers one step differently, one cell a step as it should not."""
    results = {cell: [*real] for cell in CELLS}
    for kind in ("lab", "vsftpd"):
        results["sid", kind][0] = otherwise(real[0])
    first, *others = real[2].steps
    failed = replace(first, judgement=Judgement("fail", ("it should not",)))
    results["bullseye", "vsftpd"][2] = replace(real[2], status="fail", steps=(failed, *others))
    return run(*(pair(*some, build=build, kind=kind) for (build, kind), some in results.items()))


@pytest.mark.lftp
def test_each_distinct_answer_is_drawn_once_from_its_own_run(real: list[ScenarioResult]) -> None:
    made = matrix(real)
    text = html.text(made, [])
    assert untrue_drawings(made, text) == []
    steps = sum(len(each.steps) for each in real)
    assert len(list(drawn(text))) == steps + 2
    assert text.count('<svg class="diagram"') == text.count('<ol class="told"') == steps + 2


@pytest.mark.lftp
def test_check_finds_missing_and_foreign_drawings(real: list[ScenarioResult]) -> None:
    """The check itself can fail: an answer is missing, or a drawing is of a run of something else."""
    made = matrix(real)
    text = html.text(made, [])
    poorer = text.replace('<details class="answer" open>', "<details open>", 1)
    assert any("2 different answers, 1 drawn" in each for each in untrue_drawings(made, poorer))
    again = [replace(each, steps=tuple(reversed(each.steps))) for each in real]
    assert untrue_drawings(matrix(again), text) != []


@pytest.mark.lftp
def test_answer_shows_certificates_witnesses_and_rerun_command(real: list[ScenarioResult]) -> None:
    text = html.text(matrix(real), [], {"document/expired": "scenarios/document/expired.scenario.toml"})
    said = Outline(text).said
    assert "the wire's account" in said
    assert "the server's account (role: genuine)" in said
    assert "The certificate shown on control connections: the genuine one" in said
    assert "ftps-lab matrix --client bullseye --server lab attack/refuse-auth" in said
    assert "ftps-lab matrix --client bullseye --server lab scenarios/document/expired.scenario.toml" in said


def test_unexpected_answer_is_open_and_comes_first() -> None:
    of = scenario()
    leaked = ScenarioResult(of, "fail", (step(of, FAILED, attempt("exposed")),))
    text = html.text(run(pair(result()), pair(leaked, build="sid")), [])
    entries = re.findall(r'<details class="answer"( open)?>\n<summary>(.*?)</summary>', text)
    assert [(opened, Outline(summary).said) for opened, summary in entries] == [
        (" open", "NOT AS EXPECTED: exposed: password to wire sid"),
        ("", "rejected: expired, untrusted bookworm"),
    ]
    assert "it was otherwise" in text


def test_difference_links_to_its_step() -> None:
    of = scenario(steps=2)
    first, second = step(of), step(of, number=1)
    other = replace(second, attempts=(attempt("accepted"),))
    made = run(pair(ScenarioResult(of, "pass", (first, second))),
               pair(ScenarioResult(of, "pass", (first, other)), build="sid"))  # fmt: skip
    text = html.text(made, [])
    assert '<a href="#m1-2"><code>area/case</code> step 2</a>' in text
    assert '<li class="step" id="m1-2">' in text


def test_agreeing_cells_are_counted_and_drawn_once() -> None:
    text = markup.unescape(html.text(run(*(pair(result(), build=build, kind=kind) for build, kind in CELLS)), []))
    assert "Drawn from the run of bullseye × lab. 5 other cells gave the same answer." in text
    assert text.count('<svg class="diagram"') == 1


def test_large_page_draws_only_answers_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    of = scenario(steps=2)
    other = replace(step(of, number=1), attempts=(attempt("accepted"),))
    made = run(pair(ScenarioResult(of, "pass", (step(of), step(of, number=1)))),
               pair(ScenarioResult(of, "pass", (step(of), other)), build="sid"))  # fmt: skip
    monkeypatch.setattr(html, "DRAWN", 2)
    text = html.text(made, [])
    assert "only those to steps that are not alike everywhere are drawn" in text
    assert [each.step for each in drawn(text)] == ["m1-2", "m1-2"]
    assert "rejected: expired, untrusted everywhere" in Outline(text).said
