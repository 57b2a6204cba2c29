"""Turns the outcomes of trials into findings. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ftps_harness.verify.findings import Proof, finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ftps_harness.play.recording import Recording
    from ftps_harness.scenario import Verdict
    from ftps_harness.verdict.observations import Outcome
    from ftps_harness.verify.findings import Finding, Where
    from ftps_harness.verify.trials import Trial

UNDECIDED: frozenset[Verdict] = frozenset({"inconclusive", "hung", "crashed"})
"""Verdicts that cannot rule out that something leaked."""


IMPLIED: dict[str, tuple[str, ...]] = {
    # In clear text anyone gets the password, whatever certificate they show and whether or not they attack TLS.
    "login-in-clear": ("no-verification", "tls-not-required", "password-before-verification", "prot-refused"),
    # Without verification, neither names nor dates are ever checked.
    "no-verification": ("wrong-name-accepted", "expired-accepted", "upload-before-verification", "tls12-data"),
    "data-in-clear": ("prot-refused",),
}
"""Finding → the findings that it already implies, which are left out."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial and the outcomes of its runs.

    Attributes:
        outcomes: The outcome of each run.
        words: lftp's message in the first run.
        elsewhere: Other destinations of the runs, a phrase each.
        clears_control: lftp asked to end TLS on the control channel (CCC, RFC 4217 section 12.2).
        recording: What the witnesses recorded of the run that proves most: the first that exposed something, else the
            first; None if no run was recorded, or if it is too long to keep.
    """

    trial: Trial
    outcomes: tuple[Outcome, ...]
    words: str = ""
    elsewhere: tuple[str, ...] = ()
    clears_control: bool = False
    recording: Recording | None = None

    @property
    def proof(self) -> int:
        """The number of the run that proves most, from 1."""
        return next((number for number, each in enumerate(self.outcomes, 1) if each.exposed), 1)

    def keeping(self, recordings: Sequence[Recording]) -> Tried:
        """The same with the recording of the run that proves most, unless that is too long to keep.

        Args:
            recordings: One for each run.
        """
        kept = recordings[self.proof - 1]
        return self if kept.is_long else replace(self, recording=kept)

    @property
    def exposed(self) -> frozenset[str]:
        """Everything that any run exposed."""
        return frozenset().union(*(outcome.exposed for outcome in self.outcomes))

    @property
    def to(self) -> frozenset[str]:
        """The receivers of what was exposed."""
        return frozenset().union(*(outcome.to for outcome in self.outcomes))

    @property
    def times(self) -> int:
        """The number of runs that exposed something."""
        return sum(bool(outcome.exposed) for outcome in self.outcomes)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the runs: exposures first, then verdicts that prove nothing, then the rest."""
        verdicts = [outcome.verdict for outcome in self.outcomes]
        return next((v for v in ("exposed", *UNDECIDED) if v in verdicts), verdicts[0])

    @property
    def counts(self) -> Mapping[str, int]:
        """Verdict → the number of runs with it."""
        counts: dict[str, int] = {}
        for outcome in self.outcomes:
            counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
        return counts

    @property
    def refused(self) -> bool:
        """Whether lftp reports a refusal; if runs exposed something, only those count."""
        outcomes = [outcome for outcome in self.outcomes if outcome.exposed] or self.outcomes
        return any(outcome.reasons for outcome in outcomes)


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that findings are derived from.

    Attributes:
        tried: Every trial, the genuine server's first.
        subject: The argument of `ftps-lab verify` that repeats the verification.
        anonymous: The setup logs in anonymously.
        responsible: Finding id → the line that is responsible for it.
        by_itself: Destinations that lftp connects to on mere startup, a phrase each.
        command: The subject is a command: it may hide its output, and it decides what to transfer.
    """

    tried: Sequence[Tried]
    subject: str
    anonymous: bool = False
    responsible: Mapping[str, Where] = field(default_factory=dict)
    by_itself: frozenset[str] = frozenset()
    command: bool = False

    @property
    def genuine(self) -> Tried:
        """The trial with the genuine server."""
        return next(each for each in self.tried if each.trial.kind == "genuine")

    def made(self, kind: str, tried: Tried, detail: str = "", *, severity: str | None = None) -> Finding:
        """Make a finding that a trial proves."""
        proof = Proof(
            attack=tried.trial.name,
            exposed=tuple(sorted(tried.exposed)),
            to=tuple(sorted(tried.to)),
            times=tried.times,
            of=len(tried.outcomes),
            again=f"ftps-lab verify --only {tried.trial.name} {self.subject}",
        )
        return finding(
            kind,
            detail,
            severity=severity,  # type: ignore[arg-type]  # one of `SEVERITIES`
            where=self.responsible.get(kind),
            proof=proof,
        )


def findings_of(case: Case) -> list[Finding]:
    """Return the findings that the trials show, each kind once, in the order of the trials."""
    found: dict[str, Finding] = {}
    for rule in (_genuine, _control, _elsewhere, _impostors, _stripping, _data, _anonymous):
        for each in rule(case):
            found.setdefault(each.id, each)
    clear = {"anonymous-in-clear": IMPLIED["login-in-clear"]} if case.anonymous else {}
    for kind, implied in (IMPLIED | clear).items():
        if kind in found:
            found = {each: record for each, record in found.items() if each not in implied}
    return list(found.values())


def undecided(tried: Iterable[Tried]) -> list[Tried]:
    """Return the trials that cannot rule out that something leaked."""
    return [each for each in tried if each.verdict in UNDECIDED]


def _genuine(case: Case) -> Iterator[Finding]:
    genuine = case.genuine
    if genuine.verdict == "exposed":
        if "password" in genuine.exposed:
            yield case.made("login-in-clear", genuine)
        if "payload" in genuine.exposed and case.anonymous:
            yield case.made("anonymous-in-clear", genuine, severity="error")
        elif "payload" in genuine.exposed:
            yield case.made("data-in-clear", genuine)
    elif genuine.verdict == "rejected":
        yield case.made("genuine-refused", genuine, _said(genuine))
    elif genuine.verdict != "accepted":
        yield case.made("nothing-proved", genuine, _said(genuine))


def _control(case: Case) -> Iterator[Finding]:
    if case.genuine.clears_control:
        yield finding("control-in-clear", where=case.responsible.get("control-in-clear"))


def _elsewhere(case: Case) -> Iterator[Finding]:
    """Report other destinations of the session; those of lftp's startup are a separate finding."""
    for each in case.tried:
        if led := [phrase for phrase in each.elsewhere if phrase not in case.by_itself]:
            yield case.made("leads-elsewhere", each, f"Other destinations: {', '.join(led[:3])}.")
            return


