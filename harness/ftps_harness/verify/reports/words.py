"""The result of a verification in words, shared by all reports. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ftps_harness.report.plain import counts_words, harmless, plural, verdict_words

if TYPE_CHECKING:
    from ftps_harness.verify.base import Report
    from ftps_harness.verify.findings import Proof
    from ftps_harness.verify.judge import Tried


class Answer(NamedTuple):
    """The first line of a report, and the kind of answer."""

    text: str
    state: Literal["safe", "error", "warning", "undecided"]


def answer(report: Report) -> Answer:
    """Whether the setup is safe; if not, the worst problem."""
    errors, warnings = report.count("error"), report.count("warning")
    if errors or warnings:
        counts = " and ".join(plural(n, what) for n, what in ((errors, "error"), (warnings, "warning")) if n)
        worst = next(each for each in report.findings if not each.suppressed)
        return Answer(f"NOT SAFE: {counts}. {worst.title}", "error" if errors else "warning")
    if report.broken:
        return Answer(f"UNDECIDED: {plural(len(report.broken), 'trial')} could not be judged.", "undecided")
    return Answer("SAFE: lftp accepts the genuine server, and no attack that an rc can stop got anything.", "safe")


def setup_facts(report: Report) -> str:
    """The server and the lftp used: ``for ftp.example.com port 21 (explicit FTPS); lftp …``."""
    port = report.login.port or {"explicit": 21, "implicit": 990}[report.login.protocol]
    note = f". Note: {report.note}" if report.note else ""
    return (
        f"for {report.login.host} port {port} ({report.login.protocol} FTPS); lftp {report.lftp.version}, "
        f"{report.lftp.tls}; {len(report.tried)} trials in the {report.place} place{note}"
    )


def proof_words(proof: Proof) -> str:
    """What leaked, and in how many runs: ``impostor-copy: exposed: password to impostor, 1 of 1 runs``."""
    words = verdict_words("exposed", None, proof.exposed, proof.to) if proof.exposed else "nothing was exposed"
    return f"{proof.attack}: {words}, {proof.times} of {proof.of} runs"


def result_words(tried: Tried) -> str:
    """A trial's verdict; for several runs, how often each verdict occurred."""
    if len(tried.outcomes) > 1:
        return counts_words(dict(tried.counts))
    outcome = tried.outcomes[0]
    return harmless(verdict_words(outcome.verdict, outcome.reasons, outcome.exposed, outcome.to))
