"""The page of `ftps-lab pin-check`: the tally, and all evidence behind each requirement that the tool breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.harness.pinning.conftest import TOOLS
from tests.harness.report.html.outline import EVIL, Outline, check_harmless

from ftps_harness.cli import call
from ftps_harness.pinning import planted
from ftps_harness.pinning.check import NOT_TRIED, Report, Result
from ftps_harness.pinning.contract import REQUIREMENTS
from ftps_harness.pinning.record import Failure
from ftps_harness.pinning.reports import as_json, html

if TYPE_CHECKING:
    from pathlib import Path

BY_ID = {each.id: each for each in REQUIREMENTS}
FAILURE = Failure(
    ("ran ./pin.sh: exit code 0", "lftp connected to an impostor"), "lftp refuses", "accepted", "pinned!", ("+a", "-b")
)


def report(*results: Result, **more: object) -> Report:
    return Report(("./pin.sh", "{host}"), results, **more)  # type: ignore[arg-type]  # fields of Report


def failed_result(name: str, *failures: Failure) -> Result:
    return Result(BY_ID[name], "fail", "why", 1.0, failures or (FAILURE,), f"ftps-lab pin-check --only {name}")


def test_heading_is_the_tally() -> None:
    made = report(Result(BY_ID["connects"], "pass"), failed_result("impostor-refused"), failed_result("tls-demanded"))
    text = html.text(made)
    assert "FAILED: must 1 of 2, should 0 of 1.</h1>" in text


def test_failed_requirement_comes_first_with_all_its_evidence() -> None:
    made = report(
        Result(BY_ID["connects"], "pass"), failed_result("impostor-refused", FAILURE, replace(FAILURE, seen="again!"))
    )
    outline = Outline(html.text(made))
    for wanted in (
        "Expected lftp refuses",
        "✗ Seen accepted",
        "1 more that did not hold",
        "✗ Seen again!",
        "ran ./pin.sh: exit code 0",
        "pinned!",
        "+a -b",
        "ftps-lab pin-check --only impostor-refused",
        BY_ID["impostor-refused"].holds.replace("`", ""),
    ):
        assert wanted in outline.said, wanted
    assert outline.said.index("impostor-refused") < outline.said.index(" connects ")


def test_failure_to_pin_at_all_is_reported_once() -> None:
    made = report(*(Result(each, "fail", NOT_TRIED, failures=(FAILURE,)) for each in REQUIREMENTS))
    said = Outline(html.text(made)).said
    assert "The tool does not pin an ordinary server, so no other requirement was checked." in said
    assert said.count("✗ Seen accepted") == 1


def test_interrupted_check_is_undecided() -> None:
    """The requirements kept so far prove nothing about the rest."""
    made = report(Result(BY_ID["connects"], "pass"), interrupted=True)
    assert "UNDECIDED: must 1 of 1, should 0 of 0; interrupted before every requirement was checked." in html.text(made)
    assert as_json.document(made)["interrupted"] is True
    assert "interrupted" not in as_json.document(report())


def test_failed_self_check_makes_the_answer_undecided() -> None:
    text = html.text(report(problem="a planted tool was not caught"))
    assert "UNDECIDED: a planted tool was not caught</h1>" in text


def test_foreign_text_is_escaped() -> None:
    evil = Failure((EVIL,), EVIL, EVIL, EVIL, (f"+{EVIL}", f"-{EVIL}", EVIL))
    results = (failed_result("impostor-refused", evil, evil), Result(BY_ID["atomic"], "error", EVIL, again=EVIL))
    check_harmless(html.text(Report((EVIL,), results, notes=(EVIL,))))


@pytest.mark.long
@pytest.mark.lftp
def test_html_option_writes_the_page(
    sealed_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page shows a real tool that keeps one of two requirements."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planted, "WRONG", planted.WRONG[:1])
    options = ("--only", "two-hosts", "--only", "connects", "--html", "page.html")
    assert call(["pin-check", *options, "--", str(TOOLS / "small.sh"), "{host}", "{port}"]) == 1
    assert capsys.readouterr().out.startswith("FAILED: must 1 of 2, should 0 of 0.\n")
    outline = Outline((tmp_path / "page.html").read_text())
    assert outline.unbalanced == []
    assert "FAILED: must 1 of 2, should 0 of 0." in outline.said
    assert "lftp connected to backup.example, pinned first: rejected: untrusted" in outline.said
