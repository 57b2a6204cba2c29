"""Step and control look the same in the sandbox too: HOME has one path, and a mark outside HOME does not survive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED
from tests.harness.play.test_recognised import ACCEPTED_AND_REJECTED, TRUST_UNLESS, assert_indistinguishable

from ftps_harness.play.places.sealed import Sealed

if TYPE_CHECKING:
    from tests.harness.conftest import Play

    from ftps_harness.client.lftp import Lftp

pytestmark = [pytest.mark.long, pytest.mark.lftp]


@pytest.mark.parametrize(("expect", "rc"), ACCEPTED_AND_REJECTED)
def test_step_and_control_look_the_same_from_inside(play: Play, sealed: Sealed, expect: str, rc: str | None) -> None:
    assert "HOME=/tmp/ftps-lab/home\n" in assert_indistinguishable(play, expect, rc, sealed)


@pytest.mark.parametrize("mark", ["/tmp/mark", "/dev/shm/mark", "/var/tmp/mark", "/tmp/ftps-lab/mark"])  # noqa: S108
def test_mark_outside_home_is_absent_in_the_control(play: Play, sealed: Sealed, mark: str) -> None:
    rc = TRUST_UNLESS.format(test=f"test -e {mark}", mark=f"touch {mark}")
    result = play(play.step(ACCEPTED, rc=rc), place=sealed)
    assert result.status in {"fail", "error"}
    (step,) = result.steps
    assert step.control is not None
    assert step.control.attempt.outcome.verdict == "exposed"


@pytest.mark.long
def test_setup_that_recognises_its_first_run_does_not_pass(play: Play, client: Lftp) -> None:
    """It trusts any server while the sandbox is new. The control refuses the impostor; so does the repeated step."""
    old = "test -z `find /etc/ssl/certs/ca-certificates.crt -newermt '-2 seconds'`"
    step = play.step(ACCEPTED, rc=TRUST_UNLESS.format(test=old, mark="true"), keys="run = ['list', '!sleep 2']")
    with Sealed([client.path]) as place:
        result = play(step, place=place)
    (done,) = result.steps
    assert done.control is not None
    assert (done.shown.outcome.verdict, done.control.attempt.outcome.verdict) == ("accepted", "rejected")
    assert result.status == "error"
    assert "repeated after the control, the step was rejected, not accepted" in "".join(done.why)
