"""The diagrams of `ftps-lab pin-check --html`: each is of a server that lftp met before the expectation failed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.harness.pinning.test_html import FAILURE, failed_result, report
from tests.harness.report.html.claims import untrue
from tests.harness.report.html.outline import EVIL, Outline, check_harmless
from tests.harness.report.html.test_page import hostile_attempt
from tests.harness.report.results import attempt

from ftps_harness.pinning.record import Log, Met
from ftps_harness.pinning.reports import html
from ftps_harness.report.html.witnessed import interaction
from ftps_lab.testimony import Command, Testimony

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.pinning.check import Result

NO_CHECK = """#!/bin/sh
mkdir -p "$HOME/.lftp"
echo QUIT | openssl s_client -starttls ftp -connect "$1:$2" 2>/dev/null | openssl x509 -noout -fingerprint -sha256
echo 'set ssl:verify-certificate no' >>"$HOME/.lftp/rc"
"""
"""A tool that pins nothing and switches verification off."""

ROLES = {
    "lftp connected to an impostor": "impostor",
    "lftp connected to an attacker who strips AUTH": "impostor",
    "lftp connected to the genuine": "genuine",
}
"""What a phrase begins with → the role of the server that it names."""


def met_server(what: str = "lftp connected to an impostor: exposed") -> Met:
    return Met(what, attempt("exposed").recording, None)


def test_failure_draws_the_servers_that_lftp_met() -> None:
    failure = replace(FAILURE, met=(met_server("lftp connected to the genuine server: accepted"), met_server()))
    text = html.text(report(failed_result("impostor-refused", failure, failure)))
    assert text.count('<svg class="diagram"') == text.count('<ol class="told"') == 4
    said = Outline(text).said
    assert "What was said when lftp connected to the genuine server: accepted" in said
    assert "What was said when lftp connected to an impostor: exposed" in said
    ids = Outline(text).ids
    assert len(ids) == len(set(ids))


def test_last_server_is_open_and_the_others_are_folded() -> None:
    text = html.text(
        report(failed_result("impostor-refused", replace(FAILURE, met=(met_server("one"), met_server("two")))))
    )
    assert '<details class="evidence">\n<summary>What was said when one</summary>' in text
    assert '<details class="evidence" open>\n<summary>What was said when two</summary>' in text


def test_last_three_recordings_since_the_previous_failure_are_kept() -> None:
    log = Log()
    for number in range(5):
        log.meet(met_server(str(number)))
    log.fail("something", "something else")
    log.meet(met_server("later"))
    log.fail("again", "still not")
    log.fail("a third", "no server was met")
    assert [[each.what for each in failure.met] for failure in log.failures] == [["2", "3", "4"], ["later"], []]


def test_overlong_recording_is_not_kept() -> None:
    log = Log()
    commands = tuple(Command(1, "NOOP", "", "tls", 200) for _ in range(6000))
    long = replace(
        met_server(), recording=replace(met_server().recording, testimony=Testimony("genuine", commands=commands))
    )
    log.meet(long)
    assert log.met == []


def test_foreign_text_is_escaped() -> None:
    evil = Met(EVIL, hostile_attempt().recording, None)
    check_harmless(html.text(report(failed_result("impostor-refused", replace(FAILURE, met=(evil, evil))))))


@pytest.mark.lftp
def test_each_diagram_shows_the_testimony_of_its_server(check_tool: Callable[..., dict[str, Result]]) -> None:
    """A tool that switches verification off: an impostor, and servers that deny TLS, get the password."""
    results = check_tool(NO_CHECK, "impostor-refused", "tls-demanded", "repin", repin="/bin/true")
    assert {each.status for each in results.values()} == {"fail"}
    failures = [failure for each in results.values() for failure in each.failures]
    seen = [each for failure in failures for each in failure.met]
    assert len(seen) > 5
    for failure in failures:
        assert [each.what for each in failure.met] == [done for done in failure.done if "lftp connected to" in done][
            -3:
        ]
    for each in seen:
        told = each.recording.testimony
        assert untrue(interaction(each.recording, each.genuine), each.recording) == [], each.what
        assert [role for phrase, role in ROLES.items() if each.what.startswith(phrase)] in ([], [told.role]), each.what
        leaked = "password" in each.what.partition("exposed: ")[2]
        assert leaked is any(c.password and (c.channel == "clear" or told.role == "impostor") for c in told.credentials)
    [impostor, *_] = [each for each in seen if "same fields" in each.what]
    assert impostor.genuine is not None
    shown = {handshake.certificate for handshake in impostor.recording.testimony.handshakes}
    assert impostor.genuine.sha256 not in shown
    text = html.text(report(*results.values()))
    assert text.count('<svg class="diagram"') == len(seen)
    assert "not the genuine one; not the genuine key" in text
