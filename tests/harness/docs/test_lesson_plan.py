"""docs/lesson-plan.md: its minutes add up, its commands work, and its exercises match their scenarios' expectations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ftps_harness.scenario import load
from ftps_harness.teach.demo.chapters import CHAPTERS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/lesson-plan.md").read_text("utf-8")
BY_NAME = {chapter.name: chapter for chapter in CHAPTERS}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_minutes_are_contiguous_and_end_at_45() -> None:
    spans = [(int(begin), int(end)) for begin, end in re.findall(r"^\| (\d+)–(\d+) \|", PAGE, re.MULTILINE)]  # noqa: RUF001
    assert spans[0][0] == 0
    assert spans[-1][1] == 45
    assert [end for _, end in spans[:-1]] == [begin for begin, _ in spans[1:]]


def test_demo_calls_play_every_chapter_exactly_once() -> None:
    called = re.findall(r"`ftps-lab demo((?: [a-z]+)+)`", PAGE)
    chapters = [name for names in called for name in names.split()]
    assert sorted(chapters) == sorted(BY_NAME)


def test_questions_are_those_that_the_demo_asks() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \| ([^|]+) \|", section("Predict first"), re.MULTILINE)
    assert len(rows) >= 8
    for name, question in rows:
        assert question == BY_NAME[name].predict


@pytest.mark.parametrize(
    ("scenario", "step", "verdict", "line"),
    [
        ("attack/intercept-copy", 2, "exposed", "set ssl:verify-certificate no"),
        ("attack/intercept-copy", 3, "rejected", "set ssl:ca-file"),
        ("attack/intercept-copy", 4, "rejected", "set ssl:check-hostname no"),
        ("attack/strip-auth", 3, "exposed", "set ssl:ca-file"),
        ("attack/strip-auth", 5, "rejected", "set ftp:ssl-force yes"),
    ],
)
def test_scenario_step_has_the_verdict_and_line_of_the_plan(scenario: str, step: int, verdict: str, line: str) -> None:
    """`make run` runs the scenarios themselves."""
    found = load(ROOT / f"scenarios/{scenario}.scenario.toml").steps[step - 1]
    assert found.expect.verdict == verdict
    assert line in (found.rc or "")


def test_exercises_are_served_from_the_planned_steps() -> None:
    served = re.findall(r"ftps-lab serve (\S+) --step (\d+)", PAGE)
    assert served
    assert set(served) == {("attack/intercept-copy", "2"), ("attack/strip-auth", "3")}


def test_every_quiz_question_has_its_answer() -> None:
    questions, answers = (re.findall(r"^(\d+)\. ", section(title), re.MULTILINE) for title in ("Quiz", "Answers"))
    assert questions == answers
    assert len(questions) >= 5
