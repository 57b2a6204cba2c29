"""What a build answered to a step, in a line that is the same from run to run; and where such answers differ. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_harness.report.plain import harmless, outcome_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_harness.matrix.play import PairResult
    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.runner import ScenarioResult, StepResult

UNEXPECTED = "NOT AS EXPECTED: "
"""Before an answer that the scenario does not expect."""

_VARYING = (
    (re.compile(r" ?\((?:[0-9A-F]{2}:){19}[0-9A-F]{2}\)"), ""),
    (re.compile(r"\b(file|put|one|two|tree|listed)-[a-z2-9]{12}(?:\.txt)?"), r"\1"),
    (re.compile(r"/\S*/ftps-lab-[^/\s]+/"), "…/"),
    (re.compile(r"[‘’]"), "'"),  # noqa: RUF001 - the quotes follow the locale (docs/lftp.md, "Refusals")
    (re.compile(r"\s+"), " "),
)
"""What differs from run to run: fingerprints, the run's secret names, its folders."""


@dataclass(frozen=True, slots=True)
class Question:
    """One step of one scenario."""

    scenario: str
    step: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A question that was not answered alike.

    Attributes:
        question: Which.
        groups: Each answer, and the cells (build, server) that gave it.
    """

    question: Question
    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

    @property
    def of_verdict(self) -> bool:
        """More than lftp's wording differs."""
        return len({answer.partition(": «")[0] for answer, _ in self.groups}) > 1


def answers(step: StepResult) -> tuple[str, ...]:
    """Every answer that the runs of a step gave, each once, sorted; several only for a step that is repeated.

    Where a step happens only sometimes, the verdicts alone: which of several messages comes is a race (docs/lftp.md,
    "Data connections").
    """
    sometimes = step.expect.how_often == "sometimes"
    mark = "" if step.status == "pass" else UNEXPECTED
    given = {mark + _answer(attempt, with_words=not sometimes) for attempt in step.attempts}
    return tuple(sorted(given))


def is_other_than_promised(result: ScenarioResult, index: int) -> bool:
    """Whether a step's answer is not what the scenario's main expectation says, with the builds' overrides left out."""
    step = result.scenario.steps[index]
    return result.steps[index].status != "pass" or result.steps[index].expect != step.expect


def differences(pairs: Iterable[PairResult]) -> Iterator[Difference]:
    """Every question that was not answered alike by all builds and servers, in the order of the scenarios."""
    given: dict[Question, dict[str, list[tuple[str, str]]]] = {}
    for pair in pairs:
        for result in pair.results:
            for step in result.steps:
                groups = given.setdefault(Question(result.scenario.id, step.title), {})
                groups.setdefault(" | ".join(answers(step)), []).append((pair.build, pair.kind))
    for question, groups in given.items():
        if len(groups) > 1:
            yield Difference(question, tuple((answer, tuple(cells)) for answer, cells in groups.items()))


def _answer(attempt: Attempt, *, with_words: bool) -> str:
    outcome = attempt.outcome
    words = outcome_words(outcome)
    message = plain(outcome.message) if with_words else ""
    return f"{words}: «{message}»" if message else words


def plain(message: str) -> str:
    """lftp's words without what differs from run to run, each line once, in alphabetical order.

    Which of two lines comes first, or is repeated in the debug log, is a race.
    """
    lines = set()
    for line in harmless(message).split("\n"):
        for pattern, instead in _VARYING:
            line = pattern.sub(instead, line)  # noqa: PLW2901 - step by step
        lines.add(re.sub(r"^(?:\.?\w+: )?(?:Fatal error: |ERROR: )", "", line.strip()))
    return " / ".join(sorted(lines - {""}))
