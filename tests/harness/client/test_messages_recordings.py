"""The tables against the output of real builds (tests/recordings), and the installed build against its recording."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ftps_harness.client.lftp import find
from ftps_harness.client.messages import entries, words
from ftps_harness.errors import HarnessError

RECORDINGS = Path(__file__).parents[2] / "recordings"
CASES: dict[str, Any] = tomllib.loads((RECORDINGS / "cases.toml").read_text("utf-8"))
FILES = sorted(RECORDINGS.glob("*.json"))


def meaning_of(case: dict[str, Any], dialect: str) -> str:
    """Meaning of lftp's messages in a recorded case, as `says` in cases.toml."""
    if case["signal"] is not None:
        return "crash"
    found: set[str] = set()
    for word in words(case["stderr"].encode(), "\n".join(case["log"]).encode(), dialect):
        found |= word.reasons or {word.kind}
    if case["case"] == "data-impostor":
        found.discard("retries")  # lftp may omit it; the log always has the refusal (docs/lftp.md, "The debug log")
    return " ".join(sorted(found)) or "nothing"


def expected_meanings(name: str, dialect: str) -> list[str]:
    says = CASES[name]["says"]
    return str(says if isinstance(says, str) else says[dialect]).split(" or ")


def recorded_cases() -> list[Any]:
    found = []
    for path in FILES:
        recording = json.loads(path.read_text("utf-8"))
        dialect = recording["lftp"]["dialect"]
        found += [pytest.param(dialect, case, id=f"{path.stem}-{case['case']}") for case in recording["cases"]]
    return found


@pytest.mark.parametrize(("dialect", "case"), recorded_cases())
def test_recorded_messages_have_their_expected_meaning(dialect: str, case: dict[str, Any]) -> None:
    assert meaning_of(case, dialect) in expected_meanings(case["case"], dialect)


def test_every_dialect_has_a_recording_of_every_case() -> None:
    dialects = set()
    for path in FILES:
        recording = json.loads(path.read_text("utf-8"))
        assert [case["case"] for case in recording["cases"]] == list(CASES)
        assert {"version", "tls", "dialect"} == set(recording["lftp"])
        assert recording["recorded"]
        dialects.add(recording["lftp"]["dialect"])
    assert dialects == {"classic", "status", "openssl"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recordings_contain_no_paths_or_secrets(path: Path) -> None:
    text = path.read_text("utf-8")
    for trace in ("/tmp/", "ftps-lab-", "user-", "pass-"):  # noqa: S108
        assert trace not in text


@pytest.mark.lftp
@pytest.mark.parametrize("name", ["no-rc", "wrong-name", "expired-unpinned", "ssl-force-plain", "login-failed"])
def test_installed_lftp_has_the_recorded_meanings(name: str, tmp_path: Path) -> None:
    try:
        lftp = find()
    except HarnessError as missing:
        pytest.skip(str(missing))
    command = [sys.executable, str(RECORDINGS / "record.py"), "--case", name, "--into", str(tmp_path), str(lftp)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    (path,) = tmp_path.iterdir()
    recording = json.loads(path.read_text("utf-8"))
    (case,) = recording["cases"]
    assert meaning_of(case, recording["lftp"]["dialect"]) in expected_meanings(name, recording["lftp"]["dialect"])
    assert entries("\n".join(case["log"]).encode())[0].startswith(b"---- ")
