"""A build's answer to a step, as a line that is the same in every run. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftps_harness.report.plain import harmless, outcome_words

if TYPE_CHECKING:
    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.runner import ScenarioResult, StepResult

UNEXPECTED = "NOT AS EXPECTED: "
"""Precedes an answer that the scenario does not expect."""

_WORDS = ": «"
"""Separates a verdict from lftp's message."""

_VARYING = (
    (re.compile(r" ?\((?:[0-9A-F]{2}:){19}[0-9A-F]{2}\)"), ""),
    (re.compile(r"\b(file|put|one|two|tree|listed)-[a-z2-9]{12}(?:\.txt)?"), r"\1"),
    (re.compile(r"/\S*/ftps-lab-[^/\s]+/"), "…/"),
    (re.compile(r"[‘’]"), "'"),  # noqa: RUF001 - the quotes depend on the locale (docs/lftp.md, "Refusals")
    (re.compile(r"\s+"), " "),
)
"""Text that differs from run to run: fingerprints, the run's secret names, its folders."""


def answers(step: StepResult) -> tuple[str, ...]:
    """Return the distinct answers of all runs of a step, sorted; several only for a repeated step.

    If a step's outcome is expected only sometimes, answers are verdicts alone: which of several messages appears is a
    race (docs/lftp.md, "Data connections").
    """
    sometimes = step.expect.how_often == "sometimes"
    mark = "" if step.status == "pass" else UNEXPECTED
    given = {mark + _answer(attempt, with_words=not sometimes) for attempt in step.attempts}
    return tuple(sorted(given))


def is_other_than_promised(result: ScenarioResult, index: int) -> bool:
    """Whether a step's answer differs from the scenario's main expectation, ignoring the builds' overrides."""
    step = result.scenario.steps[index]
    return result.steps[index].status != "pass" or result.steps[index].expect != step.expect


def without_words(answer: str) -> str:
    """The answer without lftp's message: ``rejected: untrusted``."""
    return answer.partition(_WORDS)[0]


def verdict_of(answer: str) -> str:
    """The answer's verdict alone: ``rejected``."""
    return answer.removeprefix(UNEXPECTED).partition(":")[0]


def _answer(attempt: Attempt, *, with_words: bool) -> str:
    outcome = attempt.outcome
    words = outcome_words(outcome)
    message = plain(outcome.message) if with_words else ""
    return f"{words}{_WORDS}{message}»" if message else words


def plain(message: str) -> str:
    """lftp's message without the parts that differ from run to run: distinct lines in alphabetical order.

    The order of two lines, and whether one is repeated in the debug log, is a race.
    """
    lines = set()
    for line in harmless(message).split("\n"):
        for pattern, instead in _VARYING:
            line = pattern.sub(instead, line)  # noqa: PLW2901 - step by step
        lines.add(re.sub(r"^(?:\.?\w+: )?(?:Fatal error: |ERROR: )", "", line.strip()))
    return " / ".join(sorted(lines - {""}))
