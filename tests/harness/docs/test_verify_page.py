"""docs/verify.md matches the tables of findings and trials."""

from __future__ import annotations

from pathlib import Path

from ftps_harness.verify.explain import explain
from ftps_harness.verify.findings import KINDS
from ftps_harness.verify.trials import GENUINE, TRIALS

PAGE = (Path(__file__).parents[3] / "docs/verify.md").read_text("utf-8")


def test_table_of_findings_matches_the_code() -> None:
    rows = [line for line in PAGE.split("## Findings")[1].split("## Trials")[0].splitlines() if line[:3] == "| `"]
    assert rows == [f"| `{kind.id}` | {kind.severity} | {kind.title} | {kind.cure} |" for kind in KINDS.values()]


def test_table_of_trials_matches_the_code() -> None:
    rows = [line for line in PAGE.split("## Trials")[1].split("\n## ")[0].splitlines() if line[:3] == "| `"]
    assert rows == [f"| `{trial.name}` | {trial.title} |" for trial in (GENUINE, *TRIALS)]


def test_every_finding_has_an_explanation() -> None:
    assert {explain(kind).splitlines()[0].split()[0] for kind in KINDS} == set(KINDS)
