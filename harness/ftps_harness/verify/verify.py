"""Verify one setup: copy it, put the lab's certificates into it, try everything, and say what was found."""

from __future__ import annotations

import contextlib
import queue
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ftps_harness.errors import sentence
from ftps_harness.verify import config, files, pins
from ftps_harness.verify.findings import SEVERITIES, Finding, at_least, finding
from ftps_harness.verify.judge import Case, Tried, findings_of, undecided
from ftps_harness.verify.lines import Lines
from ftps_harness.verify.stage import Login, Stage, closures, home_path
from ftps_harness.verify.subject import read_outside
from ftps_harness.verify.trials import GENUINE, TRIALS, Genuine, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_harness.verify.config import Ignore
    from ftps_harness.verify.findings import Severity
    from ftps_harness.verify.pins import PinFile, Replacements
    from ftps_harness.verify.stage import Settings
    from ftps_harness.verify.subject import File, Subject
    from ftps_lab.interface import ServerSpec

HOST = "ftp.example.com"
"""The server's name where neither the setup nor the user names one."""

_DECISIVE = {
    "ssl:ca-file": "",
    "ssl:verify-certificate": "",
    "ssl:check-hostname": "",
    "ftp:ssl-force": "",
    "ftp:ssl-allow": "",
    "ftp:ssl-protect-data": "",
    "ftp:ssl-protect-list": "",
    "ftp:ssl-allow-anonymous": "",
    "ftp:proxy": "",
    "dns:name": "",
}


