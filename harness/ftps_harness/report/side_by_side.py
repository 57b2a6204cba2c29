"""Scenarios with the same steps, side by side: a row for each scenario, a column for each step. Pure.

All scenarios of a family (such as every attack against the same rc files) have the same step titles, and that is what
makes them one: the format needs no key for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_harness.report.plain import harmless, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftps_harness.play.runner import ScenarioResult, StepResult

_MANY = 8
"""How many columns fit side by side; with more steps, each gets its own line."""

SOMETIMES = "*"
"""Follows a cell whose verdict occurred in only some of the runs."""


@dataclass(frozen=True, slots=True)
class Family:
    """Scenarios with the same steps.

    Attributes:
        columns: The steps' titles.
        rows: The id of each scenario, and the result of each of its steps in one word.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def families(results: Iterable[ScenarioResult]) -> list[Family]:
    """Return every family of at least two completed scenarios with at least two steps."""
    alike: dict[tuple[str, ...], list[ScenarioResult]] = {}
    for result in results:
        titles = tuple(step.title for step in result.scenario.steps)
        if len(titles) > 1 and len(result.steps) == len(titles):
            alike.setdefault(titles, []).append(result)
    return [
        Family(tuple(map(harmless, titles)), tuple((harmless(each.scenario.id), _cells(each)) for each in members))
        for titles, members in alike.items()
        if len(members) > 1
    ]


def lines(family: Family, width: int) -> Iterator[str]:
    """The table of a family, in lines of at most `width` columns if its cells allow; transposed if it is too wide."""
    return (line for line, _ in lines_and_cells(family, width))


def lines_and_cells(family: Family, width: int) -> Iterator[tuple[str, int]]:
    """The lines of its table, each with the column where its cells begin, or its end if it has none."""
    area = _area(family)
    names = tuple(name.removeprefix(area) for name, _ in family.rows)
    cells = tuple(row for _, row in family.rows)
    if len(family.columns) > _MANY:
        turned = tuple(zip(*cells, strict=True))
        yield from _table([f"{area}{name}" for name in names], family.columns, turned, "", width)
    else:
        yield from _table(family.columns, names, cells, area, width)
    if any(SOMETIMES in cell for row in cells for cell in row):
        yield _plain("")
        yield _plain(f"  {SOMETIMES} not in every run; the table above has the counts")


def _table(
    columns: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]], head: str, width: int
) -> Iterator[tuple[str, int]]:
    """A legend of the columns, their numbers, and a line for each row; two lines if the name leaves no space."""
    for number, title in enumerate(columns, 1):
        first, *more = wrapped(title, width - 6)
        yield _plain(f"  {number}  {first}")
        yield from (_plain(f"      {line}") for line in more)
    yield _plain("")
    widths = [max(len(row[at]) for row in rows) + 1 for at in range(len(columns))]
    left = max(len(head), *map(len, names)) + 1
    if left + sum(widths) - 1 > width:
        left = 2
    numbered = tuple(str(number) for number in range(1, len(columns) + 1))
    for name, row in ((head, numbered), *zip(names, rows, strict=True)):
        if name and len(name) >= left:
            yield from map(_plain, wrapped(name, width))
        yield (name if len(name) < left else "").ljust(left) + _line(row, widths), left


def _plain(text: str) -> tuple[str, int]:
    """A line without cells."""
    return text, len(text)


def _area(family: Family) -> str:
    """The common prefix of all names, up to the slash."""
    areas = {name.rpartition("/")[0] for name, _ in family.rows}
    return f"{areas.pop()}/" if len(areas) == 1 else ""


def _cells(result: ScenarioResult) -> tuple[str, ...]:
    return tuple(_cell(step) for step in result.steps)


def _cell(step: StepResult) -> str:
    """The worst result of a step, in one word; a password in capitals, because it is the worst loss."""
    outcomes = [attempt.outcome for attempt in step.attempts]
    exposed = frozenset().union(*(outcome.exposed for outcome in outcomes))
    if exposed:
        word = "PASSWORD" if "password" in exposed else "payload"
        always = all(outcome.exposed for outcome in outcomes)
    else:
        verdicts = [outcome.verdict for outcome in outcomes]
        word = step.expect.verdict if step.expect.verdict in verdicts else verdicts[0]
        always = all(outcome.verdict == word for outcome in outcomes)
    return word if always else word + SOMETIMES


def _line(cells: Iterable[str], widths: list[int]) -> str:
    return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
