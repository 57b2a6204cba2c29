"""The differences as lines: leaks first; if only lftp's wording differs, a count, or all on request. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ftps_harness.matrix.differences import KINDS, alike
from ftps_harness.matrix.table import everywhere, hanging
from ftps_harness.report.plain import cells, harmless, padded, plural, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ftps_harness.matrix.differences import Difference, Group, Kind, Question

TITLES: Mapping[Kind, str] = {
    "exposure": "the leaks differ",
    "verdict": "the verdict differs",
    "reason": "refused by all, for different reasons",
    "words": "only lftp's wording differs",
}

_INDENT = 6
"""Indentation of the answers, below their steps."""


class Line(NamedTuple):
    """A line, and its style on a terminal."""

    text: str
    style: str = ""


def difference_lines(found: Sequence[Difference], width: int, *, words: bool) -> Iterator[Line]:
    """Yield every step with different answers, the worst first.

    Args:
        found: The differences.
        width: Columns of a line.
        words: Also show lftp's messages; otherwise steps that differ only in these are counted.

    """
    for kind in KINDS:
        some = [difference for difference in found if difference.kind == kind]
        if kind == "words" and some and not words:
            yield Line(f"{TITLES[kind]}: {plural(len(some), 'step')}, not shown; -v shows them")
        elif some:
            yield Line(f"{TITLES[kind]}: {plural(len(some), 'step')}", "bold")
            yield from _of_one_kind(some, width, words=words)


def _of_one_kind(some: Iterable[Difference], width: int, *, words: bool) -> Iterator[Line]:
    for questions, groups in alike(some, words=words):
        yield from map(Line, _asked(questions, width))
        yield from _answered(groups, width)


def _asked(questions: Sequence[Question], width: int) -> Iterator[str]:
    """The steps, grouped below their scenario."""
    last = ""
    for question in questions:
        if question.scenario != last:
            yield f"  {harmless(question.scenario)}"
            last = question.scenario
        first, *more = wrapped(harmless(question.step), width - _INDENT)
        yield f"    {first}"
        yield from (f"      {line}" for line in more)


def _answered(groups: Sequence[Group], width: int) -> Iterator[Line]:
    """Each answer with its builds and servers: in two columns, or one below the other if that is too wide."""
    among = [cell for group in groups for cell in group.cells]
    rows = [(everywhere(group.cells, among), group) for group in groups]
    column = max(cells(where) for where, _ in rows) + 2
    in_columns = all(_INDENT + column + cells(harmless(group.text)) <= width for _, group in rows)
    for where, group in rows:
        style = "bold red" if group.exposed else ""
        if in_columns:
            yield Line(f"{' ' * _INDENT}{padded(where, column)}{harmless(group.text)}", style)
        else:
            yield from (Line(f"  {line}", style) for line in hanging(f"{where}: {harmless(group.text)}", width - 2))