def _said(tried: Tried) -> str:
    words = " ".join(tried.words.split())
    return f"lftp says: {words[:300]}" if words else f"The verdict of the run is {tried.outcomes[0].verdict}."


def _of(case: Case, *kinds: str) -> Iterator[Tried]:
    return (each for each in case.tried if each.trial.kind in kinds and each.verdict == "exposed")


def _impostors(case: Case) -> Iterator[Finding]:
    """If lftp refused an impostor that still got something, it sent that before it checked the certificate."""
    for each in sorted(_of(case, "impostor"), key=lambda tried: tried.refused):
        if not each.refused:
            yield case.made("no-verification", each)
        elif "password" in each.exposed and "payload" in each.exposed:
            yield case.made("no-verification", each)  # the refusal was on another connection
        elif "password" in each.exposed:
            yield case.made("password-before-verification", each)
        else:
            yield case.made("upload-before-verification", each)
    for each in _of(case, "name"):
        yield case.made("wrong-name-accepted", each)
    for each in case.tried:
        if each.trial.kind == "expired" and each.verdict in {"accepted", "exposed"}:
            yield case.made("expired-accepted", each)


def _stripping(case: Case) -> Iterator[Finding]:
    for each in _of(case, "strip"):
        if "password" in each.exposed:
            yield case.made("tls-not-required", each)
    for each in _of(case, "prot"):
        yield case.made("prot-refused", each)


def _data(case: Case) -> Iterator[Finding]:
    for each in _of(case, "data"):
        if each.refused or case.command or "put" in each.trial.run:
            yield case.made("upload-before-verification", each)
        else:
            yield case.made("no-verification", each)
    for each in _of(case, "data-1.2"):
        yield case.made("tls12-data", each)


def _anonymous(case: Case) -> Iterator[Finding]:
    for each in _of(case, "anonymous"):
        yield case.made("anonymous-in-clear", each, severity="error" if case.anonymous else None)
