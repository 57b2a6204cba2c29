"""docs/claims.md is true: its rows and the catalogue's scenarios hold the same promises, verdicts and words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.scenario import catalogue, expectation, load

if TYPE_CHECKING:
    from ftps_harness.scenario import Dialect, Expect, Scenario

ROOT = Path(__file__).parents[3]
CLAIMS = (ROOT / "docs/claims.md").read_text("utf-8")
SCENARIOS = {name: load(path) for name, path in catalogue(ROOT / "scenarios" / "document").items()}

COLUMNS: tuple[tuple[Dialect, str], ...] = (("classic", "4.8.4"), ("status", "4.9.3"), ("openssl", "4.9.3"))
"""The builds in the tables, in the order of the columns."""

NOT_LFTPS_WORDS = re.compile(r"[~/-].*|(?:ftp|ssl):[\w-]+ (?:yes|no)")
"""Paths, options and settings; any other code in a cell is output of lftp."""


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    claim: str
    promise: str
    scenarios: tuple[str, ...]
    said: tuple[str, ...]
    comment: str


def rows(heading: str) -> list[Row]:
    """The rows of the table below a heading."""
    _, _, rest = CLAIMS.partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:3] == "| `"
    ]
    return [
        Row(claim.strip("`"), promise, tuple(re.findall(r"`(document/[\w-]+)`", names)), tuple(said), comment)
        for claim, promise, names, *said, comment in cells
    ]


PROMISES = rows("The document's promises")
BEYOND = rows("Beyond the document")
ROWS = [*PROMISES, *BEYOND]
by_claim = pytest.mark.parametrize("row", ROWS, ids=[row.claim for row in ROWS])
by_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))


def expects(row: Row, column: int) -> list[Expect]:
    """Expectations of a row's scenarios for the build of a column."""
    steps = (step for name in row.scenarios for step in SCENARIOS[name].steps)
    return [expectation(step, *COLUMNS[column]) for step in steps]


def cell(row: Row, column: int) -> str:
    """The table's cell for a build, with references to the column on its left resolved."""
    return cell(row, column - 1) if row.said[column].startswith("the same") else row.said[column]


def test_both_tables_have_rows_and_claims_are_unique() -> None:
    assert PROMISES
    assert BEYOND
    assert len({row.claim for row in ROWS}) == len(ROWS)


@by_claim
def test_row_is_complete_and_its_scenarios_have_its_claim(row: Row) -> None:
    assert row.promise
    assert row.comment
    assert len(row.said) == len(COLUMNS)
    assert all(row.said)
    assert row.scenarios
    assert {SCENARIOS[name].claim for name in row.scenarios} == {row.claim}


@by_scenario
def test_scenario_is_listed_in_the_row_of_its_claim(scenario: Scenario) -> None:
    """Scenarios tagged `document` belong in the first table, the others in the second."""
    table = PROMISES if "document" in scenario.tags else BEYOND
    assert [row.claim for row in table if scenario.id in row.scenarios] == [scenario.claim]


@by_scenario
def test_scenario_says_why_in_one_paragraph(scenario: Scenario) -> None:
    assert "\n" not in scenario.why.strip()
    assert len(scenario.why.split()) >= 25


@by_scenario
def test_expected_exposure_names_what_leaked_and_to_whom(scenario: Scenario) -> None:
    """A missing `exposed` or `to` is not compared."""
    for step in scenario.steps:
        for dialect, version in COLUMNS:
            expect = expectation(step, dialect, version)
            if expect.verdict == "exposed":
                assert expect.exposed
                assert expect.to


@by_scenario
def test_every_step_has_a_control(scenario: Scenario) -> None:
    assert [step.title for step in scenario.steps if step.control == "none"] == []


@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=[dialect for dialect, _ in COLUMNS])
@by_claim
def test_cell_names_exactly_the_expected_verdicts(row: Row, column: int) -> None:
    named = set(re.findall(r"\b(accepted|rejected|exposed|login-failed|failed|hung|crashed)\b", cell(row, column)))
    assert named == {expect.verdict for expect in expects(row, column)}


@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=[dialect for dialect, _ in COLUMNS])
@by_claim
def test_quoted_lftp_message_is_expected_by_a_scenario_of_the_row(row: Row, column: int) -> None:
    quoted = [code for code in re.findall(r"`([^`]+)`", cell(row, column)) if not NOT_LFTPS_WORDS.fullmatch(code)]
    looked_for = [expect.message for expect in expects(row, column) if expect.message]
    assert [code for code in quoted if not any(code in message for message in looked_for)] == []


@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=[dialect for dialect, _ in COLUMNS])
@by_claim
def test_cell_says_the_same_only_if_the_messages_are_the_same(row: Row, column: int) -> None:
    """Where the builds' messages differ, a cell must not refer to another build's message."""
    if row.said[column].startswith("the same"):
        left = {expect.message for expect in expects(row, column - 1)}
        assert {expect.message for expect in expects(row, column)} == left
