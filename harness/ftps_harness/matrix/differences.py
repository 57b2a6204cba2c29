"""Where builds and servers answer a step differently: in what got out, the verdict, the reason or the words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftps_harness.matrix.answers import UNEXPECTED, answers, verdict_of, without_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ftps_harness.matrix.play import PairResult

Cell = tuple[str, str]
"""A build and a server."""

Kind = Literal["exposure", "verdict", "reason", "words"]

KINDS: tuple[Kind, ...] = ("exposure", "verdict", "reason", "words")
"""From the worst to what matters least; a difference is of the first that fits."""


@dataclass(frozen=True, slots=True)
class Question:
    """One step of one scenario."""

    scenario: str
    step: str


@dataclass(frozen=True, slots=True)
class Group:
    """Cells that answered alike.

    Attributes:
        answers: What they answered; several only for a step that is repeated.
        cells: Which.
    """

    answers: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def text(self) -> str:
        """All answers in one line."""
        return " | ".join(self.answers)

    def without_words(self) -> Group:
        """The verdicts, what got out and the reasons; what lftp printed is left out."""
        return Group(tuple(sorted({without_words(each) for each in self.answers})), self.cells)

    @property
    def exposed(self) -> frozenset[str]:
        """Those of the answers in which something got out."""
        return frozenset(
            answer.removeprefix(UNEXPECTED)
            for answer in map(without_words, self.answers)
            if verdict_of(answer) == "exposed"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A question that was not answered alike.

    Attributes:
        question: Which.
        groups: Each answer, and the cells that gave it.
    """

    question: Question
    groups: tuple[Group, ...]

    @property
    def kind(self) -> Kind:
        """The worst that differs; a step that is as expected in one cell only is a difference in the verdict."""
        said = [group.without_words().answers for group in self.groups]
        if len(set(said)) == 1:
            return "words"
        if len({group.exposed for group in self.groups}) > 1:
            return "exposure"
        verdicts = {frozenset((each.startswith(UNEXPECTED), verdict_of(each)) for each in some) for some in said}
        return "verdict" if len(verdicts) > 1 else "reason"

    @property
    def of_verdict(self) -> bool:
        """More than lftp's wording differs."""
        return self.kind != "words"


def differences(pairs: Iterable[PairResult]) -> Iterator[Difference]:
    """Every question that was not answered alike by all builds and servers, in the order of the scenarios."""
    given: dict[Question, dict[Cell, tuple[str, ...]]] = {}
    for pair in pairs:
        for result in pair.results:
            for step in result.steps:
                asked = given.setdefault(Question(result.scenario.id, step.title), {})
                asked[pair.build, pair.kind] = answers(step)
    return differing(given)


def differing(given: Mapping[Question, Mapping[Cell, tuple[str, ...]]]) -> Iterator[Difference]:
    """The same of answers that are known already, each cell's to each question."""
    for question, cells in given.items():
        groups = _grouped(cells)
        if len(groups) > 1:
            yield Difference(question, groups)


def alike(differences: Iterable[Difference], *, words: bool) -> list[tuple[tuple[Question, ...], tuple[Group, ...]]]:
    """Differences with the same answers from the same cells together, in the order of the first of each.

    Args:
        differences: Of one kind.
        words: What lftp printed counts as part of the answer, and is kept.

    """
    found: dict[frozenset[tuple[tuple[str, ...], frozenset[Cell]]], tuple[tuple[Group, ...], list[Question]]] = {}
    for difference in differences:
        groups = difference.groups if words else _without_words(difference.groups)
        key = frozenset((group.answers, frozenset(group.cells)) for group in groups)
        # The leak first: it is what the reader is looking for.
        worst_first = tuple(sorted(groups, key=lambda group: not group.exposed))
        found.setdefault(key, (worst_first, []))[1].append(difference.question)
    return [(tuple(questions), groups) for groups, questions in found.values()]


def _without_words(groups: Sequence[Group]) -> tuple[Group, ...]:
    """One group for each verdict: those that only differ in words become one."""
    return _grouped({cell: group.without_words().answers for group in groups for cell in group.cells})


def _grouped(cells: Mapping[Cell, tuple[str, ...]]) -> tuple[Group, ...]:
    found: dict[tuple[str, ...], list[Cell]] = {}
    for cell, said in cells.items():
        found.setdefault(said, []).append(cell)
    return tuple(Group(said, tuple(where)) for said, where in found.items())
