"""The command `ftps-lab pin-check`: exit codes, files, mistakes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.harness.pinning.conftest import TOOLS

from ftps_harness.cli import call
from ftps_harness.pinning import planted

if TYPE_CHECKING:
    from pathlib import Path

SMALL = ("--", str(TOOLS / "small.sh"), "{host}", "{port}")


@pytest.fixture(autouse=True)
def working_folder(sealed_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; test_planted.py covers the planted tools."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planted, "WRONG", planted.WRONG[:1])
    return tmp_path


def test_failed_requirement_is_in_every_report(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--only", "two-hosts", "--only", "connects", "--json", "r.json", "--junit", "r.xml", "--keep", "kept")
    assert call(["pin-check", *options, *SMALL]) == 1
    out = capsys.readouterr().out
    assert out.startswith("FAILED: must 1 of 2, should 0 of 0.\n")
    assert "again    ftps-lab pin-check --only two-hosts --keep kept -- " in out
    data = json.loads((working_folder / "r.json").read_text())
    assert [(each["id"], each["status"]) for each in data["requirements"]] == [
        ("connects", "pass"),
        ("two-hosts", "fail"),
    ]
    assert data["requirements"][1]["failures"][0]["diff"]
    assert data["summary"] == {"must": {"pass": 1, "fail": 1}, "should": {"pass": 0, "fail": 0}}
    assert "<failure" in (working_folder / "r.xml").read_text()
    assert (working_folder / "kept/two-hosts/home-1/.lftp/rc").is_file()


@pytest.mark.long
def test_should_requirement_fails_the_run_only_with_strict() -> None:
    assert call(["pin-check", "--only", "tls-demanded", *SMALL]) == 0
    assert call(["pin-check", "--only", "tls-demanded", "--strict", *SMALL]) == 1


@pytest.mark.long
def test_stale_not_claimed_entry_fails_the_run(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (working_folder / "mine.toml").write_text('[not-claimed]\nchain-works = "no"\nconnects = "no"\n')
    (working_folder / "small.sh").write_bytes((TOOLS / "small.sh").read_bytes())
    assert call(["pin-check", "--only", "connects", "--config", "mine.toml", *SMALL]) == 1
    assert "--config mine.toml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--keep", "/proc/x", *SMALL], "--keep /proc/x: "),
        (["--only", "conects", *SMALL], 'Did you mean "connects"?'),
        (["--json", "/none/x", *SMALL], "/none"),
        ([], "give the tool's command"),
        (["--", str(TOOLS / "small.sh"), "{hots}"], "the command: unknown placeholder {hots}"),
    ],
)
def test_usage_error_exits_2_with_the_reason(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["pin-check", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.long
def test_command_without_a_port_placeholder_is_the_reported_reason(
    working_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On another port, the tool would pin the server on port 21 and pass against a server it never met."""
    only = ("--only", "connects", "--only", "any-port", "--only", "bounded-time", "--only", "failure-writes-nothing")
    assert call(["pin-check", *only, "--json", "r.json", "--", str(TOOLS / "right.sh"), "{host}"]) == 1
    out = capsys.readouterr().out
    assert "\nNote: the command lacks {port}, so the tool always uses its own port" in out
    data = json.loads((working_folder / "r.json").read_text())
    assert data["notes"] == [
        "the command lacks {port}, so the tool always uses its own port; put {port} where it expects the port"
    ]
    found = {each["id"]: (each["status"], len(each.get("failures", []))) for each in data["requirements"]}
    assert found == {
        "connects": ("pass", 0),
        "any-port": ("fail", 1),
        "bounded-time": ("fail", 1),
        "failure-writes-nothing": ("fail", 1),
    }
    assert {each["failures"][0]["seen"] for each in data["requirements"][1:]} == {
        "the command lacks {port}; put it where the tool expects it"
    }


WIDE = """#!/bin/sh
mkdir -p "$HOME/.lftp"
openssl s_client -starttls ftp -connect "$1:$2" </dev/null 2>/dev/null | openssl x509 >"$HOME/.lftp/$1.crt"
printf 'set ssl:ca-file "%s"\\n# %0300d\\n' "$HOME/.lftp/$1.crt" 1 >>"$HOME/.lftp/rc"
openssl x509 -in "$HOME/.lftp/$1.crt" -noout -fingerprint -sha256
"""


@pytest.mark.long
@pytest.mark.parametrize("columns", [80, 100])
def test_only_the_rerun_command_is_wider_than_the_terminal(
    columns: int, working_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    (working_folder / "wide.sh").write_text(WIDE)
    (working_folder / "wide.sh").chmod(0o755)
    assert call(["pin-check", "--only", "idempotent", "--", "./wide.sh", "{host}", "{port}"]) == 1
    out = capsys.readouterr().out
    assert "seen     changed: ~/.lftp/rc\n" in out
    assert "sha256 Fingerprint=" in out
    wide = [line for line in out.splitlines() if len(line) > columns and not line.startswith("  again ")]
    whole = columns - 12  # a longer word, such as a path, stays unbroken so that it can be copied
    assert [line for line in wide if max(map(len, line.split())) <= whole] == []


def test_list_with_only_prints_the_chosen_requirements(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["pin-check", "--list", "--only", "ipv6", "--only", "connects"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["connects  (must)", "ipv6  (should)"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("conects", 'Did you mean "connects"?'), ("zzz", "`ftps-lab pin-check --list` prints them all.")],
)
def test_list_refuses_an_unknown_requirement(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["pin-check", "--list", "--only", name]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_list_prints_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["pin-check", "--list"]) == 0
    assert "fingerprint-expected  (must, if claimed)" in capsys.readouterr().out
