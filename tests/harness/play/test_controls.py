"""Which control a step gets, and that reading a setting back proves its removal."""

from __future__ import annotations

from typing import Any

import pytest

from ftps_harness.errors import UsageError
from ftps_harness.play.controls import (
    ALLOW,
    FORCE,
    IMPOSTOR_ACCEPTED,
    IMPOSTOR_REFUSED,
    VERIFICATION,
    VERIFICATION_OFF,
    Control,
    control_for,
    is_set,
    set_commands,
)
from ftps_harness.scenario import Expect, ScenarioError, expectation, parse
from ftps_harness.verdict.observations import Outcome

FILE = """
schema = 1
title = "t"
why = "w"
[certificates.genuine]
[server]
certificate = "genuine"
[[step]]
title = "s"
{step}
[step.expect]
{expect}
"""


def control_of(expect: str, step: str = "") -> Any:
    """The control of a step with these keys."""
    (parsed,) = parse(FILE.format(step=step, expect=expect), "x.scenario.toml", "a/x").steps
    return control_for(parsed, parsed.expect)


@pytest.mark.parametrize(
    ("expect", "step", "kind"),
    [
        ('verdict = "accepted"', "", "impostor-refused"),
        ('verdict = "accepted"', 'control = "impostor-accepted"', "impostor-accepted"),
        ('verdict = "rejected"\nreason = "untrusted"', "", "verification-off"),
        ('verdict = "rejected"\nreason = ["untrusted", "expired"]', "", "verification-off"),
        ('verdict = "rejected"\nreason = "tls-required"', "", "ssl-force-off"),
        ('verdict = "login-failed"', 'password = "wrong"', "right-password"),
        ('verdict = "login-failed"', 'user = "x"\nserver = { user = "y" }', "right-password"),
        ('verdict = "login-failed"', 'password = "wrong"\nserver = { require_tls = true }', "right-password"),
        ('verdict = "login-failed"', 'user = "x"\nserver = { require_tls = true, user = "y" }', "right-password"),
        ('verdict = "login-failed"', "server = { require_tls = true }", "tls-allowed"),
        ('verdict = "login-failed"', 'user = "x"\nserver = { require_tls = true }', "tls-allowed"),
        ('verdict = "login-failed"', 'user = "anonymous"\nserver = { require_tls = true }', "tls-allowed"),
        ('verdict = "login-failed"', 'password = "p"\nserver = { require_tls = true, password = "p" }', "tls-allowed"),
    ],
)
def test_verdict_has_its_control(expect: str, step: str, kind: str) -> None:
    assert control_of(expect, step).kind == kind


@pytest.mark.parametrize("verdict", ["exposed", "failed", "unreachable", "hung", "crashed"])
def test_other_verdicts_need_no_control(verdict: str) -> None:
    assert control_of(f'verdict = "{verdict}"') is None


def test_control_follows_the_verdict_of_the_dialect() -> None:
    """The step's control applies to `accepted`; for the build that refuses, the control switches verification off."""
    (step,) = parse(
        FILE.format(step='control = "impostor-accepted"', expect='verdict = "accepted"')
        + '[step.expect.openssl]\nverdict = "rejected"\nreason = "untrusted"\n',
        "x.scenario.toml",
        "a/x",
    ).steps
    assert control_for(step, expectation(step, "status", "4.9.2")) == IMPOSTOR_ACCEPTED
    assert control_for(step, expectation(step, "openssl", "4.9.2")) == VERIFICATION_OFF


def test_control_none_is_allowed_with_a_reason() -> None:
    step = 'control = "none"\nwhy_no_control = "nothing can be taken away"'
    assert control_of('verdict = "rejected"\nreason = "tls-handshake"', step) is None


def test_refusal_without_a_control_needs_a_reason() -> None:
    """No setting causes a broken handshake; without a reason, a dead server would pass."""
    with pytest.raises(ScenarioError, match="why_no_control"):
        control_of('verdict = "rejected"\nreason = "tls-handshake"')
    (step,) = parse(FILE.format(step="", expect='verdict = "accepted"'), "x.scenario.toml", "a/x").steps
    with pytest.raises(UsageError, match="why_no_control"):
        control_for(step, Expect(verdict="rejected", reasons=frozenset({"tls-handshake"})))


def test_closures_are_unset_before_the_global_value() -> None:
    values = {"": "yes", "*": "yes", "localhost": "no"}
    assert set_commands(VERIFICATION, values) == [
        'command set "ssl:verify-certificate/*"',
        'command set "ssl:verify-certificate/localhost"',
        "command set ssl:verify-certificate no",
    ]
    assert set_commands(FORCE, {}) == ["command set ftp:ssl-force no"]


@pytest.mark.parametrize(
    ("values", "lifted"),
    [
        ({"": "no"}, True),
        ({"": "false", "host": "off"}, True),
        ({"": "yes"}, False),
        ({"": "no", "*": "yes"}, False),
        ({"*": "no"}, False),
        ({}, False),
    ],
)
def test_setting_is_lifted_only_if_lftp_confirms_it(values: dict[str, str], lifted: bool) -> None:
    assert is_set(VERIFICATION, values) is lifted
    on = {closure: {"no": "yes", "yes": "no", "false": "true", "off": "on"}[value] for closure, value in values.items()}
    assert is_set(ALLOW, on) is lifted


@pytest.mark.parametrize(
    ("control", "outcome", "part"),
    [
        (IMPOSTOR_REFUSED, Outcome("rejected", frozenset({"untrusted", "expired"})), ""),
        (IMPOSTOR_REFUSED, Outcome("rejected", frozenset({"tls-handshake"})), "expected the reason untrusted"),
        (IMPOSTOR_REFUSED, Outcome("failed"), "expected rejected, but it was failed"),
        (IMPOSTOR_REFUSED, Outcome("accepted"), "expected rejected, but it was accepted"),
        (IMPOSTOR_ACCEPTED, Outcome("exposed", to=frozenset({"impostor"})), ""),
        (IMPOSTOR_ACCEPTED, Outcome("exposed", to=frozenset({"wire"})), "expected exposure to the impostor"),
        (IMPOSTOR_ACCEPTED, Outcome("rejected", frozenset({"untrusted"})), "expected exposed"),
        (VERIFICATION_OFF, Outcome("accepted"), ""),
        (VERIFICATION_OFF, Outcome("rejected", frozenset({"untrusted"})), "expected accepted or exposed"),
        (VERIFICATION_OFF, Outcome("unreachable"), "expected accepted or exposed"),
    ],
)
def test_control_names_its_shortcoming(control: Control, outcome: Outcome, part: str) -> None:
    """A dead port, another reason or another receiver proves nothing."""
    shortcoming = control.shortcoming(outcome)
    assert part in shortcoming
    assert bool(shortcoming) is bool(part)
