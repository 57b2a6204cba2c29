"""A report's remarks on steps that are as expected: lftp's complaints, and steps without a control."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.harness.play.sabotage import ACCEPTED
from tests.harness.report import results as made_up

from ftps_harness.play.runner import ScenarioResult
from ftps_harness.report import json_report
from ftps_harness.report.remarks import remarks
from ftps_harness.report.terminal import Terminal
from ftps_harness.scenario import parse

if TYPE_CHECKING:
    from tests.harness.conftest import Play

    from ftps_harness.report.tally import BuildRun


def printed(run: BuildRun) -> str:
    stream = io.StringIO()
    Terminal(stream).remarks(run)
    return stream.getvalue()


def test_what_lftp_says_beside_the_verdict_is_shown_of_a_step_that_passes(play: Play) -> None:
    done = play(play.step(ACCEPTED, rc=play.pin + "sett x y\n", keys='run = ["ls"]'))
    assert done.status == "pass"
    assert "Unknown command `sett'." in printed(made_up.run(done))


def test_the_refusal_that_a_verdict_is_about_is_not_shown_again() -> None:
    of = made_up.scenario()
    said = b"ls: Fatal error: no\nls: Fatal error: no\nanother \x1b[31mline\n"
    step = made_up.step(of, made_up.PASSED, made_up.attempt(stderr=said))
    (section,) = remarks(made_up.run(ScenarioResult(of, "pass", (step,))))
    assert section.lines[:2] == ("area/case", "  another \\x1b[31mline")
    assert section.lines[2].startswith("  only in its debug log: gnutls_priority_set_direct(")
    refused = made_up.attempt(stderr=b"ls: Fatal error: no\n")
    step = replace(step, attempts=(replace(refused, client=replace(refused.client, log_notes=())),))
    assert not list(remarks(made_up.run(ScenarioResult(of, "pass", (step,)))))


def test_a_step_that_fails_shows_it_with_its_evidence_alone() -> None:
    of = made_up.scenario()
    step = made_up.step(of, made_up.FAILED)
    assert not list(remarks(made_up.run(ScenarioResult(of, "fail", (step,)))))


def test_a_step_without_a_control_says_why() -> None:
    """Readers and programs see which `pass` verdicts have no control behind them."""
    text = (
        'schema = 1\ntitle = "t"\nwhy = "w"\n[certificates.genuine]\n[server]\ncertificate = "genuine"\n'
        '[[step]]\ntitle = "a"\ncontrol = "none"\nwhy_no_control = "nothing to take away"\n'
        '[step.expect]\nverdict = "accepted"\n[[step]]\ntitle = "b"\n[step.expect]\nverdict = "accepted"\n'
    )
    of = parse(text, "x.scenario.toml", "area/case")
    attempt = made_up.attempt("accepted", stderr=b"")
    steps = tuple(made_up.step(of, made_up.PASSED, attempt, number=number) for number in range(2))
    run = made_up.run(ScenarioResult(of, "pass", steps))
    assert "area/case, step 1: nothing to take away" in printed(run)
    first, second = json.loads(json_report.text([run], several=False))["results"][0]["steps"]
    assert first["why_no_control"] == "nothing to take away"
    assert "why_no_control" not in second


def test_of_many_scenarios_only_the_names_stand_there() -> None:
    """The reasons would push the failures off the screen."""
    text = (
        'schema = 1\ntitle = "t"\nwhy = "w"\n[certificates.genuine]\n[server]\ncertificate = "genuine"\n'
        '[[step]]\ntitle = "a"\ncontrol = "none"\nwhy_no_control = "nothing to take away"\n'
        '[step.expect]\nverdict = "accepted"\n'
    )
    results = []
    for number in range(6):
        of = parse(text, "x.scenario.toml", f"area/case-{number}")
        results.append(ScenarioResult(of, "pass", (made_up.step(of, made_up.PASSED, made_up.attempt("accepted")),)))
    shown = " ".join(printed(made_up.run(*results)).split())
    assert "area/case-0, area/case-1" in shown
    assert "area/case-5" in shown
    assert "nothing to take away" not in shown
