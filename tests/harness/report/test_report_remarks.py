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


def printed_remarks(run: BuildRun) -> str:
    stream = io.StringIO()
    Terminal(stream).remarks(run)
    return stream.getvalue()


def test_other_lftp_messages_of_a_passing_step_are_shown(play: Play) -> None:
    done = play(play.step(ACCEPTED, rc=play.pin + "sett x y\n", keys='run = ["ls"]'))
    assert done.status == "pass"
    assert "Unknown command `sett'." in printed_remarks(made_up.run(done))


def test_message_that_decided_the_verdict_is_not_repeated() -> None:
    of = made_up.scenario()
    said = b"ls: Fatal error: no\nls: Fatal error: no\nanother \x1b[31mline\n"
    step = made_up.step(of, made_up.PASSED, made_up.attempt(stderr=said))
    (section,) = remarks(made_up.run(ScenarioResult(of, "pass", (step,))))
    assert section.lines[:2] == ("area/case", "  another \\x1b[31mline")
    assert section.lines[2].startswith("  only in its debug log: gnutls_priority_set_direct(")
    refused = made_up.attempt(stderr=b"ls: Fatal error: no\n")
    step = replace(step, attempts=(replace(refused, client=replace(refused.client, log_notes=())),))
    assert not list(remarks(made_up.run(ScenarioResult(of, "pass", (step,)))))


def test_failing_step_has_no_remarks() -> None:
    of = made_up.scenario()
    step = made_up.step(of, made_up.FAILED)
    assert not list(remarks(made_up.run(ScenarioResult(of, "fail", (step,)))))


def test_reason_for_a_missing_control_is_shown_and_in_the_json() -> None:
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
    assert "area/case, step 1: nothing to take away" in printed_remarks(run)
    first, second = json.loads(json_report.text([run], several=False))["results"][0]["steps"]
    assert first["why_no_control"] == "nothing to take away"
    assert "why_no_control" not in second


def test_many_scenarios_without_controls_are_listed_by_name_only() -> None:
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
    shown = " ".join(printed_remarks(made_up.run(*results)).split())
    assert "area/case-0, area/case-1" in shown
    assert "area/case-5" in shown
    assert "nothing to take away" not in shown
