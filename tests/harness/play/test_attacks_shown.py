"""What the lab shows about attackers: JSON, kept evidence, `show`, and `serve` for a learner."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness import cli
from ftps_harness.report.plain import cells
from ftps_harness.report.showing import attack_words
from ftps_harness.scenario import catalogue, load
from ftps_harness.scenario.model import Server
from ftps_lab.attackers import ATTACKS

if TYPE_CHECKING:
    from ftps_harness.scenario.tables import Attack

ROOT = Path(__file__).parents[3]
CATALOGUE = {name: load(path) for name, path in catalogue(ROOT / "scenarios" / "attack").items()}

lftp_runs = pytest.mark.lftp


@lftp_runs
def test_reports_hold_the_captured_bytes_and_both_testimonies(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON and the kept evidence have what the attacker captured and what the genuine server behind it saw."""
    call = ["run", "attack/pinned-the-interceptor", "--no-controls", "--json", "all.json", "--keep", "kept"]
    assert cli.call(call) == 0
    assert "side by side" not in capsys.readouterr().out
    first, second, *_ = json.loads((workplace / "all.json").read_text())["results"][0]["steps"]
    testimony = first["witnesses"]["server"]
    assert (testimony["role"], testimony["behind"]["role"]) == ("impostor", "genuine")
    assert {(c["attack"], c["attack_effect"]) for c in testimony["connections"] if c["kind"] == "control"} == {
        ("intercept",) * 2
    }
    assert testimony["behind"]["behind"] is None
    assert second["witnesses"]["server"]["behind"] is None
    assert {transfer["captured"] for transfer in testimony["behind"]["transfers"]} == {""}
    kept = workplace / "kept/attack/pinned-the-interceptor/1"
    for transfer in testimony["transfers"]:
        path = kept / f"captured/{transfer['connection']:02}-{transfer['verb']}.bin"
        assert transfer["captured"]
        assert path.read_bytes().decode() == transfer["captured"]
        assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads((kept / "testimony.json").read_text()) == testimony
    assert not (kept.parent / "2/captured").exists()


WORDS = {
    "intercept": "an interceptor terminates TLS in its place and shows a copy of genuine",
    "strip-auth": "denies TLS with 502",
    "refuse-auth": "refuses AUTH with 502",
    "drop-at-auth": "cuts the connection at AUTH",
    "break-handshake": "answers the ClientHello by sending a fatal alert",
    "inject-before-tls": "adds forged replies in clear before TLS begins",
    "refuse-prot": "PROT is refused with 502",
    "clear-data": "answers data connections in clear",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_described_in_words(attack: Attack) -> None:
    assert WORDS[attack] in attack_words(Server(certificate="genuine", attack=attack))


@pytest.mark.parametrize("name", CATALOGUE)
def test_show_describes_each_attack_in_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["show", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if cells(line) > 80] == []
    text = " ".join(" ".join(lines).split())
    for step in CATALOGUE[name].steps:
        assert " ".join(attack_words(step.server).split()) in text


def start_serve(name: str, step: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ftps_harness", "serve", name, "--step", str(step)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def read_until_ready(process: subprocess.Popen[str]) -> str:
    """Everything that a learner reads before the server waits."""
    assert process.stdout is not None
    text = ""
    while "Ctrl-C ends it." not in text:
        line = process.stdout.readline()
        assert line, text
        text += line
    return text


@lftp_runs
def test_commands_printed_by_serve_work_through_the_interceptor(workplace: Path) -> None:
    """At the end it prints both testimonies."""
    with start_serve("attack/intercept-copy", 2) as process:
        text = read_until_ready(process)
        assert "an interceptor terminates TLS in its place" in " ".join(text.split())
        command = text.partition("In another terminal, type:\n")[2].partition("The same, shorter")[0]
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "file-" in done.stdout
        process.send_signal(signal.SIGINT)
        printed, complaint = process.communicate(timeout=20)
    assert (process.returncode, complaint) == (0, "")
    attacker, _, genuine = printed.partition("What the genuine server behind the attacker saw:")
    password = re.findall(r"^  password +(\S+)$", text, re.MULTILINE)[0]
    for account in (attacker, genuine):
        assert re.search(rf"login accepted: \S+, {password}", account)
    assert "of them kept by the attacker" in attacker
    assert "of them kept by the attacker" not in genuine


@pytest.mark.parametrize(
    ("name", "fetched"),
    [("attack/strip-auth", False), ("attack/break-handshake-text", False), ("attack/clear-data", True)],
)
def test_serve_suggests_s_client_only_if_it_can_fetch(workplace: Path, name: str, fetched: bool) -> None:
    with start_serve(name, 1) as process:
        assert ("openssl s_client" in read_until_ready(process)) is fetched
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[1] == ""
