"""`--fix` and `--write` cure what a line can cure and change nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness import cli
from ftps_harness.errors import HarnessError
from ftps_harness.verify import fix
from ftps_harness.verify.findings import Where, finding
from ftps_harness.verify.subject import File

if TYPE_CHECKING:
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_lab.certificates import Certificate

RC = """# my server
set ssl:ca-file "~/.lftp/server.crt"
set ssl:verify-certificate no
set ftp:sync-mode off; set ftp:skey-allow no
"""


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_certificate: Certificate, places: SealedPlaces
) -> Path:
    assert places is not None
    (tmp_path / ".lftp").mkdir(mode=0o700)
    (tmp_path / ".lftp/server.crt").write_bytes(server_certificate.pem)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.long
def test_printed_diff_applies_and_cures_the_setup(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rc = home / ".lftp/rc"
    text = '# my server\nset ssl:ca-file "~/.lftp/server.crt"\nset ssl:verify-certificate no\n'
    rc.write_text(text)
    assert cli.call(["verify", "--fix"]) == 1
    out = capsys.readouterr().out
    assert rc.read_text() == text
    diff = out[out.index(f"--- {rc}") :]
    subprocess.run(["patch", "-s", rc], input=diff.encode(), check=True)
    assert rc.read_text() == (
        '# my server\nset ssl:ca-file "~/.lftp/server.crt"\nset ftp:ssl-force yes\nset ftp:ssl-allow-anonymous yes\n'
    )
    assert cli.call(["verify"]) == 0


@pytest.mark.long
def test_write_keeps_mode_symlink_and_line_endings(home: Path) -> None:
    real = home / "settings"
    real.write_bytes(b'set ssl:ca-file "~/.lftp/server.crt"\r\n')
    real.chmod(0o640)
    (home / ".lftp/rc").symlink_to(real)
    assert cli.call(["verify", "--write"]) == 0
    assert real.read_bytes() == (
        b'set ssl:ca-file "~/.lftp/server.crt"\r\nset ftp:ssl-force yes\r\nset ftp:ssl-allow-anonymous yes\r\n'
    )
    assert (home / ".lftp/rc").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in home.iterdir()) == [".lftp", "settings"]


@pytest.mark.long
def test_fix_does_not_enable_verification_without_a_pin(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".lftp/rc").write_text(
        "set ftp:ssl-force yes\nset ftp:ssl-allow-anonymous 1\nset ssl:verify-certificate no\n"
    )
    assert cli.call(["verify", "--fix"]) == 1
    assert "No change to the rc fixes these findings" in capsys.readouterr().out


def test_fix_and_only_exclude_each_other(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".lftp/rc").write_text("")
    assert cli.call(["verify", "--fix", "--only", "expired"]) == 2
    assert "omit --only" in capsys.readouterr().err


def cured(text: str, *kinds: str, line: int | None = None, pinned: bool = True) -> str:
    path = Path("/home/me/.lftp/rc")
    where = None if line is None else Where(str(path), line, "")
    findings = [finding(kind, where=where) for kind in kinds]
    return fix.cured(File(path, text.encode(), 0o644, 0), findings, pinned=pinned).decode()


def test_only_lines_with_a_single_setting_are_removed() -> None:
    assert cured(RC, "no-verification", line=3) == RC.replace("set ssl:verify-certificate no\n", "")
    assert cured(RC, "password-before-verification", line=4) == RC
    assert cured(RC, "no-verification", line=3, pinned=False) == RC


def test_line_is_added_once_after_a_final_newline() -> None:
    assert cured("set net:timeout 5", "tls-not-required") == "set net:timeout 5\nset ftp:ssl-force yes\n"
    assert cured("set ftp:ssl-force yes\n", "tls-not-required") == "set ftp:ssl-force yes\n"
    assert cured("", "tls-not-required", "anonymous-in-clear") == (
        "set ftp:ssl-force yes\nset ftp:ssl-allow-anonymous yes\n"
    )


def test_file_changed_since_verification_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "rc"
    path.write_text("new\n")
    file = File(path, b"old\n", 0o644, 0)
    found = fix.Fix(None, None, file, File(path, b"cured\n", 0o644, 0))  # type: ignore[arg-type]  # not read
    with pytest.raises(HarnessError, match="has changed since it was verified"):
        fix.write(found)
    assert path.read_text() == "new\n"
