"""Setups that end lftp or hang it, before or during use: a finding within bounded time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from ftps_harness.client.lftp import settings
from ftps_harness.verify import base, program, rc
from ftps_harness.verify.base import Options
from ftps_harness.verify.command_stage import CommandStage
from ftps_harness.verify.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.verify.conftest import Check

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces

PINNED = 'set ssl:ca-file "~/.lftp/server.crt"\nset ftp:ssl-force yes\n'
FAIL = "set cmd:fail-exit yes\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (f"{PINNED}{FAIL}set ftp:ssl-forec yes\n", 4, "ftp:ssl-forec: no such variable"),
        (f"{FAIL}ssl-force\n{PINNED}", 2, "Unknown command `ssl-force"),
        (f"{FAIL}# mine\n" * 500 + f"set ftp:ssl-forec yes\n{PINNED}" * 500, 1001, "no such variable"),
    ],
)
def test_a_line_that_ends_lftp_is_found(text: str, line: int, said: str, check: Check, tmp_path: Path) -> None:
    """If lftp ends early, nothing is proved, but this is not the lab's failure."""
    report = check(text)
    found = {each.id: each for each in report.findings}
    assert set(found) == {"nothing-proved", "rc-complaint"}
    where = found["rc-complaint"].where
    assert where is not None
    assert (where.file, where.line) == (str(tmp_path / "home/.lftp/rc"), line)
    assert where.text == text.splitlines()[line - 1]
    assert said in found["rc-complaint"].title
    assert (report.safe, report.login.host) == (False, "backup.example")
    assert [each.trial.name for each in report.tried] == ["genuine"]


def test_a_line_of_a_sourced_file_that_ends_lftp_is_found(check: Check, tmp_path: Path) -> None:
    report = check(f"{PINNED}source ~/.lftp/more\n", {".lftp/more": f"{FAIL}# mine\nnonsense\n".encode()})
    [where] = [each.where for each in report.findings if each.id == "rc-complaint"]
    assert where is not None
    assert (where.file, where.line, where.text) == (str(tmp_path / "home/.lftp/more"), 3, "nonsense")


def test_a_line_that_lftp_never_gets_past_is_found(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is found once, not again in each trial."""
    for module in (settings, rc):
        monkeypatch.setattr(module, "READ_BACK_SECONDS", 2.0)
    began = time.monotonic()
    report = check(f"{PINNED}!sleep 1000\nset net:timeout 5\n", timeout=30)
    assert time.monotonic() - began < 15
    complaint, runs = sorted((each for each in report.findings if each.where), key=lambda each: each.id)
    assert (complaint.id, complaint.where and complaint.where.line) == ("rc-complaint", 3)
    assert "lftp does not get past it within 2 s" in complaint.title
    assert (runs.id, runs.where) == ("runs-commands", complaint.where)
    assert {each.id for each in report.findings} == {"nothing-proved", "rc-complaint", "runs-commands"}
    assert not report.safe


def test_after_a_session_that_never_ends_trials_are_short(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaks before the hang still count."""
    monkeypatch.setattr(base, "_SECONDS_AFTER_HANGING", 1.0)
    began = time.monotonic()
    text = f'{PINNED}set ssl:verify-certificate no\nalias ls "ls; !sleep 1000"\n'
    report = check(text, timeout=5, only=("impostor-copy", "impostor-self-signed", "intercept", "refuse-auth-502"))
    assert time.monotonic() - began < 25
    assert {"nothing-proved", "no-verification"} <= {each.id for each in report.findings}
    assert {each.trial.name: each.verdict for each in report.tried}["refuse-auth-502"] == "hung"
    assert report.broken
    assert not report.safe


def test_a_command_that_never_ends_is_run_in_full_only_twice(
    places: SealedPlaces, client: Lftp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both full runs are with the genuine server; short runs then show that it hangs with an attacker too."""
    monkeypatch.setattr(base, "_SECONDS_AFTER_HANGING", 1.0)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    script = tmp_path / "work/job.sh"
    script.write_text("#!/bin/sh\nlftp -c 'open -u me,p4ssw0rd backup.example; get a/b; get c/d; get e/f'\nsleep 600\n")
    script.chmod(0o700)
    limits = []
    play = CommandStage.play

    def noted(stage: CommandStage, *given: Any, **named: Any) -> Any:
        limits.append(stage.timeout)
        return play(stage, *given, **named)

    monkeypatch.setattr(CommandStage, "play", noted)
    subject = program.load(("./job.sh",), tmp_path / "work", tmp_path / "home")
    report = verify(subject, client, places, Options(timeout=3, only=frozenset({"impostor-copy", "refuse-auth-502"})))
    assert limits == [3, 3, 1, 1]
    assert not report.safe
    assert {"nothing-proved", "tls-not-required"} <= {each.id for each in report.findings}
