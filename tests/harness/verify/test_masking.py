"""No report holds a password from a command line, a file's line or lftp's messages."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from ftps_harness import cli
from ftps_harness.verify.findings import KINDS, Where, finding
from ftps_harness.verify.masking import masked, masked_command, masked_finding

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_lab.certificates import Certificate

ODD = "p4ss 'w\"o#rd@of;mine"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("open -u me,secret backup.example", "open -u me,… backup.example"),
        ("open --user me,secret;ls", "open --user me,…;ls"),
        ('lftp -u "me,sec ret" host', 'lftp -u "me,…" host'),
        ('lftp -u me,"sec ret" host', "lftp -u me,… host"),
        ("lftp -ume,secret host", "lftp -ume,… host"),
        ("curl -u me:secret ftp://host/", "curl -u me:… ftp://host/"),
        ("open ftp://me:se@cret@host/in", "open ftp://me:…@host/in"),
        ("open --user me --password secret host", "open --user me --password … host"),
        ("LFTP_PASSWORD='sec ret' lftp", "LFTP_PASSWORD=… lftp"),
        # Not a password.
        ('lftp -u "me,$PW" host', 'lftp -u "me,$PW" host'),
        ("export LFTP_PASSWORD=$PW", "export LFTP_PASSWORD=$PW"),
        ("open -u me --env-password backup.example", "open -u me --env-password backup.example"),
        ("set ftp:proxy ftp://proxy.example:2121", "set ftp:proxy ftp://proxy.example:2121"),
        ("open -p 2121 ftp://me@host", "open -p 2121 ftp://me@host"),
    ],
)
def test_password_is_masked_by_its_context(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "argv",
    [
        ("lftp", "-u", f"me,{ODD}", "host"),
        ("lftp", "--password", ODD, "-u", "me"),
        ("env", f"LFTP_PASSWORD={shlex.quote('secret')}", "lftp"),
        ("lftp", "-e", "open -u me,secret host; ls"),
    ],
)
def test_command_line_is_shown_without_its_password(argv: tuple[str, ...]) -> None:
    shown = shlex.split(masked_command(argv))
    assert len(shown) == len(argv)
    assert not any("secret" in word or 'w"o#rd' in word for word in shown)
    assert sum("…" in word for word in shown) == 1


def test_known_password_is_masked_except_in_fixed_titles() -> None:
    where = Where("rc", 1, "do password here")
    found = masked_finding(finding("login-in-clear", "lftp says: password", where=where), ["password"])
    assert found.title == KINDS["login-in-clear"].title + " lftp says: …"
    assert found.where == Where("rc", 1, "do … here")
    assert "password" in KINDS["login-in-clear"].title


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.long
def test_no_report_of_a_command_contains_its_password(
    given: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    places: SealedPlaces,
    server_certificate: Certificate,
) -> None:
    """It is masked in the command line and in the quoted line of the script."""
    assert places is not None
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    password = "s3cr3t-of-mine"
    options = f"-u me,{password} -e 'set ssl:verify-certificate no; ls; bye' backup.example"
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\nPW={password}\nlftp {options}\n")
    script.chmod(0o755)
    command = ["lftp", *shlex.split(options)] if given else ["./job.sh"]
    files = {f"--{name}": tmp_path / f"out.{name}" for name in ("json", "junit", "sarif", "markdown")}
    written = [word for option, path in files.items() for word in (option, str(path))]
    only = ["--only", "impostor-copy", "--only", "refuse-auth-502"]
    assert cli.call(["verify", *only, "--github", *written, "--", *command]) == 1
    said = capsys.readouterr()
    texts = {"terminal": said.out, "stderr": said.err, **{name: path.read_text() for name, path in files.items()}}
    assert [name for name, text in texts.items() if password in text] == []
    data = json.loads(texts["--json"])
    assert "no-verification" in {each["id"] for each in data["findings"]}
    shown = [data["subject"]["command"], *(each["proof"]["again"] for each in data["findings"] if each["proof"])]
    assert all(("me,…" in text) is given for text in shown)
    lines = [each["where"]["text"] for each in data["findings"] if each["where"]]
    assert given or any("lftp -u me,… -e" in text for text in lines)


def test_error_for_a_command_that_never_connects_masks_its_password(
    capsys: pytest.CaptureFixture[str], places: SealedPlaces
) -> None:
    assert places is not None
    assert cli.call(["verify", "--", "true", "-u", "me,s3cr3t-of-mine"]) == 2
    said = capsys.readouterr().err
    assert "did not connect to any server" in said
    assert "s3cr3t" not in said
