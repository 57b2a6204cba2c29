"""`--keep` keeps each run's files, readable by the owner alone and without keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ftps_harness import cli
from ftps_harness.verify.keeping import without_keys

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_lab.certificates import Certificate

ONLY = ["--only", "impostor-copy", "--only", "data-certificate-put"]
KEY = b"-----BEGIN PRIVATE KEY-----\nMIIBsecret\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: SealedPlaces, server_certificate: Certificate
) -> Path:
    assert places is not None
    (tmp_path / ".lftp").mkdir(mode=0o700)
    (tmp_path / ".lftp/server.crt").write_bytes(server_certificate.pem + KEY)
    (tmp_path / ".lftp/rc").write_text('set ssl:ca-file "~/.lftp/server.crt"\nset ftp:ssl-force yes\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_keep_writes_each_run_of_an_rc_without_private_keys(home: Path, server_certificate: Certificate) -> None:
    assert cli.call(["verify", *ONLY, "--keep", "kept"]) == 1  # the pin contains a key
    kept = home / "kept/1-rc"
    assert sorted(path.name for path in kept.iterdir()) == ["data-certificate-put", "genuine", "impostor-copy"]
    assert len(list((kept / "data-certificate-put").iterdir())) == 5
    run = kept / "impostor-copy/1"
    assert json.loads((run / "outcome.json").read_text())["verdict"] == "rejected"
    told = json.loads((run / "testimony.json").read_text())
    assert (told["role"], told["credentials"], bool(told["handshakes"])) == ("impostor", [], True)
    assert b"Certificate verification" in (run / "stderr").read_bytes() + (run / "lftp.log").read_bytes()
    assert list((run / "wire").iterdir())
    assert (run / "home/.lftp/rc").read_bytes() == (home / ".lftp/rc").read_bytes()
    pin = (run / "home/.lftp/server.crt").read_bytes()
    assert b"BEGIN CERTIFICATE" in pin
    assert server_certificate.pem not in pin
    everything = [path for path in (home / "kept").rglob("*") if path.is_file()]
    assert not any(b"MIIBsecret" in path.read_bytes() for path in everything)
    assert {path.stat().st_mode & 0o077 for path in (home / "kept", *kept.rglob("*"))} == {0}


@pytest.mark.long
def test_keep_writes_each_run_of_a_command_and_replaces_earlier_runs(home: Path) -> None:
    (home / "kept/1-job.sh/older").mkdir(parents=True)
    (home / "kept/ftps-lab-evidence.txt").touch()
    script = home / "job.sh"
    script.write_text(
        "#!/bin/sh\nlftp -c 'set ssl:verify-certificate no; open -u me,s3cr3t backup.example; ls; get a/b'\n"
    )
    script.chmod(0o700)
    assert cli.call(["verify", *ONLY[:2], "--keep", "kept", "--", "./job.sh"]) == 1
    kept = home / "kept/1-job.sh"
    assert sorted(path.name for path in kept.iterdir()) == ["genuine", "impostor-copy"]
    assert len(list((kept / "genuine").iterdir())) > 1  # it ran until the files that it requests existed
    run = kept / "impostor-copy/1"
    assert (run / "command").read_text().endswith("/job.sh\n")
    assert json.loads((run / "testimony.json").read_text())["credentials"][0]["user"] == "me"
    assert json.loads((run / "outcome.json").read_text())["to"] == ["impostor"]
    assert (run / "home/.lftp/rc").is_file()


def test_keep_refuses_a_folder_with_other_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["verify", *ONLY, "--keep", ".lftp"]) == 2
    assert "--keep .lftp: this folder contains other files" in capsys.readouterr().err
    assert (home / ".lftp/rc").is_file()


def test_earlier_evidence_that_cannot_be_replaced_exits_3_with_the_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".lftp/server.crt").write_bytes((home / ".lftp/server.crt").read_bytes().replace(KEY, b""))
    (home / "kept").mkdir()
    (home / "kept/ftps-lab-evidence.txt").touch()
    (home / "kept/1-rc").touch()  # a file where a folder should be: removing it as a folder fails
    assert cli.call(["verify", *ONLY, "--keep", "kept"]) == 3
    assert "--keep: " in capsys.readouterr().err


def test_write_error_while_keeping_exits_3_after_the_answer(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verification continues; only the evidence is incomplete."""
    (home / ".lftp/server.crt").write_bytes((home / ".lftp/server.crt").read_bytes().replace(KEY, b""))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftps_harness.report.evidence._write", full)
    assert cli.call(["verify", *ONLY[:2], "--keep", "kept", "--json", "out.json"]) == 3
    out, err = capsys.readouterr()
    assert out.startswith("SAFE: ")
    assert "--keep: the evidence is incomplete: " in err
    assert "No space left on device" in err
    assert json.loads((home / "out.json").read_text())["safe"] is True


@pytest.mark.parametrize(
    "key", [KEY, KEY.replace(b" PRIVATE", b" EC PRIVATE"), KEY.replace(b"\n", b"\r\n"), KEY[: len(KEY) // 2]]
)
def test_private_keys_of_every_type_are_left_out(key: bytes) -> None:
    kept = without_keys(b"# mine\n" + key)
    assert b"MIIB" not in kept
    assert kept.startswith(b"# mine\n(a private key was here: ")
