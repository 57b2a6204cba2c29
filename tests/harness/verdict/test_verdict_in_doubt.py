"""An exposure on which the witnesses disagree is shown but never passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftps_harness.play.controls import IMPOSTOR_ACCEPTED, VERIFICATION_OFF
from ftps_harness.scenario import Expect
from ftps_harness.verdict.judgement import Seen, judge, judge_repeated
from ftps_harness.verdict.observations import Outcome

SURE = Outcome("exposed", exposed=frozenset({"payload"}), to=frozenset({"impostor"}))
DOUBTFUL = replace(SURE, contradictions=("the tap missed something",))
REJECTED = Outcome("rejected", frozenset({"untrusted"}))
SOMETIMES = Expect(verdict="exposed", how_often="sometimes", otherwise=("rejected",))
OTHERWISE = Expect(verdict="rejected", how_often="sometimes", otherwise=("exposed",))


def test_contradicted_exposure_never_passes() -> None:
    """If it was expected, it is an error that names the contradiction; if not, it fails as before."""
    assert judge(SURE, Expect(verdict="exposed"), "").status == "pass"
    judgement = judge(DOUBTFUL, Expect(verdict="exposed"), "")
    assert judgement.status == "error"
    assert "the tap missed something" in judgement.why[0]
    assert judge(DOUBTFUL, Expect(verdict="rejected"), "").status == "fail"


@pytest.mark.parametrize("expect", [SOMETIMES, OTHERWISE])
def test_one_contradicted_exposure_among_repeated_runs_is_an_error(expect: Expect) -> None:
    sure = [Seen(SURE, ""), Seen(REJECTED, ""), Seen(SURE, "")]
    assert judge_repeated(sure, expect).status == "pass"
    judgement = judge_repeated([*sure, Seen(DOUBTFUL, "")], expect)
    assert judgement.status == "error"
    assert "the tap missed something" in judgement.why[0]


@pytest.mark.parametrize("control", [IMPOSTOR_ACCEPTED, VERIFICATION_OFF])
def test_control_with_a_contradicted_exposure_proves_nothing(control: Any) -> None:
    assert control.shortcoming(SURE) == ""
    assert "disagree" in control.shortcoming(DOUBTFUL)
