"""The diagrams of `ftps-lab verify --html`: each is of the very trial that proves the finding, and has no password."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.harness.report.html.claims import untrue
from tests.harness.report.html.outline import Outline, check_harmless
from tests.harness.report.html.test_page import hostile_attempt
from tests.harness.report.results import attempt
from tests.harness.verify.reports import command_subject, found, rc_subject, report, tried

from ftps_harness.report.html.sequence import MASK
from ftps_harness.report.html.witnessed import interaction
from ftps_harness.verify import masking, program
from ftps_harness.verify.base import Options
from ftps_harness.verify.reports import html
from ftps_harness.verify.verify import verify
from ftps_lab.testimony import Command, Connection, Testimony

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.verify.conftest import Check

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_harness.play.recording import Recording
    from ftps_harness.verify.base import Report
    from ftps_harness.verify.judge import Tried


def recording() -> Recording:
    return attempt("exposed").recording


def page_with_trials(*trials: Tried, finding: str = "impostor-copy", folder: Path) -> str:
    """The page of a setup with these trials, the first finding of which a trial proves."""
    finding_of = found("no-verification", attack=finding)
    return html.text([report(rc_subject(folder), (finding_of,), tried("genuine", "accepted"), *trials)], folder)


def exposed(name: str = "impostor-copy", times: int = 1) -> Tried:
    return tried(name, "exposed", "password", "impostor", times)


def test_finding_draws_only_the_trial_that_proves_it(tmp_path: Path) -> None:
    trials = (replace(exposed(), recording=recording()), replace(tried("expired"), recording=recording()))
    text = page_with_trials(*trials, folder=tmp_path)
    assert text.count('<svg class="diagram"') == text.count('<ol class="told"') == 2
    finding = text[text.index('id="s1-1"') : text.index("What was tried")]
    assert "The proof: what client, attacker and server said" in finding
    assert "Recorded in the trial impostor-copy</figcaption>" in finding
    assert "Recorded in the trial expired</figcaption>" in text[text.index("in the other trials") :]
    ids = Outline(text).ids
    assert len(ids) == len(set(ids))


def test_every_recorded_trial_links_to_its_diagram(tmp_path: Path) -> None:
    trials = (replace(exposed(), recording=recording()), replace(tried("expired"), recording=recording()))
    text = page_with_trials(*trials, tried("strip-auth", "hung"), folder=tmp_path)
    links = re.findall(r'<th scope="row"><a href="#(.*?)"><code>(.*?)</code></a></th>', text)
    assert links == [("s1-1", "impostor-copy"), ("s1-t3", "expired")]
    assert {anchor for anchor, _ in links} < {*Outline(text).ids}
    assert '<th scope="row"><code>strip-auth</code></th>' in text


def test_safe_setup_shows_its_diagrams(tmp_path: Path) -> None:
    safe = report(rc_subject(tmp_path), (), replace(tried("genuine", "accepted"), recording=recording()))
    assert "What was said in the trials" in Outline(html.text([safe], tmp_path)).said


def test_recording_of_the_most_conclusive_run_is_kept() -> None:
    refused, leaked = replace(recording(), message="no"), replace(recording(), message="yes")
    some = replace(exposed(), outcomes=(*tried("expired").outcomes, *exposed().outcomes))
    kept = some.keeping([refused, leaked])
    assert (kept.proof, kept.recording) == (2, leaked)
    none = tried("expired", times=2).keeping([refused, leaked])
    assert (none.proof, none.recording) == (1, refused)


def test_page_names_the_run_that_it_draws(tmp_path: Path) -> None:
    text = page_with_trials(replace(exposed(times=5), recording=recording()), folder=tmp_path)
    assert "Recorded in the trial impostor-copy, run 1 of 5</figcaption>" in text


def test_overlong_recording_is_not_kept() -> None:
    """Memory stays bounded however many files a command transfers."""
    commands = tuple(Command(1, "NOOP", "", "tls", 200) for _ in range(6000))
    long = replace(recording(), testimony=Testimony("genuine", commands=commands))
    behind = replace(recording(), testimony=Testimony("impostor", behind=Testimony("genuine", commands=commands)))
    assert exposed().keeping([recording()]).recording is not None
    assert exposed().keeping([long]).recording is None
    assert exposed().keeping([behind]).recording is None


def test_password_is_masked_in_commands_replies_and_messages(tmp_path: Path) -> None:
    """In this trial the password is in a SITE command, its reply and a message, but not in PASS."""
    said = Command(1, "SITE", "x s3cret", "clear", 500, reply_text="what is s3cret?")
    told = Testimony("genuine", (Connection(1, "control", ("127.0.0.1", 40001), 0.1),), commands=(said,))
    made = replace(recording(), testimony=told, message="open ftp://me:s3cret@host: failed")
    as_it_was = replace(exposed(), recording=made)
    masked = masking.masked_tried(as_it_was, ["s3cret"])
    subject = command_subject(tmp_path, "/bin/job")
    assert html.text([report(subject, (), as_it_was)], tmp_path).count("s3cret") > 3
    text = html.text([report(subject, (), masked)], tmp_path)
    assert "s3cret" not in text
    assert f"SITE x {MASK}" in text


def test_foreign_text_is_escaped(tmp_path: Path) -> None:
    check_harmless(page_with_trials(replace(exposed(), recording=hostile_attempt().recording), folder=tmp_path))


def untrue_trials(made: Report) -> list[str]:
    """One sentence for each recording that contradicts its picture, or the outcome that the report gives."""
    wrong = []
    for each in made.tried:
        assert each.recording is not None, each.trial.name
        told, outcome = each.recording.testimony, each.outcomes[each.proof - 1]
        wrong += untrue(interaction(each.recording, made.genuine), each.recording)
        got = told.role == "impostor" and any(c.password for c in told.credentials)
        if got is not ("password" in outcome.exposed and "impostor" in outcome.to):
            wrong.append(f"{each.trial.name}: whether an impostor holds the password is not as reported")
        attacks = {connection.attack for connection in told.connections} - {"none"}
        if attacks and not any(each.trial.name.startswith(attack) for attack in attacks):
            wrong.append(f"{each.trial.name}: recorded under {attacks}")
    return wrong


TRIALS = ("impostor-copy", "intercept", "strip-auth", "refuse-auth-502", "refuse-prot", "data-certificate-get")


@pytest.mark.lftp
@pytest.mark.parametrize("line", ["set ssl:verify-certificate no", "set ssl:ca-file ~/.lftp/server.crt"])
def test_each_diagram_shows_the_testimony_of_its_trial(line: str, check: Check, tmp_path: Path) -> None:
    made = check(f"{line}\n", only=TRIALS)
    assert untrue_trials(made) == []
    assert {"genuine", *TRIALS} == {each.trial.name for each in made.tried}
    text = html.text([made], tmp_path)
    assert text.count('<svg class="diagram"') == len(made.tried)
    for each in made.tried:
        assert each.recording is not None
        port = each.recording.testimony.connections[0].peer[1]
        assert f"From port {port}" in text, each.trial.name


@pytest.mark.lftp
def test_check_finds_a_recording_of_another_trial(check: Check) -> None:
    """Proves that `untrue_trials` can fail."""
    made = check("set ssl:verify-certificate no\n", only=TRIALS)
    first, *others = made.tried
    swapped = replace(made, tried=(first, *(replace(each, recording=first.recording) for each in others)))
    assert untrue_trials(swapped) != []


@pytest.mark.lftp
def test_diagram_of_a_command_masks_its_password(places: SealedPlaces, client: Lftp, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    (home / ".lftp").mkdir(parents=True)
    (home / ".lftp/rc").write_text("set ssl:verify-certificate no\n")
    work.mkdir()
    script = work / "job.sh"
    script.write_text("#!/bin/sh\nlftp -u me,s3cret-word -e 'ls; bye' ftp.example.com\n")
    script.chmod(0o755)
    only = frozenset({"impostor-copy", "strip-auth"})
    made = verify(program.load(("./job.sh",), work, home), client, places, Options(only=only))
    assert untrue_trials(made) == []
    text = html.text([made], tmp_path)
    assert "your command" in text
    said = text.count(f"PASS {MASK} for user me.")
    assert said == 4, "to the genuine server, to the impostor, to the attacker on the path, and on from there"
    assert "s3cret-word" not in text
