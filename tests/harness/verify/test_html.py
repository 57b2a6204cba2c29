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


def unsafe(folder: Path) -> Report:
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


def test_the_answer_comes_first(tmp_path: Path) -> None:
    text = html.text([unsafe(tmp_path)], tmp_path)
    assert "NOT SAFE: 1 error and 1 warning. An impostor of the same name gets the password" in text
    assert text.index("<h1>") < text.index("What was tried")


def test_a_finding_has_its_line_proof_and_cure_and_how_to_see_it_again(tmp_path: Path) -> None:
    said = Outline(html.text([unsafe(tmp_path)], tmp_path)).said
    for wanted in (
        "deploy/rc, line 2 set ssl:verify-certificate no",
        "Proof An impostor with a copy of the certificate in every field but the key.",
        "impostor-copy: exposed: password to impostor, 1 of 1 runs",
        'Cure Pin the server\'s certificate (set ssl:ca-file "~/.lftp/server.crt")',
        "Run it again ftps-lab verify --only impostor-copy rc",
        "Ignored the [server](x) is behind a VPN (until 2027-01-31)",
    ):
        assert wanted in said, wanted


def test_every_trial_says_what_it_came_to(tmp_path: Path) -> None:
    said = Outline(html.text([unsafe(tmp_path)], tmp_path)).said
    for wanted in (
        "genuine the genuine server ✓ accepted",
        "✗ exposed: password to impostor",
        "expired the server's own certificate, expired ✗ accepted",
        "strip-auth somebody on the path denies TLS ! hung",
        "AUTH refused with 502 ✓ nothing got out (rejected)",
    ):
        assert wanted in said, wanted


@pytest.mark.parametrize(
    ("broken", "answer"),
    [((), "SAFE: the genuine server is accepted"), (("expired: lftp died",), "UNDECIDED: 1 trial could not be judged")],
)
def test_what_could_not_be_judged_is_not_safe(tmp_path: Path, broken: tuple[str, ...], answer: str) -> None:
    text = html.text([report(rc_subject(tmp_path), broken=broken)], tmp_path)
    assert answer in text
    assert ("Could not be judged: expired: lftp died" in text) is bool(broken)


def test_of_several_setups_each_has_its_own_answer(tmp_path: Path) -> None:
    reports = [unsafe(tmp_path), report(rc_subject(tmp_path / "other"))]
    outline = Outline(html.text(reports, tmp_path))
    assert "NOT SAFE: 1 of 2 setups" in outline.said
    assert "SAFE: the genuine server is accepted" in outline.said
    assert len(outline.ids) == len(set(outline.ids))


def test_a_command_line_is_not_in_it(tmp_path: Path) -> None:
    """A command line may hold the password, and users keep the page and send it to colleagues."""
    subject = command_subject(tmp_path, "/usr/bin/lftp", "-u", "me,s3cret", "backup.example")
    finding = found("no-verification", attack="impostor-copy")
    assert finding.proof is not None
    finding = replace(finding, proof=replace(finding.proof, again="ftps-lab verify -- lftp -u me,s3cret"))
    text = html.text([report(subject, (finding,))], tmp_path)
    assert "s3cret" not in text
    assert "/usr/bin/lftp" in text


def test_foreign_text_is_never_markup(tmp_path: Path) -> None:
    where = Where(EVIL, 2, EVIL)
    evil = replace(found("no-verification", where=where, attack="impostor-copy", detail=EVIL), cure=EVIL)
    made = report(rc_subject(tmp_path), (evil,), broken=(EVIL,))
    made = replace(made, login=replace(made.login, host=EVIL))
    check_harmless(html.text([made], tmp_path))


def test_the_command_refuses_a_page_that_it_could_not_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["verify", "--html", "no/folder/x"]) == 2
    assert "--html no/folder/x: the folder" in capsys.readouterr().err


@pytest.mark.lftp
def test_the_command_writes_the_page(
    sealed_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page is of a real setup that does not verify; on standard output nothing else is printed."""
    monkeypatch.chdir(tmp_path)
    Path("rc").write_text("set ssl:verify-certificate no\n")
    assert cli.call(["verify", "rc", "--only", "impostor-copy", "--html", "-"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("<!doctype html>")
    assert "NOT SAFE" in err
    outline = Outline(out)
    assert outline.unbalanced == []
    assert "rc, line 1 set ssl:verify-certificate no" in outline.said
