"""The page of `ftps-lab verify`: the answer, findings with line, proof and cure, the trials; no password."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.harness.report.html.outline import EVIL, Outline, check_harmless
from tests.harness.verify.reports import (
    SUPPRESSED,
    command_subject,
    found,
    no_verification,
    rc_subject,
    report,
    tried,
)

from ftps_harness import cli
from ftps_harness.verify.findings import Where
from ftps_harness.verify.reports import html

if TYPE_CHECKING:
    from ftps_harness.verify.base import Report


def unsafe_report(folder: Path) -> Report:
    subject = rc_subject(folder)
    findings = (
        no_verification(subject),
        found("pin-expires", detail="In 3 days."),
        found("prot-refused", attack="refuse-prot"),
        replace(found("tls-not-required", attack="refuse-auth-421"), suppressed=SUPPRESSED),
    )
    trials = (
        tried("genuine", "accepted"),
        tried("impostor-copy", "exposed", "password", "impostor"),
        tried("expired", "accepted"),
        tried("strip-auth", "hung"),
        tried("refuse-auth-502", "rejected"),
    )
    return report(subject, findings, *trials)


def test_page_begins_with_the_answer(tmp_path: Path) -> None:
    text = html.text([unsafe_report(tmp_path)], tmp_path)
    assert "NOT SAFE: 1 error and 1 warning. An impostor with the same name gets the password" in text
    assert text.index("<h1>") < text.index("What was tried")


def test_finding_shows_its_line_proof_cure_and_rerun_command(tmp_path: Path) -> None:
    said = Outline(html.text([unsafe_report(tmp_path)], tmp_path)).said
    for wanted in (
        "deploy/rc, line 2 set ssl:verify-certificate no",
        "Proof An impostor whose certificate differs only in the key.",
        "impostor-copy: exposed: password to impostor, 1 of 1 runs",
        'Cure Pin the server\'s certificate (set ssl:ca-file "~/.lftp/server.crt")',
        "Run it again ftps-lab verify --only impostor-copy rc",
        "Ignored the [server](x) is behind a VPN (until 2027-01-31)",
    ):
        assert wanted in said, wanted


def test_every_trial_shows_its_outcome(tmp_path: Path) -> None:
    said = Outline(html.text([unsafe_report(tmp_path)], tmp_path)).said
    for wanted in (
        "genuine the genuine server ✓ accepted",
        "✗ exposed: password to impostor",
        "expired the server's own certificate, expired ✗ accepted",
        "strip-auth an attacker on the path denies TLS ! hung",
        "AUTH refused with 502 ✓ nothing was exposed (rejected)",
    ):
        assert wanted in said, wanted


@pytest.mark.parametrize(
    ("broken", "answer"),
    [
        ((), "SAFE: lftp accepts the genuine server"),
        (("expired: lftp died",), "UNDECIDED: 1 trial could not be judged"),
    ],
)
def test_broken_trial_makes_the_answer_undecided(tmp_path: Path, broken: tuple[str, ...], answer: str) -> None:
    text = html.text([report(rc_subject(tmp_path), broken=broken)], tmp_path)
    assert answer in text
    assert ("Could not be judged: expired: lftp died" in text) is bool(broken)


def test_each_of_several_setups_has_its_own_answer(tmp_path: Path) -> None:
    reports = [unsafe_report(tmp_path), report(rc_subject(tmp_path / "other"))]
    outline = Outline(html.text(reports, tmp_path))
    assert "NOT SAFE: 1 of 2 setups" in outline.said
    assert "SAFE: lftp accepts the genuine server" in outline.said
    assert len(outline.ids) == len(set(outline.ids))


def test_page_contains_no_command_line(tmp_path: Path) -> None:
    """A command line may hold the password, and users keep the page and send it to colleagues."""
    subject = command_subject(tmp_path, "/usr/bin/lftp", "-u", "me,s3cret", "backup.example")
    finding = found("no-verification", attack="impostor-copy")
    assert finding.proof is not None
    finding = replace(finding, proof=replace(finding.proof, again="ftps-lab verify -- lftp -u me,s3cret"))
    text = html.text([report(subject, (finding,))], tmp_path)
    assert "s3cret" not in text
    assert "/usr/bin/lftp" in text


def test_foreign_text_is_escaped(tmp_path: Path) -> None:
    where = Where(EVIL, 2, EVIL)
    evil = replace(found("no-verification", where=where, attack="impostor-copy", detail=EVIL), cure=EVIL)
    made = report(rc_subject(tmp_path), (evil,), broken=(EVIL,))
    made = replace(made, login=replace(made.login, host=EVIL))
    check_harmless(html.text([made], tmp_path))


def test_html_option_refuses_a_path_in_a_missing_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["verify", "--html", "no/folder/x"]) == 2
    assert "--html no/folder/x: the folder" in capsys.readouterr().err


@pytest.mark.lftp
def test_html_option_prints_the_page_alone_on_stdout(
    sealed_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page shows a real setup that does not verify; the answer goes to standard error."""
    monkeypatch.chdir(tmp_path)
    Path("rc").write_text("set ssl:verify-certificate no\n")
    assert cli.call(["verify", "rc", "--only", "impostor-copy", "--html", "-"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("<!doctype html>")
    assert "NOT SAFE" in err
    outline = Outline(out)
    assert outline.unbalanced == []
    assert "rc, line 1 set ssl:verify-certificate no" in outline.said
