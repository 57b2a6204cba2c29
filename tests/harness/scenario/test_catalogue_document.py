"""Each expectation of the document's catalogue and of `scenarios/rc`, reversed, fails on lftp's real behaviour.

A catalogue that passes proves something only if it could have failed. Each scenario runs once; its result is then
compared with every other expectation that the step could have had.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from msgspec.structs import replace

from ftps_harness.client import lftp as driver
from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.scenario import (
    Dialect,
    Expect,
    ExpectedVerdict,
    Reason,
    Receiver,
    Scenario,
    Secret,
    catalogue,
    expectation,
    load,
)
from ftps_harness.verdict.judgement import judge, judge_repeated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.runner import ScenarioResult, StepResult

pytestmark = pytest.mark.lftp

CATALOGUE = catalogue(Path(__file__).parents[3] / "scenarios" / "document")
RC = catalogue(Path(__file__).parents[3] / "scenarios" / "rc")

BUILDS: tuple[tuple[Dialect, str], ...] = (("classic", "4.8.4"), ("status", "4.9.3"), ("openssl", "4.9.3"))


@pytest.fixture(scope="module")
def client(pytestconfig: pytest.Config) -> Lftp:
    """The lftp under test, as the plugin finds it."""
    return driver.identify(driver.find(pytestconfig.getoption("--lftp", None)))


def run_or_skip(scenario: Scenario, client: Lftp, *, controls: bool = False) -> ScenarioResult:
    """Run the scenario."""
    result = run_scenario(scenario, client, Options(controls=controls))
    if result.status == "skip":
        pytest.skip(result.why)
    return result


def document_scenario(name: str) -> Scenario:
    """A scenario of the catalogue."""
    return load(CATALOGUE[f"document/{name}"])


def subsets(words: Collection[Any]) -> list[frozenset[Any]]:
    """Every non-empty subset."""
    return [frozenset(chosen) for size in range(1, len(words) + 1) for chosen in combinations(words, size)]


def reversals(expect: Expect) -> Iterator[Expect]:
    """Every other expectation: another verdict, other reasons, exposures, receivers or messages."""
    for verdict in get_args(ExpectedVerdict):
        if verdict != expect.verdict:
            yield Expect(verdict=verdict)
            yield Expect(verdict=verdict, how_often="sometimes", otherwise=(expect.verdict,))
    if expect.verdict == "rejected":
        yield from other_values(expect, "reasons", [frozenset(), *subsets(get_args(Reason))])
    if expect.verdict == "exposed":
        yield from other_values(expect, "exposed", subsets(get_args(Secret)))
        yield from other_values(expect, "to", subsets(get_args(Receiver)))
    message = expect.message or ""
    yield from other_values(expect, "message", ["Everything is fine.", f"{message} Not", message.swapcase() or "Not"])


def other_values(expect: Expect, key: str, values: list[Any]) -> Iterator[Expect]:
    """The expectation with every other value of a key."""
    yield from (replace(expect, **{key: value}) for value in values if value != getattr(expect, key))


def expectations_of_other_builds(scenario: Scenario, index: int, expect: Expect) -> Iterator[Expect]:
    """The scenario's expectations of other builds, where they differ."""
    for dialect, version in BUILDS:
        other = expectation(scenario.steps[index], dialect, version)
        if other != expect:
            yield other


def status_under(step: StepResult, expect: Expect) -> str:
    """The status of a step under another expectation."""
    return judge_repeated([attempt.seen for attempt in step.attempts], expect).status


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_reversed_expectation_fails(name: str, client: Lftp) -> None:
    scenario = load(CATALOGUE[name])
    result = run_or_skip(scenario, client)
    assert (result.status, result.why) == ("pass", "")
    for index, step in enumerate(result.steps):
        assert status_under(step, step.expect) == "pass"
        wrong = [*reversals(step.expect), *expectations_of_other_builds(scenario, index, step.expect)]
        assert [expect for expect in wrong if status_under(step, expect) == "pass"] == [], step.title


@pytest.mark.parametrize("name", RC)
def test_every_reversed_expectation_of_an_rc_fails(name: str, client: Lftp) -> None:
    """Expectations of other builds are left out: some of them only omit a message."""
    result = run_or_skip(load(RC[name]), client)
    assert (result.status, result.why) == ("pass", "")
    for step in result.steps:
        assert status_under(step, step.expect) == "pass"
        assert [expect for expect in reversals(step.expect) if status_under(step, expect) == "pass"] == [], step.title


def with_expectation(scenario: Scenario, index: int, expect: Expect) -> Scenario:
    """The scenario with one step's expectation replaced, for every build."""
    steps = list(scenario.steps)
    steps[index] = replace(steps[index], expect=expect, overrides={})
    return replace(scenario, steps=tuple(steps))