@dataclass(frozen=True, slots=True)
class Options:
    """How to verify.

    Attributes:
        host: The server's name; None to take it from the setup.
        protocol: ``explicit`` or ``implicit``.
        port: 0 for the protocol's own.
        user: ``anonymous``, a name, or None for one that the lab makes up.
        system_rc: The content of the system's rc that lftp is to read; None for none.
        warn_days: How many days before its end a pinned certificate counts as expiring.
        timeout: Seconds that one lftp may take.
        only: Trials to run beside the genuine server's; empty for all.
        ignores: Findings that count for nothing.
    """

    host: str | None = None
    protocol: Literal["explicit", "implicit"] = "explicit"
    port: int = 0
    user: str | None = None
    system_rc: bytes | None = None
    warn_days: int = 30
    timeout: float = 30.0
    only: frozenset[str] = frozenset()
    ignores: tuple[Ignore, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What came of verifying one setup.

    Attributes:
        broken: Why a trial could not be judged, a sentence each: then nobody may say that the setup is safe.
    """

    subject: Subject
    login: Login
    lftp: Lftp
    findings: tuple[Finding, ...]
    tried: tuple[Tried, ...]
    broken: tuple[str, ...] = ()
    place: str = "sealed"

    @property
    def safe(self) -> bool:
        """No error and no warning, and everything could be judged."""
        return not self.broken and not self.fails("warning")

    @property
    def summary(self) -> dict[str, int]:
        """How many findings of each severity there are, and how many are suppressed."""
        suppressed = sum(each.suppressed is not None for each in self.findings)
        return {**{severity: self.count(severity) for severity in SEVERITIES}, "suppressed": suppressed}

    def count(self, severity: Severity) -> int:
        """How many findings are that bad; suppressed ones count for nothing."""
        return sum(each.severity == severity and not each.suppressed for each in self.findings)

    def fails(self, limit: Severity) -> bool:
        """Whether there is a finding that is as bad as a limit, or worse."""
        return any(at_least(each.severity, limit) and not each.suppressed for each in self.findings)


@dataclass(frozen=True, slots=True)
class Done:
    """One trial's result, as the pool takes it."""

    trial: Trial
    tried: Tried | None = None
    why: str = ""
    status: str = field(default="pass")


class Verification:
    """One subject that is being verified. A context manager; whoever makes it ends it.

    Args:
        subject: What the user named.
        client: The lftp of this machine.
        places: Where the copies live.
        options: How.

    Raises:
        HarnessError: lftp cannot be started with the setup, or prints no settings.
    """

    def __init__(self, subject: Subject, client: Lftp, places: SealedPlaces, options: Options) -> None:
        self._given = subject
        self._client = client
        self._places = places
        self._options = options
        self._stages: queue.SimpleQueue[Stage] = queue.SimpleQueue()
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self._first = self._new_stage(subject)
            self._settings = self._first.settings(set(_DECISIVE))
            self._subject = self._with_outside(subject)
            self._pin_files = tuple(_pins_of(self._subject, self._settings))
            self.login = self._login()
            self._replacements = self._replaced()
            self._first.write(self._subject)
            self._genuine, self._accepted = self._choose()
            self._specs = self._servers()
            self._stages.put(self._first)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def trials(self) -> list[Trial]:
        """What is left to be tried, after the genuine server."""
        return list(self._specs)

    def _servers(self) -> dict[Trial, ServerSpec]:
        """The server of each trial that has a sense for this setup."""
        fit = (trial for trial in TRIALS if not (trial.explicit and self._options.protocol == "implicit"))
        wanted = (trial for trial in fit if not self._options.only or trial.name in self._options.only)
        made = {trial: trial.server(self._genuine) for trial in wanted}
        return {trial: spec for trial, spec in made.items() if spec is not None}

    def play(self, trial: Trial) -> Done:
        """Run one trial; what breaks is told in its result."""
        try:
            with self._stage() as stage:
                return Done(trial, self._try(stage, trial))
        except Exception as error:  # noqa: BLE001 - whatever breaks belongs to this trial alone
            return Done(trial, why=f"{trial.name}: {sentence(error)}")

    def report(self, done: Sequence[Done]) -> Report:
        """What everything comes to."""
        tried = (self._accepted, *(each.tried for each in done if each.tried is not None))
        broken = [each.why for each in done if each.why]
        broken += [
            f"{each.trial.name}: {each.verdict}; {'; '.join(each.outcomes[0].contradictions) or 'no verdict'}"
            for each in undecided(tried)
        ]
        by_itself, at_start = self._start()
        case = Case(
            tried,
            f"ftps-lab verify {self._given.given}",
            anonymous=self._options.user == "anonymous",
            by_itself=frozenset(by_itself),
        )
        found = [each.id for each in findings_of(case)]
        with self._stage() as stage:
            stage.write(self._given)
            responsible = Lines(stage.client, stage.home, self._given.rc_file).responsible(found)
        findings = [*findings_of(replace(case, responsible=responsible)), *self._of_files(), *at_start]
        findings = config.suppressed(_sorted(findings), self._options.ignores, self.login.host)
        return Report(self._given, self.login, self._client, tuple(findings), tuple(tried), tuple(broken))

    def _new_stage(self, subject: Subject) -> Stage:
        place = self._stack.enter_context(self._places.lend())
        place.write_system_rc(self._options.system_rc or b"")
        return self._stack.enter_context(Stage(place, self._client, subject, self._options.timeout, self._options.user))

    @contextlib.contextmanager
    def _stage(self) -> Iterator[Stage]:
        """A stage that nobody else uses; another is made where none is idle."""
        try:
            stage = self._stages.get_nowait()
        except queue.Empty:
            stage = self._new_stage(self._subject)
        yield stage
        self._stages.put(stage)

    def _with_outside(self, subject: Subject) -> Subject:
        """The subject with the pin files that it names outside of HOME."""
        outside = {}
        for value in self._settings.get("ssl:ca-file", {}).values():
            path = home_path(value, subject.real_home, subject.real_home)
            if value and not path.is_relative_to(subject.real_home) and not _is_system_store(path):
                file = read_outside(path)
                if file is not None:
                    outside[str(path)] = file
        return replace(subject, outside=outside)

    def _login(self) -> Login:
        options = self._options
        return Login(options.host or self._host_of_setup(), options.protocol, options.port, options.user)

    def _host_of_setup(self) -> str:
        """The host that the setup is for: one that a setting names, else one that a pin names."""
        named = sorted(c for c in closures(self._settings, _DECISIVE) if _is_host(c))
        pinned = [name for _, pin in self._pin_files for c in pin.certificates for name in pins.names_of(c)]
        return next(iter((*named, *filter(_is_host, pinned))), HOST)

    def _replaced(self) -> Replacements:
        """Put the lab's twins and fingerprints into the copy."""
        originals = [c for _, pin in self._pin_files for c in pin.certificates]
        made = pins.Replacements(tuple(dict.fromkeys(originals)))

        def changed(file: File) -> File:
            data = made.in_certificates(file.data)
            return replace(file, data=made.in_text(data, lambda: pins.self_signed(self.login.host)))

        self._subject = replace(
            self._subject,
            files={name: changed(file) for name, file in self._subject.files.items()},
            outside={path: changed(file) for path, file in self._subject.outside.items()},
        )
        return made

    def _candidates(self) -> Iterator[Genuine]:
        """Servers that the setup may be for, the likeliest first."""
        host = self.login.host
        certificates = [(c, self._replacements.twins[pins.der(c)]) for _, p in self._pin_files for c in p.certificates]
        leaves = [(c, twin) for c, twin in certificates if pins.names_of_san(c) or not pins.is_authority(c)]
        for original, twin in sorted(leaves, key=lambda pair: not pins.is_for(pair[0], host)):
            yield Genuine(twin, host, twin.issuer if pins.is_authority(original) else None)
        for certificate in self._replacements.pinned.values():
            yield Genuine(certificate, host)
        for original, twin in certificates:
            if pins.is_authority(original):
                yield Genuine(pins.issued(twin, host), host, twin)
        if self._pins_something:
            yield Genuine(pins.self_signed(host), host)  # what was pinned is not here: it is somebody's own, no doubt
        else:
            authority = self._first.authority
            yield Genuine(pins.issued(authority, host), host, authority)

    @property
    def _pins_something(self) -> bool:
        """Whether the setup means to pin a certificate: by a file, there or not, or by a fingerprint."""
        texts = [file.data.lower() for file in self._given.files.values()]
        return bool(self._replacements.pinned) or any(b"ca-file" in text or b"ca_file" in text for text in texts)

    def _choose(self) -> tuple[Genuine, Tried]:
        """The first server that the setup accepts; where it accepts none, the likeliest."""
        first: tuple[Genuine, Tried] | None = None
        for genuine in self._candidates():
            played = self._first.play(genuine.spec, self.login, GENUINE.run)
            tried = Tried(GENUINE, (played.outcome,), played.words, played.elsewhere)
            if played.outcome.verdict in {"accepted", "exposed"}:
                return genuine, tried
            first = first or (genuine, tried)
        assert first is not None  # the system's store always makes one
        return first

    def _try(self, stage: Stage, trial: Trial) -> Tried:
        user = "anonymous" if trial.anonymous else None
        runs = [stage.play(self._specs[trial], self.login, trial.run, user=user) for _ in range(trial.repeat)]
        elsewhere = tuple(dict.fromkeys(phrase for each in runs for phrase in each.elsewhere))
        return Tried(trial, tuple(each.outcome for each in runs), runs[0].outcome.message, elsewhere)

    def _of_files(self) -> Iterator[Finding]:
        """What the user's own files show."""
        yield from files.of_rc(self._given.rc_file)
        yield from files.of_pins(self._pin_files, self._options.warn_days)
        if self._genuine.authority is not None and self._pin_files:
            yield finding("pin-is-authority")
        if self._given.hidden:
            yield finding("rc-complaint", f"lftp does not read {self._given.given}: there is a folder ~/.lftp.")

    def _start(self) -> tuple[tuple[str, ...], list[Finding]]:
        """Where lftp goes when it only starts, and what the setup does and says then."""
        with self._stage() as stage:
            run = stage.start_only()
            led = stage.own_traffic()
        found = [finding("connects-by-itself", f"It went to: {', '.join(led[:3])}.")] if led else []
        said = run.stderr.decode("utf-8", "replace").strip()
        return led, found + [finding("rc-complaint", f"lftp says: {line[:200]}") for line in said.splitlines()[:10]]


def _pins_of(subject: Subject, settings: Settings) -> Iterator[tuple[File, PinFile]]:
    """The files that `ssl:ca-file` names, and every other file of the setup that holds certificates."""
    home = subject.real_home
    named = {home_path(v, home, home) for v in settings.get("ssl:ca-file", {}).values() if v}
    everything = {home / name: file for name, file in subject.files.items()}
    everything |= {Path(path): file for path, file in subject.outside.items()}
    for path, file in everything.items():
        pin = pins.read(str(file.path), file.data)
        if path in named or pin.certificates:
            yield file, pin


def _is_system_store(path: Path) -> bool:
    from ftps_harness.play.places.sealed import is_store

    return is_store(str(path))


def _is_host(name: str) -> bool:
    return "." in name and "*" not in name and ":" not in name and "@" not in name and " " not in name


def _sorted(findings: Sequence[Finding]) -> list[Finding]:
    """The worst first; each file and line once."""
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(dict.fromkeys(findings), key=lambda each: order[each.severity])


def verify(subject: Subject, client: Lftp, places: SealedPlaces, options: Options) -> Report:
    """Verify one setup, one trial after the other.

    Raises:
        HarnessError: lftp cannot be started with it.
    """
    with Verification(subject, client, places, options) as verification:
        return verification.report([verification.play(trial) for trial in verification.trials])
