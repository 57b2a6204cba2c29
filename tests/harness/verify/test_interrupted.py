"""`ftps-lab verify` that a signal ends: reports of what finished, and no setup is safe by not having been tried."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from tests.waiting import running, started, until

from ftps_harness.verify.pins import self_signed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("sealed_here")]

VERIFY = (sys.executable, "-m", "ftps_harness", "verify")
REPORTS = ("--json", "v.json", "--junit", "v.xml", "--sarif", "v.sarif", "--markdown", "v.text", "--html", "v.html")
NUMBER = 500 + os.getpid() % 1000
MARK = f"sleep {NUMBER}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a safe rc and one with which every session hangs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.crt").write_bytes(self_signed("backup.example").pem)
    pinned = f'set ssl:ca-file "{tmp_path}/server.crt"\nset ftp:ssl-force yes\nset ftp:ssl-protect-data yes\n'
    (tmp_path / "safe").write_text(pinned + "set ftp:ssl-allow-anonymous yes\n")
    (tmp_path / "hang").write_text(f"exec {MARK}\n")
    (tmp_path / "hangs").write_text(pinned + f"alias ls '!{MARK}'\n")
    return tmp_path


def test_ctrl_c_writes_what_finished_and_calls_nothing_else_safe(folder: Path) -> None:
    command = (*VERIFY, "--timeout", "400", *REPORTS, "safe", "hangs")
    with started(*command, env={**os.environ, "COLUMNS": "80"}) as process:
        until(lambda: running(MARK), 60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    data = json.loads((folder / "v.json").read_text())
    first, second = data["subjects"]
    assert (data["interrupted"], first["safe"], second["safe"]) == (True, True, False)
    assert second["undecided"] == ["interrupted before every trial was run; verify it again"]
    junit = ET.fromstring((folder / "v.xml").read_text())  # noqa: S314 - our own file
    assert [suite.get("errors") != "0" for suite in junit] == [False, True]
    runs = json.loads((folder / "v.sarif").read_text())["runs"]
    assert [run["invocations"][0]["executionSuccessful"] for run in runs] == [True, False]
    assert "is undecided" in (folder / "v.text").read_text()
    assert "<title>ftps-lab verify: SAFE" not in (folder / "v.html").read_text()


def test_ctrl_c_leaves_no_password_of_a_command_in_a_report(folder: Path) -> None:
    """The passwords of a command are known only once it has run."""
    commands = f"set ssl:ca-file {folder}/server.crt; open -u me,sunflower7 backup.example; ls; !sh {folder}/hang"
    script = f"lftp -c '{commands}'"
    with started(*VERIFY, "--timeout", "400", *REPORTS, "--", "/bin/sh", "-c", script) as process:
        until(lambda: running(MARK), 60)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    data = json.loads((folder / "v.json").read_text())
    assert (data["safe"], data["subject"]) == (False, {"command": "/bin/sh …"})
    for name in REPORTS[1::2]:
        assert "sunflower7" not in (folder / name).read_text()
