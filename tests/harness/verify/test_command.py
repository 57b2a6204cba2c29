"""`ftps-lab verify` as a user calls it: exit codes, JSON, suppressions, and files that do not change."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from sarif_kit.validate import validation_errors

from ftps_harness import cli

if TYPE_CHECKING:
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_lab.certificates import Certificate

REFERENCE = (Path(__file__).parents[3] / "docs/reference.md").read_text("utf-8")
QUICK = ["--only", "impostor-copy", "--only", "refuse-auth-502"]


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_certificate: Certificate, places: SealedPlaces
) -> Path:
    """A HOME with a pin and `ftp:ssl-force`; tests skip without a sandbox."""
    assert places is not None
    folder = tmp_path / ".lftp"
    folder.mkdir(mode=0o700)
    (folder / "server.crt").write_bytes(server_certificate.pem)
    (folder / "rc").write_text('set ssl:ca-file "~/.lftp/server.crt"\nset ftp:ssl-force yes\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def state(folder: Path) -> dict[str, tuple[str, int, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_safe_setup_exits_0_and_changes_no_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = state(home)
    assert cli.call(["verify", *QUICK]) == 0
    assert capsys.readouterr().out.startswith("SAFE: ")
    assert state(home) == before


def test_unsafe_setup_exits_1_and_names_the_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rc = home / ".lftp/rc"
    rc.write_text("# mine\nset ftp:ssl-force yes\nset ssl:verify-certificate no\n")
    assert cli.call(["verify", *QUICK, "--github"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("NOT SAFE: 1 error. An impostor with the same name gets the password")
    assert f"{rc}:3: set ssl:verify-certificate no" in " ".join(out.split())
    assert f"::error file={rc},line=3,title=no-verification::" in out
    shown = out.split("::error")[0].splitlines()
    assert max(len(line) for line in shown if str(rc) not in line) <= 80  # a path is not broken


def test_reference_documents_every_json_key(home: Path) -> None:
    (home / ".lftp/rc").write_text("set ssl:verify-certificate no\n")
    assert cli.call(["verify", *QUICK, "--json", "out.json"]) == 1
    data = json.loads((home / "out.json").read_text())
    said = set(re.findall(r"`(\w+)`", REFERENCE.split("### Of verify")[1].split("### Of matrix")[0]))
    assert keys(data) - said <= {"path", "version", "tls", "dialect", "exposed", "accepted", "rejected"}
    assert data["safe"] is False
    assert data["summary"] == {"error": 2, "warning": 0, "note": data["summary"]["note"], "suppressed": 0}
    found = {each["id"]: each for each in data["findings"]}
    assert found["no-verification"]["where"]["line"] == 1
    assert found["no-verification"]["proof"]["to"] == ["impostor"]
    assert found["tls-not-required"]["where"] is None


def keys(data: Any) -> set[str]:
    if isinstance(data, list):
        return set().union(*map(keys, data))
    return set(data).union(*map(keys, data.values())) if isinstance(data, dict) else set()


def test_each_of_several_setups_has_its_own_report(home: Path) -> None:
    (home / "bad").write_text("set ssl:verify-certificate no\n")
    assert cli.call(["verify", "~/.lftp", "bad", *QUICK, "--json", "out.json", "--junit", "x", "--sarif", "y"]) == 1
    data = json.loads((home / "out.json").read_text())
    assert [each["safe"] for each in data["subjects"]] == [True, False]
    suites = ET.fromstring((home / "x").read_text())  # noqa: S314 - we wrote this file
    assert [suite.get("name") for suite in suites] == ["ftps-lab verify .lftp/rc", "ftps-lab verify bad"]
    assert [suite.get("failures") == "0" for suite in suites] == [True, False]
    sarif = json.loads((home / "y").read_text())
    assert validation_errors(sarif) == []
    assert [run["properties"]["safe"] for run in sarif["runs"]] == [True, False]
    (bad,) = (each for each in sarif["runs"][1]["results"] if each["ruleId"] == "no-verification")
    region = bad["locations"][0]["physicalLocation"]["region"]
    assert region["snippet"] == {"text": "set ssl:verify-certificate no"}
    assert (region["startLine"], region["endColumn"]) == (1, 30)


def test_rerun_command_reproduces_the_finding(home: Path) -> None:
    """It also works for a finding that the genuine server alone reveals."""
    (home / ".lftp/rc").write_text("set ftp:ssl-allow no\n")
    assert cli.call(["verify", "--only", "refuse-auth-502", "--json", "out.json"]) == 1
    again = {each["proof"]["again"] for each in json.loads((home / "out.json").read_text())["findings"]}
    assert again == {"ftps-lab verify --only genuine ~/.lftp"}
    for line in again:
        assert cli.call([*shlex.split(line)[1:], "--json", "again.json"]) == 1
        kinds = {each["id"] for each in json.loads((home / "again.json").read_text())["findings"]}
        assert {"login-in-clear", "data-in-clear"} <= kinds


@pytest.mark.long
def test_fail_on_error_exits_0_for_a_warning(home: Path) -> None:
    (home / ".lftp/server.crt").chmod(0o666)
    assert cli.call(["verify", *QUICK, "--fail-on", "error"]) == 1
    (home / ".lftp/server.crt").chmod(0o644)
    with (home / ".lftp/rc").open("a") as rc:
        rc.write("!true\n")
    assert cli.call(["verify", *QUICK]) == 1
    assert cli.call(["verify", *QUICK, "--fail-on", "error"]) == 0


def test_ignored_finding_does_not_fail_the_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".lftp/rc").write_text('set ssl:ca-file "~/.lftp/server.crt"\n')
    (home / "ftps-lab.toml").write_text('[[verify.ignore]]\nid = "tls-not-required"\nreason = "a VPN"\n')
    assert cli.call(["verify", *QUICK]) == 0
    assert "ignored: tls-not-required, because a VPN" in capsys.readouterr().out
    (home / "ftps-lab.toml").write_text(
        '[[verify.ignore]]\nid = "tls-not-required"\nreason = "a VPN"\nuntil = 2020-01-31\n'
    )
    assert cli.call(["verify", *QUICK]) == 1
    (home / "ftps-lab.toml").write_text(
        '[[verify.ignore]]\nid = "tls-not-required"\nhost = "other.example"\nreason = "a VPN"\n'
    )
    assert cli.call(["verify", *QUICK]) == 1


@pytest.mark.long
def test_unused_ignore_entry_is_a_note(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The note says what to do; it is left out if too few trials ran to know."""
    (home / "ftps-lab.toml").write_text('[[verify.ignore]]\nid = "no-verification"\nreason = "old"\n')
    said = (
        "rc-complaint: ftps-lab.toml ignores no-verification, which does not occur in this setup. Delete the "
        "[[verify.ignore]] with id 'no-verification' from ftps-lab.toml, unless another setup needs it."
    )
    assert cli.call(["verify", *QUICK]) == 0
    assert "ftps-lab.toml" not in capsys.readouterr().out
    assert cli.call(["verify", "--json", "out.json"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    [note] = [f for f in json.loads((home / "out.json").read_text())["findings"] if f["id"] == "rc-complaint"]
    assert (note["severity"], note["cure"]) == ("note", said.partition("setup. ")[2])
    (home / "ftps-lab.toml").write_text('[[verify.ignore]]\nid = "pin-expired"\nreason = "old"\n')
    assert cli.call(["verify", *QUICK]) == 0  # no trial reveals it
    assert "ignores pin-expired" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: No such file or directory; name an rc file"),
        (["."], "no file called rc in this folder"),
        (["--only", "impostor-cop"], "Did you mean"),
        (["--explain", "no-verificatio"], "Did you mean"),
        (["--system-rc", "none"], "--system-rc none: No such file or directory"),
        (["--json", "none/out.json"], "the folder"),
    ],
)
@pytest.mark.usefixtures("home")
def test_bad_argument_exits_2_with_the_reason(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.call(["verify", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[verify.ignore]\n", "is not TOML: line 1"),
        ("x = " + "[" * 100_000, "its brackets are nested too deeply"),
        ('[[verify.ignore]]\nid = "no"\nreason = "x"\n', "id must be a finding id"),
        ('[[verify.ignore]]\nid = "no-verification"\n', "reason must not be empty"),
        ('[[verify.ignore]]\nid = "no-verification"\nreason = "x"\nuntil = "soon"\n', "until must be a date"),
        ('[[verify.ignore]]\nid = "no-verification"\nreason = "x"\nhosts = "x"\n', "unknown key 'hosts'"),
        ("[verify]\nignored = 1\n", "it takes only [[verify.ignore]]"),
    ],
)
def test_bad_ftps_lab_toml_exits_2_with_the_reason(
    home: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "ftps-lab.toml").write_text(text)
    assert cli.call(["verify", *QUICK]) == 2
    assert said in capsys.readouterr().err
