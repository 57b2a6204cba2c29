"""An rc that leads elsewhere or weakens trust, and a control that proves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.play.sabotage import ACCEPTED, EXPECTED, ONLY_LIST, REJECTED, baseline, verdict

from ftps_harness.client import lftp as driver
from ftps_harness.client.lftp import Run
from ftps_harness.play import attempt as attempting
from ftps_harness.play import controls, runner, session

if TYPE_CHECKING:
    from tests.harness.conftest import Play

    from ftps_harness.play.scene import Scene


pytestmark = [pytest.mark.long, pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]


@pytest.mark.parametrize(
    ("rc", "status"),
    [
        ("set ssl:verify-certificate no\n", "fail"),
        ("set ssl:verify-certificate/* no\n", "fail"),
        ("set ssl:verify-certificate/localhost no\n", "fail"),
        ("set ssl:verify-certificate/{sha1:genuine} no\n", "pass"),
        ("set ftp:ssl-allow no\n", "fail"),
        ("set ftp:ssl-protect-data no\n", "fail"),
        ("set ftp:proxy http://127.0.0.1:1\n", "error"),
        ("set ftp:proxy ftp://127.0.0.1:{port}\n", "fail"),
        ("alias set echo\n", "pass"),
        ("alias command echo\n", "error"),
        ("alias open open ftp://127.0.0.1:1\n", "pass"),
        ("open ftp://127.0.0.1:1\n", "pass"),
        ("set net:max-retries 1; set net:reconnect-interval-base 1; open ftp://127.0.0.1:1; ls\n", "fail"),
        ("exit\n", "pass"),
        ("quit\n", "pass"),
        ("exit 7\n", "pass"),
        ("set cmd:fail-exit yes\n", "pass"),
        ("set cmd:at-exit 'echo bye'\n", "pass"),
        ("set cmd:at-exit 'set ftp:ssl-allow no; close -a; ls'\n", "fail"),
        ("source /nonexistent/rc\n", "pass"),
        ("set dns:name/localhost 127.0.0.9\n", "pass"),
        ("alias ls echo\n", "fail"),
        ("alias get echo\n", "fail"),
        ("set log:enabled no; set log:enabled/debug no; set log:level/debug 0; set log:show-pid/debug no\n", "pass"),
        ("set 'unfinished\n", "pass"),
    ],
)
@pytest.mark.usefixtures("single_try")
def test_acceptance_with_one_more_line_in_the_rc(play: Play, rc: str, status: str) -> None:
    """A line that weakens trust never passes, a line that leads elsewhere proves nothing, others make no difference."""
    result = play(play.step(ACCEPTED, rc=play.pin + rc))
    assert result.status == status


@pytest.mark.parametrize(
    ("rc", "status"),
    [
        ("set ssl:verify-certificate/* yes\n", "pass"),
        ("set ssl:verify-certificate/localhost yes\nset ssl:verify-certificate no\n", "fail"),
        ("set ssl:verify-certificate/{sha1:stranger} no\n", "pass"),
        ("set ssl:verify-certificate/{sha1:genuine} no\n", "fail"),
        ("set ssl:verify-certificate/other.example no\n", "pass"),
        ("set ftp:proxy http://127.0.0.1:1\n", "error"),
        ("alias set echo\n", "pass"),
        ("alias command echo\n", "error"),
        ("alias ls echo\n", "error"),
        ("exit\n", "pass"),
        ("set cmd:fail-exit yes\n", "pass"),
        ("set cmd:at-exit 'echo bye'\n", "pass"),
        ("set cmd:at-exit 'set ftp:ssl-allow no; close -a; ls'\n", "fail"),
        ("source /nonexistent/rc\n", "pass"),
        ("set ftp:ssl-allow no\n", "fail"),
    ],
)
@pytest.mark.usefixtures("single_try")
def test_refusal_with_one_line_in_the_rc(play: Play, rc: str, status: str) -> None:
    """The control switches verification off despite closures and aliases; otherwise the step is an error."""
    result = play(play.step(REJECTED, rc=rc, keys=ONLY_LIST))
    assert result.status == status


def test_failing_command_in_the_rc_is_failed(play: Play) -> None:
    """The step's requests are all carried out, but lftp reports that something failed."""
    rc = play.pin + "set net:max-retries 1; set net:reconnect-interval-base 1; open ftp://127.0.0.1:1; ls\n"
    result = play(play.step('verdict = "failed"', rc=rc))
    assert all(task.done for task in result.steps[0].attempts[0].client.tasks)
    assert result.status == "pass"


@pytest.mark.parametrize(
    "keys",
    ['host = "127.0.0.2"', 'password = "wrong"\nserver = { password = "right" }', 'user = "anonymous"'],
    ids=["host", "password", "anonymous"],
)
@pytest.mark.usefixtures("single_try")
def test_refusal_not_about_trust_does_not_pass(play: Play, keys: str) -> None:
    result = play(play.step(REJECTED, rc="", keys=keys + "\n" + ONLY_LIST))
    assert result.status in {"fail", "error"}


@pytest.mark.parametrize("reasons", [{"tls-handshake"}, {"hostname"}, {"expired"}])
def test_control_needs_an_impostor_refused_as_untrusted(
    play: Play, reasons: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin differs only in its keys; if the lab's impostor could not shake hands, every pin would pass."""
    _change_controls(monkeypatch, reasons=frozenset(reasons))
    result = baseline(play, "accepted")
    (step,) = result.steps
    assert step.control is not None
    assert result.status == "fail"
    assert "expected the reason untrusted" in step.control.judgement.why[0]


def test_control_needs_an_exposure_to_the_impostor(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    _change_controls(monkeypatch, to=frozenset({"wire"}))
    step = play.step(ACCEPTED, rc="set ssl:verify-certificate no\n", keys='control = "impostor-accepted"')
    result = play(step)
    assert result.status == "fail"
    assert "exposure to the impostor" in result.steps[0].control.judgement.why[0]  # type: ignore[union-attr]


def _change_controls(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Change the outcome of every attempt with an impostor."""

    def changed(scene: Scene, request: Any) -> attempting.Attempt:
        made = attempting.attempt(scene, request)
        if scene.spec.role == "impostor":
            return replace(made, outcome=replace(made.outcome, **changes))
        return made

    monkeypatch.setattr(session, "attempt", changed)


@pytest.mark.parametrize("expected_control", ["impostor-refused", "impostor-accepted"])
def test_impostor_with_the_genuine_keys_fails_the_control(
    play: Play, expected_control: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin is the genuine server itself: with the pin it is accepted."""
    monkeypatch.setattr(runner, "impostor_of", lambda spec: replace(spec, role="impostor"))
    result = play(play.step(ACCEPTED, keys=f'control = "{expected_control}"'))
    assert result.status == ("fail" if expected_control == "impostor-refused" else "pass")


def test_setting_that_is_not_removed_is_an_error(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "set_commands", lambda *_: ["command set net:timeout 3"])
    result = baseline(play, "rejected")
    assert result.status == "error"
    assert "did not accept" in result.why


def test_verdicts_are_the_same_without_the_debug_log(play: Play) -> None:
    """The result must not depend on our measuring."""
    for expected in EXPECTED:
        assert baseline(play, expected, log=False).status == "pass"


def test_lftp_that_never_started_is_unreachable(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    none = Run((), 0, None, timed_out=False, seconds=0.0, stdout=b"", stderr=b"", log=b"x")
    monkeypatch.setattr(driver, "run", lambda *_, **__: none)
    for expected in EXPECTED:
        result = baseline(play, expected, controls=False)
        assert (result.status, verdict(result)) == ("error", "unreachable")
