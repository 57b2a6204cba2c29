"""Outcome against expectation: nothing passes by luck, and an outcome that proves nothing is an error."""

from __future__ import annotations

from typing import Any

import pytest

from ftps_harness.scenario import Expect, Verdict
from ftps_harness.verdict.judgement import Seen, judge, judge_repeated
from ftps_harness.verdict.observations import Outcome
from ftps_lab.testimony import Handshake

ACCEPTED = Outcome("accepted")
UNTRUSTED = Outcome("rejected", reasons=frozenset({"untrusted"}), message="Not trusted")
LEAKED = Outcome("exposed", exposed=frozenset({"password"}), to=frozenset({"wire"}))


@pytest.mark.parametrize(
    ("outcome", "expect"),
    [
        (ACCEPTED, Expect(verdict="accepted")),
        (UNTRUSTED, Expect(verdict="rejected", reasons=frozenset({"untrusted"}), message="Not trusted")),
        (LEAKED, Expect(verdict="exposed", exposed=frozenset({"password"}), to=frozenset({"wire"}))),
        (LEAKED, Expect(verdict="exposed")),
        (Outcome("hung"), Expect(verdict="hung")),
        (Outcome("crashed"), Expect(verdict="crashed")),
        (Outcome("unreachable"), Expect(verdict="unreachable")),
    ],
)
def test_expected_outcome_passes(outcome: Outcome, expect: Expect) -> None:
    assert judge(outcome, expect, outcome.message).status == "pass"


@pytest.mark.parametrize(
    ("outcome", "expect", "part"),
    [
        (ACCEPTED, Expect(verdict="rejected", reasons=frozenset({"untrusted"})), "expected rejected"),
        (UNTRUSTED, Expect(verdict="accepted"), "expected accepted"),
        (UNTRUSTED, Expect(verdict="rejected", reasons=frozenset({"expired"})), "reasons: expected expired"),
        (UNTRUSTED, Expect(verdict="rejected", reasons=frozenset({"untrusted", "expired"})), "reasons"),
        (UNTRUSTED, Expect(verdict="rejected", reasons=frozenset()), "expected none"),
        (UNTRUSTED, Expect(verdict="rejected", message="Trusted indeed"), "did not print 'Trusted indeed'"),
        (LEAKED, Expect(verdict="exposed", exposed=frozenset({"password", "payload"})), "exposed"),
        (LEAKED, Expect(verdict="exposed", to=frozenset({"wire", "impostor"})), "to: expected impostor, wire"),
        (Outcome("failed"), Expect(verdict="accepted"), "it was failed"),
    ],
)
def test_each_difference_fails_and_is_named(outcome: Outcome, expect: Expect, part: str) -> None:
    judgement = judge(outcome, expect, outcome.message)
    assert judgement.status == "fail"
    assert part in judgement.why[0]


@pytest.mark.parametrize("verdict", ["inconclusive", "hung", "crashed", "unreachable"])
@pytest.mark.parametrize("expected", ["accepted", "rejected", "failed", "exposed"])
def test_outcome_that_proves_nothing_is_an_error(verdict: Verdict, expected: Any) -> None:
    assert judge(Outcome(verdict), Expect(verdict=expected), "").status == "error"


def test_error_of_an_inconclusive_outcome_lists_its_contradictions() -> None:
    """The format forbids expecting it; the sentence lists the contradictions."""
    outcome = Outcome("inconclusive", contradictions=("the tap missed it",))
    assert "the tap missed it" in judge(outcome, Expect(verdict="rejected"), "").why[0]


SOMETIMES = Expect(verdict="exposed", how_often="sometimes", otherwise=("rejected",))