@pytest.mark.parametrize(
    ("name", "index", "expect"),
    [
        ("untrusted-by-default", 0, Expect(verdict="accepted")),
        ("untrusted-by-default", 0, Expect(verdict="rejected", reasons=frozenset({"hostname"}))),
        ("pin-detects-impostor", 0, Expect(verdict="rejected", reasons=frozenset({"untrusted"}))),
        ("pin-detects-impostor", 1, Expect(verdict="accepted")),
        ("verification-off-trusts-anybody", 0, Expect(verdict="accepted")),
        ("auth-refused", 0, Expect(verdict="rejected", reasons=frozenset({"tls-required"}))),
        ("plain-ftp-in-the-clear", 0, Expect(verdict="accepted")),
        ("planted-pin", 0, Expect(verdict="exposed", exposed=frozenset({"payload"}), to=frozenset({"impostor"}))),
    ],
)
def test_reversed_scenario_fails_with_its_controls(name: str, index: int, expect: Expect, client: Lftp) -> None:
    result = run_or_skip(with_expectation(document_scenario(name), index, expect), client, controls=True)
    assert result.status == "fail"
    assert result.steps[index].judgement.why


def with_control(scenario: Scenario, control: Any) -> Scenario:
    """The scenario with the control of every step replaced."""
    return replace(scenario, steps=tuple(replace(step, control=control) for step in scenario.steps))


@pytest.mark.parametrize(
    ("name", "control"),
    [
        ("verification-off-connects", "impostor-refused"),
        ("verification-off-connects", None),
        ("pinned-certificate-connects", "impostor-accepted"),
        ("fetched-with-s-client", "impostor-accepted"),
    ],
)
def test_acceptance_with_the_wrong_control_fails(name: str, control: str | None, client: Lftp) -> None:
    """The step is accepted both with a pin and with verification off; only the control distinguishes them."""
    result = run_or_skip(with_control(document_scenario(name), control), client, controls=True)
    assert result.status == "fail"
    failed = [step for step in result.steps if step.status == "fail"]
    assert failed
    assert all(step.judgement.status == "pass" for step in failed)


def test_plain_ftp_shows_user_and_password_on_the_wire(client: Lftp) -> None:
    (attempt, *_) = run_or_skip(document_scenario("plain-ftp-in-the-clear"), client).steps[0].attempts
    (credential,) = attempt.testimony.credentials
    sent = b"".join(record.to_server for record in attempt.wire.records)
    assert f"USER {credential.user}\r\n".encode() in sent
    assert f"PASS {credential.password}\r\n".encode() in sent


def test_ftps_hides_user_and_password_on_the_wire(client: Lftp) -> None:
    for step in run_or_skip(document_scenario("ftps-hides-the-login"), client).steps:
        (attempt,) = step.attempts
        (credential,) = attempt.testimony.credentials
        assert credential.channel == "tls"
        raw = b"".join(record.to_server + record.to_client for record in attempt.wire.records)
        assert b"AUTH TLS\r\n" in raw
        assert credential.user.encode() not in raw
        assert credential.password
        assert credential.password.encode() not in raw


def test_refused_server_gets_a_handshake_but_no_login(client: Lftp) -> None:
    """The connection is closed without a login or a data connection."""
    for step in run_or_skip(document_scenario("untrusted-by-default"), client).steps:
        (attempt,) = step.attempts
        assert all(handshake.completed for handshake in attempt.testimony.handshakes)
        assert attempt.testimony.handshakes
        assert attempt.testimony.credentials == ()
        assert {connection.kind for connection in attempt.testimony.connections} == {"control"}
        assert not attempt.outcome.contradictions
        assert attempt.run.stdout == b""


def test_refusal_has_the_fingerprint_of_the_presented_certificate(client: Lftp) -> None:
    """It is what `set ssl:verify-certificate/FINGERPRINT no` takes."""
    (step, *_) = run_or_skip(document_scenario("untrusted-by-default"), client).steps
    (attempt,) = step.attempts
    assert attempt.spec is not None
    assert attempt.spec.certificate is not None
    assert {word.fingerprint for word in attempt.client.words} == {attempt.spec.certificate.sha1}


def test_reversals_change_every_part_of_an_expectation() -> None:
    """The tests above depend on it."""
    expect = Expect(verdict="rejected", reasons=frozenset({"untrusted"}), message="Not trusted")
    assert {other.verdict for other in reversals(expect)} == set(get_args(ExpectedVerdict))
    reasons = {other.reasons for other in reversals(expect) if other.verdict == "rejected"}
    assert len(reasons) == 2 ** len(get_args(Reason))
    exposed = Expect(verdict="exposed", exposed=frozenset({"payload"}), to=frozenset({"wire"}))
    assert len({(other.exposed, other.to) for other in reversals(exposed) if other.verdict == "exposed"}) == 5


def test_judgement_of_a_reversed_expectation_says_the_difference(client: Lftp) -> None:
    (step, *_) = run_or_skip(document_scenario("untrusted-by-default"), client).steps
    (attempt,) = step.attempts
    judgement = judge(attempt.outcome, Expect(verdict="accepted"), attempt.said)
    assert judgement.why == ("expected accepted, but it was rejected",)
