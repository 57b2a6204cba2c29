"""Made-up reports with chosen content; no lftp runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftps_harness.client.lftp import Lftp
from ftps_harness.verdict.observations import Outcome
from ftps_harness.verify.base import Report
from ftps_harness.verify.findings import Proof, Suppression, Where, finding
from ftps_harness.verify.judge import Tried
from ftps_harness.verify.stage import Login
from ftps_harness.verify.subject import File, Subject
from ftps_harness.verify.trials import GENUINE, TRIALS

if TYPE_CHECKING:
    from ftps_harness.scenario import Verdict
    from ftps_harness.verify.findings import Finding, Severity

LFTP = Lftp(path=Path("/usr/bin/lftp"), version="4.9.2", tls="GnuTLS 3.7.9", dialect="status", locale="C.UTF-8")


def tried(name: str, verdict: Verdict = "rejected", exposed: str = "", to: str = "", times: int = 1) -> Tried:
    """A trial that ended the same way each time."""
    trial = next(each for each in (GENUINE, *TRIALS) if each.name == name)
    outcome = Outcome(verdict, exposed=frozenset(exposed.split()), to=frozenset(to.split()))
    return Tried(trial, (outcome,) * times)


def found(
    kind: str, *, where: Where | None = None, attack: str = "", severity: Severity | None = None, detail: str = ""
) -> Finding:
    """A finding; proved by an attack if one is given."""
    proof = Proof(attack, ("password",), ("impostor",), 1, 1, f"ftps-lab verify --only {attack} rc") if attack else None
    return finding(kind, detail, where=where, proof=proof, severity=severity)


def rc_subject(folder: Path, text: str = "# mine\n  set ssl:verify-certificate no\nset ftp:ssl-force yes\n") -> Subject:
    """An rc in a folder."""
    path = folder / "deploy" / "rc"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    file = File(path, text.encode(), 0o644, 0)
    return Subject(str(path), ".lftp/rc", {".lftp/rc": file}, folder)


def command_subject(folder: Path, *argv: str) -> Subject:
    """A command with a script in the same folder."""
    script = folder / "job.sh"
    script.write_text("#!/bin/sh\nlftp -f x\n")
    return Subject(
        " ".join(argv),
        None,
        {},
        Path("/home/me"),
        argv=argv,
        cwd=folder,
        folders={str(folder): {"job.sh": File(script, script.read_bytes(), 0o755, 0)}},
    )


def report(subject: Subject, findings: tuple[Finding, ...] = (), *trials: Tried, **more: Any) -> Report:
    """A report for backup.example."""
    login = Login("backup.example", "explicit", 0, None)
    return Report(subject, login, LFTP, findings, trials or (tried("genuine", "accepted"),), **more)


def no_verification(subject: Subject, line: int = 2) -> Finding:
    """Finding: verification is off because of a line of the rc."""
    assert subject.rc_file is not None
    where = Where(str(subject.rc_file.path), line, "set ssl:verify-certificate no")
    return found("no-verification", where=where, attack="impostor-copy")


SUPPRESSED = Suppression("the [server](x) is behind a VPN", "2027-01-31")