@pytest.mark.parametrize(
    ("outcomes", "expect", "status"),
    [
        ([LEAKED, LEAKED], Expect(verdict="exposed"), "pass"),
        ([LEAKED, UNTRUSTED], Expect(verdict="exposed"), "fail"),
        ([LEAKED, Outcome("hung")], Expect(verdict="exposed"), "error"),
        ([UNTRUSTED, LEAKED, UNTRUSTED], SOMETIMES, "pass"),
        ([LEAKED, LEAKED], SOMETIMES, "pass"),
        ([UNTRUSTED, UNTRUSTED], SOMETIMES, "fail"),
        ([LEAKED, ACCEPTED], SOMETIMES, "fail"),
        ([LEAKED, Outcome("inconclusive")], SOMETIMES, "error"),
        ([LEAKED, Outcome("crashed")], SOMETIMES, "error"),
    ],
)
def test_repeated_runs_are_judged_together(outcomes: list[Outcome], expect: Expect, status: str) -> None:
    judgement = judge_repeated([Seen(outcome, outcome.message) for outcome in outcomes], expect)
    assert judgement.status == status
    assert bool(judgement.why) == (status != "pass")


def test_failure_of_repeated_runs_counts_the_verdicts() -> None:
    judgement = judge_repeated([Seen(UNTRUSTED, "")] * 3, SOMETIMES)
    assert "rejected 3×" in judgement.why[0]


def test_exposure_to_another_receiver_does_not_count_as_expected() -> None:
    """An exposure on the wire does not show `sometimes exposed to an impostor`."""
    expect = Expect(verdict="exposed", to=frozenset({"impostor"}), how_often="sometimes", otherwise=("rejected",))
    judgement = judge_repeated([Seen(LEAKED, ""), Seen(UNTRUSTED, "")], expect)
    assert (judgement.status, judgement.why) == ("fail", ("to: expected impostor, but it was wire",))
    unproven = [Seen(LEAKED, ""), Seen(Outcome("inconclusive"), "")]
    assert judge_repeated(unproven, expect).status == "error"


def handshake(version: str = "TLSv1.3", cipher: str = "TLS_AES_256_GCM_SHA384", name: str | None = "localhost") -> Any:
    return Handshake(1, bool(version), version, cipher, name, "AB")


@pytest.mark.parametrize(
    ("expect", "handshakes", "status", "part"),
    [
        ({"tls": {"1.3"}}, [handshake()], "pass", ""),
        ({"tls": {"1.3"}}, [handshake(), handshake("", "", None)], "pass", ""),
        ({"tls": {"1.3"}}, [handshake(), handshake("TLSv1.2")], "fail", "tls: expected 1.3, but it was 1.2, 1.3"),
        ({"tls": {"1.2", "1.3"}}, [handshake()], "fail", "tls: expected 1.2, 1.3, but it was 1.3"),
        ({"tls": {"1.3"}}, [], "fail", "no TLS handshake was completed"),
        ({"tls": {"1.3"}}, [handshake("")], "fail", "no TLS handshake was completed"),
        ({"cipher": {"TLS_AES_256_GCM_SHA384"}}, [handshake()], "pass", ""),
        ({"cipher": {"TLS_AES_256_GCM_SHA384"}}, [handshake(cipher="")], "error", "does not say"),
        ({"cipher": {"OTHER"}}, [handshake()], "fail", "cipher: expected OTHER"),
        ({"server_name": {"localhost"}}, [handshake()], "pass", ""),
        ({"server_name": {""}}, [handshake(name=None)], "pass", ""),
        ({"server_name": {""}}, [handshake()], "fail", "server_name: expected no name, but it was localhost"),
        ({"server_name": {"localhost"}}, [handshake(name=None)], "fail", "but it was no name"),
        ({"server_name": {"other"}, "cipher": {"X"}}, [handshake(cipher="")], "fail", "server_name"),
    ],
)
def test_expected_handshake_values_are_compared(
    expect: dict[str, Any], handshakes: list[Any], status: str, part: str
) -> None:
    """Every completed handshake counts; a value missing from the server's record never passes."""
    expected = Expect(verdict="accepted", **expect)
    judgement = judge(ACCEPTED, expected, "", tuple(handshakes))
    assert judgement.status == status
    assert part in "".join(judgement.why)
    assert judge_repeated([Seen(ACCEPTED, "", tuple(handshakes))], expected) == judgement
