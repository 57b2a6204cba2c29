"""Made-up results with chosen content; no lftp runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ftps_harness.client.lftp import Lftp, Run
from ftps_harness.client.messages import Word
from ftps_harness.play.attempt import Attempt
from ftps_harness.play.runner import ControlResult, ScenarioResult, StepResult
from ftps_harness.report.tally import BuildRun
from ftps_harness.scenario import Scenario, parse
from ftps_harness.verdict.judgement import Judgement
from ftps_harness.verdict.observations import ClientAccount, Outcome, WireAccount
from ftps_lab.testimony import (
    Alert,
    Command,
    Connection,
    Credential,
    Handshake,
    Testimony,
    Transfer,
    Wire,
    WireRecord,
)

LFTP = Lftp(Path("/opt/lftp 4.9/lftp"), "4.9.2", "GnuTLS 3.7.9", "status")
HOSTILE = b"ls: \x1b[31mred\x1b[0m \x07\xff \xe2\x80\xae reversed\r\nsecond\n"
"""Escape sequences, a bell, an undecodable byte, a right-to-left override and a carriage return."""

LOG_NOTES = ("gnutls_priority_set_direct(\x1b[31m): invalid", "**** Timeout - reconnecting")

PASSED, FAILED, BROKEN = Judgement("pass"), Judgement("fail", ("it was otherwise",)), Judgement("error", ("it hung",))


def scenario(name: str = "area/case", title: str = "What it shows", steps: int = 1, expect: str = "") -> Scenario:
    """A scenario with some steps, each expecting a refusal or the given expectation."""
    wanted = expect or 'verdict = "rejected"\nreason = ["untrusted", "expired"]'
    head = (
        f'schema = 1\ntitle = "{title}"\nwhy = "Because."\n[certificates.genuine]\n[server]\ncertificate = "genuine"\n'
    )
    body = "".join(f'[[step]]\ntitle = "step {number}"\n[step.expect]\n{wanted}\n' for number in range(1, steps + 1))
    return parse(head + body, f"{name}.scenario.toml", name)


def server_testimony() -> Testimony:
    """One control and one data connection, with one entry of each kind."""
    peer = ("127.0.0.1", 40001)
    return Testimony(
        role="genuine",
        connections=(
            Connection(1, "control", peer, 0.1, greeted=True),
            Connection(2, "data", ("127.0.0.1", 40002), 0.2),
        ),
        handshakes=(
            Handshake(1, True, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "localhost", "AB:CD:EF:01:23"),
            Handshake(2, False, "", "", None, "AB:CD:EF:01:23", "unknown ca"),
        ),
        alerts=(Alert(2, "received", "fatal", "unknown_ca"),),
        commands=(Command(1, "AUTH", "TLS", "clear", 234), Command(1, "USER", "an\x1b[2Jna", "tls")),
        credentials=(Credential(1, "anna", "secret", "tls", accepted=True),),
        transfers=(Transfer(2, 1, "RETR", "file", "download", 3, "00", "clear", "", completed=False),),
    )


def attempt(verdict: Any = "rejected", *, contradictions: tuple[str, ...] = (), **run: Any) -> Attempt:
    """One run of lftp."""
    reasons = frozenset({"untrusted", "expired"}) if verdict == "rejected" else frozenset()
    leaked = frozenset({"password"}) if verdict == "exposed" else frozenset()
    words = (Word("ls: Fatal error: no", reasons, "reason"),)
    return Attempt(
        outcome=Outcome(verdict, reasons, leaked, frozenset({"wire"}) if leaked else leaked, "no", contradictions),
        run=Run(
            **{
                "argv": ("/usr/bin/lftp", "-c", "open x\nls"),
                "exit_code": 1,
                "signal": None,
                "timed_out": False,
                "seconds": 0.25,
                "stdout": b"",
                "stderr": HOSTILE,
                "log": b"".join(b"[7] line %d\n" % number for number in range(30)),
                **run,
            }
        ),
        rc="set ssl:ca-file x\n",
        client=ClientAccount(1, None, timed_out=False, words=words, notes=("a note",), tasks=(), log_notes=LOG_NOTES),
        testimony=server_testimony(),
        wire=Wire((WireRecord("control", ("127.0.0.1", 40001), b"to server", b"to client!"),)),
        exposure=WireAccount((("control", 40001),), password=False, payload=True),
    )


def step(
    of: Scenario,
    judgement: Judgement = PASSED,
    *attempts: Attempt,
    control: ControlResult | None = None,
    number: int = 0,
) -> StepResult:
    """One step."""
    return StepResult(
        of.steps[number].title, of.steps[number].expect, attempts or (attempt(),), judgement, control, 0.5
    )


def result(status: Any = "pass", name: str = "area/case", **more: Any) -> ScenarioResult:
    """One scenario with one step."""
    of = scenario(name)
    judgement = {"fail": FAILED, "error": BROKEN}.get(status, PASSED)
    shown = {"fail": "accepted", "error": "hung"}.get(status, "rejected")
    steps = () if status == "skip" else (step(of, judgement, attempt(shown)),)
    return ScenarioResult(of, status, **{"steps": steps, "seconds": 1.25, **more})


def run(*results: ScenarioResult, **more: Any) -> BuildRun:
    """A run with one build."""
    return BuildRun(LFTP, results, **{"total": len(results), "seconds": 2.0, **more})
