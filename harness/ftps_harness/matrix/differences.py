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
"""From worst to least important; a difference has the first kind that applies."""


@dataclass(frozen=True, slots=True)
class Question:
    """One step of one scenario."""

    scenario: str
    step: str


@dataclass(frozen=True, slots=True)
class Group:
    """Cells with the same answers.

    Attributes:
        answers: Their answers; several only for a repeated step.
        cells: The builds and servers that gave them.
    """

    answers: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def text(self) -> str:
        """All answers in one line."""
        return " | ".join(self.answers)

    def without_words(self) -> Group:
        """The group with verdicts, leaks and reasons, without lftp's messages."""
        return Group(tuple(sorted({without_words(each) for each in self.answers})), self.cells)

    @property
    def exposed(self) -> frozenset[str]:
        """The answers in which something leaked."""
        return frozenset(
            answer.removeprefix(UNEXPECTED)
            for answer in map(without_words, self.answers)
            if verdict_of(answer) == "exposed"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A question with different answers.

    Attributes:
        question: The scenario and step.
        groups: Each answer, and the cells that gave it.
    """

    question: Question
    groups: tuple[Group, ...]

    @property
    def kind(self) -> Kind:
        """The worst kind that applies; a step that is as expected in only some cells is a difference in the verdict."""
        said = [group.without_words().answers for group in self.groups]
        if len(set(said)) == 1:
            return "words"
        if len({group.exposed for group in self.groups}) > 1:
            return "exposure"
        verdicts = {frozenset((each.startswith(UNEXPECTED), verdict_of(each)) for each in some) for some in said}
        return "verdict" if len(verdicts) > 1 else "reason"

    @property
    def of_verdict(self) -> bool:
        """Whether more than lftp's wording differs."""
        return self.kind != "words"


def differences(pairs: Iterable[PairResult]) -> Iterator[Difference]:
    """Yield every question that builds and servers answered differently, in the order of the scenarios."""
    given: dict[Question, dict[Cell, tuple[str, ...]]] = {}
    for pair in pairs:
        for result in pair.results:
            for step in result.steps:
                asked = given.setdefault(Question(result.scenario.id, step.title), {})
                asked[pair.build, pair.kind] = answers(step)
    return differing(given)


def differing(given: Mapping[Question, Mapping[Cell, tuple[str, ...]]]) -> Iterator[Difference]:
    """Like `differences`, from known answers of each cell to each question."""
    for question, cells in given.items():
        groups = _grouped(cells)
        if len(groups) > 1:
            yield Difference(question, groups)


def alike(differences: Iterable[Difference], *, words: bool) -> list[tuple[tuple[Question, ...], tuple[Group, ...]]]:
    """Group differences with the same answers from the same cells, in the order of the first of each group.

    Args:
        differences: Differences of one kind.
        words: Keep lftp's messages as part of the answer.

    """
    found: dict[frozenset[tuple[tuple[str, ...], frozenset[Cell]]], tuple[tuple[Group, ...], list[Question]]] = {}
    for difference in differences:
        groups = difference.groups if words else _without_words(difference.groups)
        key = frozenset((group.answers, frozenset(group.cells)) for group in groups)
        # Leaks first: readers look for them.
        worst_first = tuple(sorted(groups, key=lambda group: not group.exposed))
        found.setdefault(key, (worst_first, []))[1].append(difference.question)
    return [(tuple(questions), groups) for groups, questions in found.values()]


def _without_words(groups: Sequence[Group]) -> tuple[Group, ...]:
    """One group for each verdict: merge the groups that differ only in lftp's messages."""
    return _grouped({cell: group.without_words().answers for group in groups for cell in group.cells})


def _grouped(cells: Mapping[Cell, tuple[str, ...]]) -> tuple[Group, ...]:
    found: dict[tuple[str, ...], list[Cell]] = {}
    for cell, said in cells.items():
        found.setdefault(said, []).append(cell)
    return tuple(Group(said, tuple(where)) for said, where in found.items())
