"""The page of very many steps: what is not as expected is drawn, and of each other scenario the most telling step."""

from __future__ import annotations

import re

import pytest
from tests.harness.report.html.outline import Outline
from tests.harness.report.results import FAILED, PASSED, attempt, run, scenario, step

from ftps_harness.play.runner import ScenarioResult
from ftps_harness.report.html import run as run_page


def result(*verdicts: str, failed: int = 0, name: str = "area/case") -> ScenarioResult:
    """A scenario whose steps had these verdicts; one of them, counted from 1, is not as expected."""
    of = scenario(name, steps=len(verdicts))
    steps = tuple(
        step(of, FAILED if number == failed else PASSED, attempt(verdict), number=number - 1)
        for number, verdict in enumerate(verdicts, 1)
    )
    return ScenarioResult(of, "fail" if failed else "pass", steps)


def drawn(text: str) -> list[str]:
    """The ids of the steps that have a picture, in the order of the page."""
    return re.findall(r'<figcaption id="(r[-0-9]+)-q">', text)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of more than six steps has many, and then three are drawn."""
    monkeypatch.setattr(run_page, "_FULL", 6)
    monkeypatch.setattr(run_page, "_DRAWN", 3)


@pytest.mark.usefixtures("few")
class TestManySteps:
    def test_up_to_the_limit_every_step_is_drawn_with_all_its_evidence(self) -> None:
        text = run_page.text(
            [run(result("accepted", "exposed", "rejected"), result("rejected", "rejected", "exposed"))]
        )
        assert drawn(text) == [f"r1-{of}-{number}" for of in (1, 2) for number in (1, 2, 3)]
        assert text.count("lftp&#39;s debug log, the last") == 6
        assert "With so many steps" not in text

    def test_exposing_step_of_each_scenario_is_drawn_first(self) -> None:
        results = (
            result("accepted", "rejected", "exposed"),
            result("accepted", "rejected"),
            result("accepted", "accepted"),
        )
        assert drawn(run_page.text([run(*results)])) == ["r1-1-3", "r1-2-2", "r1-3-1"]

    def test_remaining_drawings_go_to_other_steps_in_page_order(self) -> None:
        results = (result("accepted", "exposed", "rejected", "rejected"), result("accepted", "rejected", "rejected"))
        assert drawn(run_page.text([run(*results)])) == ["r1-1-1", "r1-1-2", "r1-2-2"]

    def test_every_unexpected_step_is_drawn_with_all_its_evidence(self) -> None:
        """However many there are, and also with several builds."""
        wrong = [result("accepted", "exposed", failed=1) for _ in range(4)]
        text = run_page.text([run(*wrong[:2]), run(*wrong[2:], result("accepted", "exposed"))])
        assert drawn(text) == ["r1-1-1", "r1-2-1", "r2-1-1", "r2-2-1"]
        assert text.count("lftp&#39;s debug log, the last") == 4

    def test_step_without_a_diagram_has_its_evidence_as_text(self) -> None:
        text = run_page.text([run(*(result("accepted", "exposed") for _ in range(4)))])
        parts = text.split('<details class="result')[1:]
        assert len(parts) == 4
        for part in parts:
            for wanted in ("1 step 1", "2 step 2", "rc", "stdout", "server&#39;s account", "wire&#39;s account"):
                assert wanted in part, wanted
        assert "With so many steps" in text
        outline = Outline(text)
        assert outline.unbalanced == []
        assert len(outline.ids) == len(set(outline.ids))

    def test_drawn_step_has_no_certificate_table_on_a_long_page(self) -> None:
        text = run_page.text([run(*(result("accepted", "exposed") for _ in range(4)))])
        assert text.count('<svg class="diagram"') == text.count('<ol class="told"') == 3
        assert '<details class="certificates"' not in text


@pytest.mark.long
def test_each_of_1000_scenarios_has_a_diagram() -> None:
    """Whatever their number of steps: this is what the limits are for."""
    one = result("accepted", "rejected", "exposed", "rejected", "accepted")
    failed = result("accepted", "rejected", "exposed", "rejected", "accepted", failed=2)
    text = run_page.text([run(*(failed,) * 40, *(one,) * 960)])
    assert [each.rpartition("-")[0] for each in drawn(text)] == [f"r1-{number}" for number in range(1, 1001)]
