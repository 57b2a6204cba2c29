"""Setups that end lftp or hang it, before or during use: a finding within bounded time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from ftps_harness.client.lftp import settings
from ftps_harness.verify import base, pins, program, rc
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
def test_line_that_ends_lftp_is_reported(text: str, line: int, said: str, check: Check, tmp_path: Path) -> None:
    """A setup that ends lftp proves nothing, but the run is not broken: the line is the finding."""
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


def test_line_that_ends_lftp_is_reported_in_a_sourced_file(check: Check, tmp_path: Path) -> None:
    report = check(f"{PINNED}source ~/.lftp/more\n", {".lftp/more": f"{FAIL}# mine\nnonsense\n".encode()})
    [where] = [each.where for each in report.findings if each.id == "rc-complaint"]
    assert where is not None
    assert (where.file, where.line, where.text) == (str(tmp_path / "home/.lftp/more"), 3, "nonsense")


@pytest.mark.long
def test_line_that_hangs_lftp_is_reported(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one session waits for the line to finish; the trials do not repeat the wait."""
    for module in (settings, rc):
        monkeypatch.setattr(module, "READ_BACK_SECONDS", 2.0)
    began = time.monotonic()
    report = check(f"{PINNED}!sleep 1000\nset net:timeout 5\n", timeout=30)
    assert time.monotonic() - began < 15
    complaint, runs = sorted((each for each in report.findings if each.where), key=lambda each: each.id)
    assert (complaint.id, complaint.where and complaint.where.line) == ("rc-complaint", 3)
    assert "lftp did not finish reading the rc within 2 s" in complaint.title
    assert (runs.id, runs.where) == ("runs-commands", complaint.where)
    assert {each.id for each in report.findings} == {"nothing-proved", "rc-complaint", "runs-commands"}
    assert not report.safe


@pytest.mark.long
def test_trials_after_a_hung_session_are_short(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaked before the hang still counts."""
    monkeypatch.setattr(base, "_SECONDS_AFTER_HANGING", 1.0)
    began = time.monotonic()
    text = f'{PINNED}set ssl:verify-certificate no\nalias ls "ls; !sleep 1000"\n'
    report = check(text, timeout=5, only=("impostor-copy", "impostor-self-signed", "intercept", "refuse-auth-502"))
    assert time.monotonic() - began < 25
    assert {"nothing-proved", "no-verification"} <= {each.id for each in report.findings}
    assert {each.trial.name: each.verdict for each in report.tried}["refuse-auth-502"] == "hung"
    assert report.broken
    assert not report.safe


@pytest.mark.long
def test_hanging_command_gets_the_full_timeout_only_twice(
    places: SealedPlaces, client: Lftp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two full runs with the genuine server hang; each attack then gets a short run, in which leaks still count."""
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


def test_script_that_excuses_an_expired_certificate_is_not_safe(
    places: SealedPlaces, client: Lftp, tmp_path: Path
) -> None:
    """It goes on without verification if lftp's message says so, and any impostor can expire."""
    (tmp_path / "home/.lftp").mkdir(parents=True)
    (tmp_path / "home/.lftp/own.crt").write_bytes(pins.self_signed("backup.example").pem)
    (tmp_path / "home/.lftp/rc").write_text("set ssl:ca-file ~/.lftp/own.crt\nset ftp:ssl-force yes\n")
    (tmp_path / "work").mkdir()
    script = tmp_path / "work/job.sh"
    job = "open -u me,p4ssw0rd backup.example; ls"
    again = f"grep -q -e expired ~/said && lftp -c 'set ssl:verify-certificate no; {job}'"
    script.write_text(f"#!/bin/sh\nlftp -c '{job}' 2>~/said || {{ {again}; }}\n")
    script.chmod(0o700)
    subject = program.load(("./job.sh",), tmp_path / "work", tmp_path / "home")
    options = Options(timeout=20, only=frozenset({"impostor-self-signed", "impostor-expired"}))
    report = verify(subject, client, places, options)
    assert "no-verification" in {each.id for each in report.findings}
    assert {each.trial.name: each.verdict for each in report.tried}["impostor-self-signed"] != "exposed"
    assert not report.safe
