"""The page of `ftps-lab matrix`: the heat map, the differences, every answer of every cell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs
from tests.harness.report.html.outline import EVIL, Outline, check_harmless
from tests.harness.report.html.test_page import hostile_attempt
from tests.harness.report.results import FAILED, LFTP, attempt, result, scenario, step

from ftps_harness.matrix import html
from ftps_harness.matrix.baseline import Drift
from ftps_harness.matrix.play import MatrixRun, PairResult
from ftps_harness.play.runner import ScenarioResult


def pair(*results: ScenarioResult, build: str = "bookworm", kind: str = "lab") -> PairResult:
    return PairResult(build, kind, LFTP, results, 1.0)


def run(*pairs: PairResult, interrupted: bool = False) -> MatrixRun:
    return MatrixRun(pairs, interrupted=interrupted, seconds=2.0)


def page_text(made: MatrixRun, *drifts: Drift) -> str:
    outline = Outline(html.text(made, drifts))
    assert outline.unbalanced == []
    assert len(outline.ids) == len(set(outline.ids))
    return outline.said


def test_answer_and_heat_map_come_first() -> None:
    text = page_text(run(pair(result()), pair(result(), result("fail"), kind="vsftpd")))
    assert "✗ Not as expected: 1 failed, over 2 pairs of lftp build and server" in text
    assert "lab vsftpd bookworm ✓ 1 ok ✗ 1 ok, 1 FAIL" in text
    assert text.index("1 ok") < text.index("Every answer")


def test_fully_skipped_pair_is_not_a_pass() -> None:
    """The pair's cell shows it with a word and a mark."""
    text = page_text(run(pair(result()), pair(result("skip", why="no CCC"), kind="vsftpd")))
    assert "! Nothing was proved with bookworm × vsftpd" in text
    assert "– 1 skip" in text  # noqa: RUF001 - the mark of a skipped cell
    assert "As expected: 1 scenario passed over 1 pair" in page_text(run(pair(result())))


def test_difference_names_the_answer_of_each_build() -> None:
    of = scenario()
    refused = ScenarioResult(of, "pass", (step(of),))
    leaked = ScenarioResult(of, "fail", (step(of, FAILED, attempt("exposed")),))
    text = page_text(run(pair(refused), pair(leaked, build="sid")))
    assert "The leaks differ: 1 step" in text
    assert "area/case step 1 Where Answer sid NOT AS EXPECTED: exposed: password to wire" in text
    assert "bookworm rejected: expired, untrusted" in text


def test_answer_common_to_all_cells_is_shown_once() -> None:
    assert "rejected: expired, untrusted everywhere" in page_text(run(pair(result()), pair(result(), build="sid")))


def test_skipped_cell_is_shown_as_skipped() -> None:
    """The step ran on one server only."""
    text = page_text(run(pair(result()), pair(result("skip", why="no CCC"), kind="vsftpd")))
    assert "bookworm rejected: expired, untrusted skipped" in text


def test_page_shows_drift_failures_and_exit_code() -> None:
    drift = Drift("bookworm", "lab", "area/case", "step 1", ("accepted",), ("rejected",))
    text = page_text(run(pair(result("fail"))), drift)
    assert "Not as expected: 1 failed, 1 answer different from the baseline, over 1 pair" in text
    assert "was: accepted" in text
    assert "FAIL bookworm × lab area/case step 1 (step 1): it was otherwise" in text
    assert "Exit code 1: a step is not as its scenario expects, or an answer differs from its baseline" in text


def test_interrupted_matrix_is_marked() -> None:
    assert "Interrupted: only what had been played is shown." in page_text(run(pair(result()), interrupted=True))


@pytest.mark.parametrize("status", ["pass", "fail", "error", "skip"])
def test_foreign_text_is_escaped(status: str) -> None:
    of = structs.replace(scenario("area/evil"), title=EVIL, why=EVIL)
    steps = (replace(step(of, FAILED, hostile_attempt()), title=EVIL),) if status == "fail" else result(status).steps
    evil = ScenarioResult(of, status, steps, why=EVIL)  # type: ignore[arg-type]  # a status
    drift = Drift("bookworm", "lab", EVIL, EVIL, (EVIL,), ("rejected",))
    check_harmless(html.text(run(pair(evil), pair(result(), build="sid")), [drift]))
