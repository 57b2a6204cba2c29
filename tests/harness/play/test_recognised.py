"""A setup that behaves differently in a control proves nothing, so step and control look the same from inside."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import ACCEPTED, REJECTED

from ftps_harness.play.served import ServedFolder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.conftest import Play

    from ftps_harness.play.places.loopback import Place
    from ftps_harness.play.runner import ScenarioResult

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("nothing_left")]
lftp_runs = pytest.mark.lftp

TRUST_UNLESS = """
set ftp:ssl-protect-data yes
source -e "if {test}; then echo set ssl:verify-certificate yes; else {mark}; echo set ssl:verify-certificate no; fi"
"""
"""Trusts every certificate unless it finds the mark it left: accepts in the step, refuses the impostor."""


def outputs(result: ScenarioResult) -> list[str]:
    """Output of step and control, without each run's random parts."""
    (step,) = result.steps
    assert step.control is not None
    attempts = [step.shown, step.control.attempt]
    return [re.sub(r"ftps-lab-run-home-\w+", "HOME", a.run.stdout.decode()) for a in attempts]


def assert_indistinguishable(play: Play, expect: str, rc: str | None, place: Place | None = None) -> str:
    """Fail unless an rc sees the same in a step and its control; return what it saw."""
    look = "env | sort; pwd; find ~/.. -type f -printf '%P %m %s %T@\\n' | sort"
    rc = f"!{look}; echo run >> ~/.lftp/runs; cat ~/.lftp/runs; echo the end\n{play.pin if rc is None else rc}"
    result = play(play.step(expect, rc=rc), place=place)
    assert result.status == "pass", result.steps[0].why
    step, control = (text.partition("the end\n")[0] for text in outputs(result))
    assert step == control
    assert "home/.lftp/mycert.crt 644 " in step
    assert step.endswith("\nrun\n")
    return step


ACCEPTED_AND_REJECTED = [(ACCEPTED, None), (REJECTED, "set ssl:verify-certificate yes\n")]


@lftp_runs
@pytest.mark.parametrize(("expect", "rc"), ACCEPTED_AND_REJECTED)
def test_step_and_control_look_the_same_from_inside(play: Play, expect: str, rc: str | None) -> None:
    """The same environment, folder, files with mode, size and time, and count of earlier runs in this HOME."""
    assert "HOME=" in assert_indistinguishable(play, expect, rc)


@lftp_runs
def test_mark_in_home_is_absent_in_the_control(play: Play) -> None:
    """The control starts with HOME as it was before the step."""
    rc = TRUST_UNLESS.format(test="test -e ~/.lftp/mark", mark="touch ~/.lftp/mark")
    result = play(play.step(ACCEPTED, rc=rc))
    assert result.status in {"fail", "error"}
    (step,) = result.steps
    assert step.control is not None
    assert (step.shown.outcome.verdict, step.control.attempt.outcome.verdict) == ("accepted", "exposed")


@lftp_runs
def test_mark_outside_home_makes_the_step_an_error(play: Play, tmp_path: Path) -> None:
    """If nothing removes the mark, the step runs again after its control and finds the mark too."""
    mark = tmp_path / "mark"
    result = play(play.step(ACCEPTED, rc=TRUST_UNLESS.format(test=f"test -e {mark}", mark=f"touch {mark}")))
    assert result.status == "error"
    assert "repeated after the control, the step was rejected, not accepted" in "".join(result.steps[0].why)


@lftp_runs
def test_rc_that_runs_a_program_may_pass(play: Play) -> None:
    assert play(play.step(ACCEPTED, rc=play.pin + "!true\n")).status == "pass"


@lftp_runs
def test_reading_settings_back_leaves_no_mark(play: Play) -> None:
    """It runs the rc too; a refusal that stops after some runs would look like one of trust."""
    rc = "!echo run >> ~/.lftp/runs; wc -l < ~/.lftp/runs\n"
    result = play(play.step(REJECTED, rc=rc))
    assert result.status == "pass"
    assert [text.splitlines()[0] for text in outputs(result)] == ["1", "1"]


@lftp_runs
def test_aliases_of_our_commands_are_bypassed_or_fail(play: Play) -> None:
    """`command` bypasses them; an alias of `command` itself removes the log, so nothing is proved."""
    for name in ("debug", "open", "set", "ls", "get"):
        assert play(play.step(ACCEPTED, rc=f"{play.pin}alias {name} 'command echo x'\n"), controls=False).status == (
            "pass" if name in {"debug", "open", "set"} else "fail"
        )
    result = play(play.step(ACCEPTED, rc=f'alias command "echo x"\n{play.pin}'))
    assert result.status == "error"
    assert "lftp wrote no debug log" in "".join(result.steps[0].why)


@lftp_runs
def test_uploads_are_absent_in_the_control_and_then_restored(play: Play) -> None:
    """A step's upload is absent for its control and restored for the next step."""
    first = play.step(ACCEPTED, keys='run = ["put ~/.lftp/mycert.crt", "cls -1"]', title="one")
    second = play.step(ACCEPTED, rc="", keys='run = ["cls -1"]\ncontrol = "none"\nwhy_no_control = "x"', title="two")
    second = second.replace("rc = '''\n\n'''\n", "")
    result = play(first, second)
    assert result.status == "pass"
    assert b"mycert.crt" in result.steps[1].shown.run.stdout
    trusting = "set ssl:verify-certificate no\nset ftp:ssl-protect-data yes\n"
    keys = 'run = ["put ~/.lftp/mycert.crt", "cls -1"]\ncontrol = "impostor-accepted"'
    listed = "cls -1; put ~/.lftp/mycert.crt"
    result = play(play.step(ACCEPTED, rc=trusting, keys=keys.replace("put ~/.lftp/mycert.crt", listed)))
    assert result.status == "pass"
    before, control = outputs(result)
    assert before.count("mycert.crt") == control.count("mycert.crt") == 1


def contents_and_metadata(root: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(path.relative_to(root)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mode,
            path.stat().st_mtime_ns,
        )
        for path in [root, *root.rglob("*")]
    }


def test_served_folder_is_restored_for_and_after_the_control(tmp_path: Path) -> None:
    """Changes by the step are undone for the control, and the control's changes afterwards."""
    root = tmp_path / "root"
    (root / "tree").mkdir(parents=True)
    for name in ("a", "b", "tree/c", "tree/d"):
        (root / name).write_bytes(name.encode())
    served, before = ServedFolder(root), contents_and_metadata(root)
    (root / "a").write_bytes(b"changed")
    os.utime(root / "b", ns=(1, 1))
    (root / "tree/c").unlink()
    (root / "tree/d").chmod(0o600)
    (root / "tree/new").write_bytes(b"new")
    (root / "more/deep").mkdir(parents=True)
    (root / "more/deep/file").write_bytes(b"deep")
    (root / "put").write_bytes(b"put by the step")
    after = contents_and_metadata(root)
    with served.as_it_was():
        assert contents_and_metadata(root) == before
        (root / "put").write_bytes(b"put by the control")
        (root / "more").mkdir()
        (root / "a").unlink()
        (root / "tree/other").write_bytes(b"")
    assert contents_and_metadata(root) == after
    assert {path.name for path in tmp_path.iterdir()} == {"root", "tmp"}  # `nothing_left` checks that tmp is empty


def test_unchanged_served_folder_is_not_touched(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"a")
    state = (root / "a").stat()
    with ServedFolder(root).as_it_was():
        pass
    assert (root / "a").stat().st_ctime_ns == state.st_ctime_ns
