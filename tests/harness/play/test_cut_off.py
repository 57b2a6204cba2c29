"""Truncated evidence, hidden content and other clients' connections put a step in doubt."""

from __future__ import annotations

import ftplib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.play.sabotage import (
    ACCEPTED,
    EXPOSED,
    NO_CONTROL,
    ONLY_LIST,
    REJECTED,
    PlaceWith,
    contradictions,
    verdict,
)

from ftps_harness.client.lftp import session
from ftps_harness.client.messages import connects
from ftps_harness.report.account import attempt_sections
from ftps_harness.sandbox import process
from ftps_harness.verdict.hiding import may_hide
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from tests.harness.conftest import Play

STRANGER = 'certificate = "genuine"\ndata_certificate = "stranger"\ntls = ["1.3"]\n'


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_beyond_the_limit_makes_a_step_inconclusive(
    play: Play, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    monkeypatch.setattr(process, "OUTPUT_LIMIT", 1 << 16)
    to = {"stdout": "", "stderr": " >&2"}[stream]
    run = f'run = ["!head -c 70000 /dev/zero{to}", "list"]'
    result = play(play.step(ACCEPTED, keys=run + NO_CONTROL))
    assert verdict(result) == "inconclusive"
    assert "the rest was discarded" in contradictions(result)


def test_log_beyond_the_limit_makes_a_step_inconclusive(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOG_LIMIT", 256)
    result = play(play.step(ACCEPTED, keys=ONLY_LIST + NO_CONTROL))
    assert verdict(result) == "inconclusive"
    assert "debug log is over" in contradictions(result)


def test_truncated_log_leaves_an_exposure_proved(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOG_LIMIT", 256)
    rc = "set ssl:verify-certificate no\n"
    result = play(play.step(EXPOSED, rc=rc, keys=ONLY_LIST), server='role = "impostor"\n')
    assert result.status == "pass", result.steps[0].why


HOME = Path("/lab/x")
HIDING = [
    "ls > /tmp/x",
    "get x -o /dev/shm/x",
    "cat x | gzip > x.gz",
    "!mv x /tmp",
    "lcd /tmp; get x",
    "get x -o ../../../tmp/x",
    "ls >> ~root/x",
    "shell cp x y",
    "alias ls 'ls > /tmp/x;'",
    "set xfer:log-file /tmp/x",
    "mirror tree /var/tmp",
    "get x -o file:/tmp/x",
    "get x -o file:///tmp/x",
    "source -e x",
    "command sour -e 'cat x'",
    ". -e x",
]


@pytest.mark.parametrize("text", HIDING)
def test_command_that_may_hide_content_is_recognised(text: str) -> None:
    assert may_hide([text], HOME)


@pytest.mark.parametrize(
    "text",
    [
        "ls",
        "get x -o /lab/x/downloads/x",
        "ls > ~/x",
        "set ssl:ca-file /etc/ssl/certs/ca.crt",
        "# ls > /tmp/x",
        "cd tree",
        "source x",
        "mirror -e source target",
    ],
)
def test_command_that_hides_nothing_is_recognised(text: str) -> None:
    assert not may_hide([text], HOME)


@pytest.mark.parametrize(
    "text",
    ["ls > /dev/null", "source /proc/net/tcp", "lcd /proc; source net/tcp", "lcd ../../../sys", "open file:/tmp"],
)
def test_command_that_reads_from_the_kernel_is_recognised_in_a_sandbox(text: str) -> None:
    """What it finds there can differ from run to run, so the step runs again after its control."""
    assert may_hide([text], None)


@pytest.mark.parametrize("text", ["ls > /tmp/x", "cd proc/sys", "cd ../dev-tools", "get /procedure", "cd /; ls"])
def test_command_that_stays_in_a_sandbox_is_recognised(text: str) -> None:
    assert not may_hide([text], None)


@pytest.mark.parametrize("command", ["ls > /tmp/ftps-lab-test-x", "cls | cat > /dev/null"])
def test_refused_listing_redirected_outside_home_is_inconclusive(play: Play, command: str) -> None:
    result = play(play.step(REJECTED, keys=f'run = ["{command}"]{NO_CONTROL}'), server=STRANGER)
    assert verdict(result) == "inconclusive"
    assert "where the lab does not look" in contradictions(result)


def test_refused_listing_redirected_into_home_is_rejected(play: Play) -> None:
    result = play(play.step(REJECTED, keys=f'run = ["ls > ~/x"]{NO_CONTROL}'), server=STRANGER)
    assert (verdict(result), contradictions(result)) == ("rejected", "")


def test_ports_are_read_from_the_debug_log() -> None:
    log = (
        b"[7] ---- Resolving host address...\n[7] ---- Connecting to localhost (127.0.0.1) port 2121\n"
        b"[7] ---- Connecting data socket to (127.0.0.1) port 3000\n[7] <--- 220 x\n"
        b"[7] ---- Connecting to proxy p (127.0.0.1) port 8080\n[7] ---- Connecting to ::1 (::1) port 21\n"
    )
    assert connects(log) == (2121, 8080, 21)


class Visited(FtpsServer):
    """Another client uses the server while lftp does: it logs in anonymously and lists in clear."""

    def record(self) -> None:
        super().record()
        with ftplib.FTP() as visitor:  # it must be readable
            visitor.connect("127.0.0.1", self.port, timeout=10)
            visitor.login("anonymous", "visitor@")
            visitor.retrlines("LIST", lambda line: None)

    def testimony(self) -> Any:
        found = super().testimony()
        return found if found.handshakes else type(found)(found.role)  # as if the visitor came while lftp ran


def test_session_of_another_client_is_a_contradiction(play: Play) -> None:
    """On this machine's loopback, any program can connect to the lab's server."""
    result = play(play.step(EXPOSED, keys=ONLY_LIST + NO_CONTROL), place=PlaceWith(Visited))
    assert result.status == "error"
    assert "2 control connections, but lftp's debug log has only 1" in contradictions(result)


def test_start_up_files_beside_the_rc_are_in_the_evidence(play: Play) -> None:
    files = 'files = { "mycert.crt" = "cert:genuine", "cwd/.lftprc" = "text:set ssl:ca-file ~/.lftp/mycert.crt" }'
    step = play.step(ACCEPTED, rc="", keys=ONLY_LIST + NO_CONTROL)
    (attempt,) = play(step.replace('files = { "mycert.crt" = "cert:genuine" }', files)).steps[0].attempts
    assert attempt.outcome.verdict == "accepted"
    assert attempt.start_up == {"~/.lftprc": b"set ssl:ca-file ~/.lftp/mycert.crt"}
    shown = {section.heading: section.lines for section in attempt_sections(attempt)}
    assert shown["~/.lftprc, which lftp also reads"] == ("set ssl:ca-file ~/.lftp/mycert.crt",)
