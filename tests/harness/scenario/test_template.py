"""The file of `ftps-lab new` passes with an rc that protects, and fails with a weaker one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.scenario import ScenarioError, load
from ftps_harness.scenario.template import scenario_template

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.runner import ScenarioResult

GOOD = "set ssl:ca-file ~/.lftp/mycert.crt\nset ftp:ssl-protect-data yes\nset ftp:ssl-force yes\n"
WRITTEN = (
    "rc    = '''\nset ssl:ca-file \"{lftp}/mycert.crt\"\nset ftp:ssl-force yes\nset ftp:ssl-protect-data yes\n'''\n"
)


def write_template(folder: Path, rc: bytes | None = None, name: str = "backup.rc") -> Path:
    """The template in a folder, with the user's rc beside it if one is given."""
    text = scenario_template("mine/backup")
    assert WRITTEN in text
    if rc is not None:
        (folder / "backup.rc").write_bytes(rc)
        text = text.replace(WRITTEN, f"rc_file = '{name}'\n")
    path = folder / "backup.scenario.toml"
    path.write_text(text, "utf-8")
    return path


def run_file(client: Lftp, path: Path) -> ScenarioResult:
    return run_scenario(load(path), client, Options(timeout=20))


def test_template_passes_unchanged(client: Lftp, tmp_path: Path) -> None:
    assert run_file(client, write_template(tmp_path)).status == "pass"


def test_template_passes_with_the_users_good_rc(client: Lftp, tmp_path: Path) -> None:
    """The rc is used unchanged: braces in it are not placeholders, line ends and bytes stay."""
    rc = GOOD.encode() + b"# {lftp} {nothing} {{user}} \xff\r\n"
    result = run_file(client, write_template(tmp_path, rc))
    assert result.status == "pass"
    assert result.steps[-1].shown.rc.encode("utf-8", "surrogateescape") == rc


@pytest.mark.parametrize(
    ("rc", "step", "verdict"),
    [
        ("set ssl:ca-file ~/.lftp/mycert.crt\n", 3, "exposed"),
        ("set ssl:verify-certificate no\nset ftp:ssl-force yes\n", 2, "exposed"),
        (GOOD + "set ftp:ssl-allow no\n", 3, "exposed"),
        ("set ftp:ssl-force yes\n", 1, "rejected"),
    ],
    ids=["a pin alone", "no verification", "no TLS", "no pin"],
)
def test_template_fails_with_a_weak_rc(client: Lftp, tmp_path: Path, rc: str, step: int, verdict: str) -> None:
    result = run_file(client, write_template(tmp_path, rc.encode()))
    assert result.status in {"fail", "error"}
    assert result.steps[step].status == "fail"
    assert result.steps[step].shown.outcome.verdict == verdict


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("other.rc", "other.rc cannot be read: No such file or directory"),
        (".", "is not a regular file"),
        ("~nobody-of-this-name/rc", "no such home folder"),
        (" ", "is not a path"),
    ],
)
def test_invalid_rc_file_is_an_error_with_file_and_step(tmp_path: Path, name: str, sentence: str) -> None:
    path = write_template(tmp_path, b"", name)
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: step[2].rc_file: ")
    assert sentence in str(caught.value)


def test_rc_file_may_be_anywhere(client: Lftp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home/.lftp").mkdir(parents=True)
    (tmp_path / "home/.lftp/rc").write_text(GOOD)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("~/.lftp/rc", str(tmp_path / "home/.lftp/rc"), "home/.lftp/rc"):
        assert load(write_template(tmp_path, b"", name)).steps[1].rc == GOOD


def test_rc_and_rc_file_exclude_each_other(tmp_path: Path) -> None:
    path = write_template(tmp_path, b"")
    path.write_text(path.read_text("utf-8").replace("\nrc_file =", "\nrc = ''\nrc_file ="), "utf-8")
    with pytest.raises(ScenarioError, match=r"step\[2\]\.rc_file: is not allowed beside rc"):
        load(path)
