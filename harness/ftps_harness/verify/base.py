"""The parts that every verification shares: options, the genuine server, its trials, and a report."""

from __future__ import annotations

import contextlib
import queue
import shlex
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Generic, Literal, Protocol, Self, TypeVar

from ftps_harness.errors import sentence
from ftps_harness.verify import config, discovery, files, masking, pins
from ftps_harness.verify.findings import KINDS, SEVERITIES, Finding, at_least, finding
from ftps_harness.verify.judge import Tried, undecided
from ftps_harness.verify.trials import GENUINE, TRIALS, Genuine, Trial

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import Sealed, SealedPlaces
    from ftps_harness.verify.config import Ignore
    from ftps_harness.verify.findings import Severity
    from ftps_harness.verify.keeping import Keeper
    from ftps_harness.verify.pins import PinFile, Replacements
    from ftps_harness.verify.stage import Keep, Login, Played
    from ftps_harness.verify.subject import File, Subject
    from ftps_harness.verify.unsealed import UnsealedLoopback, UnsealedPlaces
    from ftps_lab.certificates import Certificate
    from ftps_lab.interface import ServerSpec

_SECONDS_AFTER_HANGING = 5.0
"""Time limit of a run once the subject hung with the genuine server: nothing can prove it safe after that."""

HOST = "ftp.example.com"
"""The server's name if neither the setup nor the user gives one."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to verify.

    Attributes:
        host: The server's name; None to take it from the setup.
        protocol: ``explicit`` or ``implicit``.
        port: 0 for the protocol's own.
        user: ``anonymous``, a name, or None for a made-up one.
        system_rc: The content of the system's rc for lftp to read; None for no system rc.
        warn_days: A pinned certificate counts as expiring this many days before it expires.
        timeout: Time limit in seconds for one run of lftp or of the command.
        only: Trials to run besides the genuine server's; empty for all.
        ignores: Findings to ignore.
        keeper: Keeps the files that the runs leave behind; None to discard them.
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
    keeper: Keeper | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of verifying one setup.

    Attributes:
        login: The server that it is for.
        broken: Why trials could not be judged, one sentence each. If not empty, the setup cannot be called safe.
        pinned: The setup pins a certificate, with a certificate file or a fingerprint.
        genuine: The certificate that the lab's genuine server presents; None if unknown.
    """

    subject: Subject
    login: Login
    lftp: Lftp
    findings: tuple[Finding, ...]
    tried: tuple[Tried, ...]
    broken: tuple[str, ...] = ()
    place: str = "sealed"
    pinned: bool = False
    genuine: Certificate | None = None

    @property
    def note(self) -> str:
        """A note for readers about the place; empty if none is needed."""
        if self.place == "sealed":
            return ""
        from ftps_harness.verify.unsealed import unseen

        return f"place {self.place}: {unseen()}"

    @property
    def safe(self) -> bool:
        """Whether every trial was judged, without an error or a warning."""
        return not self.broken and not self.fails("warning")

    @property
    def summary(self) -> dict[str, int]:
        """The number of findings of each severity, and of suppressed ones."""
        suppressed = sum(each.suppressed is not None for each in self.findings)
        return {**{severity: self.count(severity) for severity in SEVERITIES}, "suppressed": suppressed}

    def count(self, severity: Severity) -> int:
        """The number of findings of this severity, without suppressed ones."""
        return sum(each.severity == severity and not each.suppressed for each in self.findings)

    def fails(self, limit: Severity) -> bool:
        """Whether any finding is at least as severe as the limit."""
        return any(at_least(each.severity, limit) and not each.suppressed for each in self.findings)


@dataclass(frozen=True, slots=True)
class Done:
    """One trial's result in the form that the worker pool expects; `why` says what broke."""

    trial: Trial
    tried: Tried | None = None
    why: str = ""
    status: str = field(default="pass")


class Stage(Protocol):
    """A copy of the setup in its own place; `close` removes it.

    Attributes:
        timeout: Time limit of one run, in seconds.
        keep: Called with the files that each run leaves behind.
    """

    timeout: float
    keep: Keep | None

    @property
    def authority(self) -> Certificate:
        """The authority in the system's trust store in this place."""

    def close(self) -> None:
        """Remove the copy and free its place."""


_Stage = TypeVar("_Stage", bound=Stage)


class Verification(Generic[_Stage]):
    """The verification of one subject. A context manager; its creator must exit it.

    Args:
        subject: What the user named.
        client: The lftp of this machine.
        places: Where the copies live.
        options: How to verify it.

    Attributes:
        login: The server that the subject is for.
    """

    login: Login

    def __init__(self, subject: Subject, client: Lftp, places: SealedPlaces | UnsealedPlaces, options: Options) -> None:
        self._given = self._subject = subject
        self._client = client
        self._places = places
        self._options = options
        self._seconds = options.timeout
        self._idle: queue.SimpleQueue[_Stage] = queue.SimpleQueue()
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self._genuine, self._accepted = self._prepare()
            self._specs = self._servers()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _prepare(self) -> tuple[Genuine, Tried]:
        """Put the lab's certificates into a copy and find the genuine server."""
        raise NotImplementedError

    def _new_stage(self, place: Sealed | UnsealedLoopback, subject: Subject) -> _Stage:
        """Make a copy of the subject in a place."""
        raise NotImplementedError

    def _meet(self, stage: _Stage, genuine: Genuine) -> Played:
        """Run the subject against a server that may be its genuine server."""
        raise NotImplementedError

    def _runs(self, stage: _Stage, trial: Trial) -> Iterator[Played]:
        """Run a trial as many times as it requires."""
        raise NotImplementedError

    def _choose(self, stage: _Stage) -> tuple[Genuine, Tried]:
        """Return the first server that the subject accepts, or the likeliest one if it accepts none."""
        stage.keep = self._keep(GENUINE)
        first: tuple[Genuine, Tried] | None = None
        for genuine in self._candidates(stage.authority):
            played = self._meet(stage, genuine)
            clears = discovery.clears_control(played.testimony)
            tried = Tried(GENUINE, (played.outcome,), played.words, played.elsewhere, clears)
            found = genuine, tried.keeping([played.recording])
            if played.outcome.verdict in {"accepted", "exposed"}:
                return found
            first = first or found
            if played.outcome.verdict == "hung":  # the other candidates would hang just as long
                self._seconds = stage.timeout = min(self._seconds, _SECONDS_AFTER_HANGING)
                break
        assert first is not None  # `_candidates` always yields at least one
        return first

    def _keep(self, trial: Trial) -> Keep | None:
        return None if self._options.keeper is None else partial(self._options.keeper.keep, trial.name)

    def _try(self, stage: _Stage, trial: Trial) -> Tried:
        stage.keep = self._keep(trial)
        runs = list(self._runs(stage, trial))
        stage.keep = None
        elsewhere = tuple(dict.fromkeys(phrase for each in runs for phrase in each.elsewhere))
        tried = Tried(trial, tuple(each.outcome for each in runs), runs[0].words, elsewhere)
        return tried.keeping([each.recording for each in runs])

    def _findings(self, tried: Sequence[Tried]) -> Iterable[Finding]:
        """All findings."""
        raise NotImplementedError

    @property
    def _secrets(self) -> tuple[str, ...]:
        """The passwords that the subject uses; reports must not contain them."""
        return ()

    def _untried(self) -> Iterable[str]:
        """Reasons, besides broken trials, why the setup cannot be called safe."""
        return ()

    @property
    def trials(self) -> list[Trial]:
        """The trials to run after the genuine server, the longest first."""
        return sorted(self._specs, key=lambda trial: -trial.waits)

    def play(self, trial: Trial) -> Done:
        """Run one trial; its result holds any error."""
        try:
            with self._stage() as stage:
                return Done(trial, self._try(stage, trial))
        except Exception as error:  # noqa: BLE001 - an error affects this trial only
            return Done(trial, why=f"{trial.name}: {sentence(error)}")

    def report(self, done: Sequence[Done]) -> Report:
        """Build the report from the results of all trials."""
        order = {trial: number for number, trial in enumerate(TRIALS)}
        listed = sorted(done, key=lambda each: order[each.trial])
        tried = (self._accepted, *(each.tried for each in listed if each.tried is not None))
        broken = [*(each.why for each in done if each.why), *self._untried()]
        broken += [
            f"{each.trial.name}: {each.verdict}; {'; '.join(each.outcomes[0].contradictions) or 'no verdict'}"
            for each in undecided(tried)
        ]
        found = _sorted(map(self._explained, [*self._findings(tried), *self._of_pins()]))
        complete = not (self._options.only or broken)
        findings = config.suppressed(found, self._options.ignores, self.login.host, complete=complete)
        findings = [masking.masked_finding(each, self._secrets) for each in findings]
        given = replace(self._given, given=masking.masked(self._given.given, self._secrets))
        broken = [masking.masked(why, self._secrets) for why in broken]
        pinned = bool(self._replacements.pinned) or any(pin.certificates for _, pin in self._pin_files)
        return Report(
            given,
            self.login,
            self._client,
            tuple(findings),
            tuple(masking.masked_tried(each, self._secrets) for each in tried),
            tuple(broken),
            place=self._places.name,
            pinned=pinned,
            genuine=self._genuine.certificate,
        )

    @contextlib.contextmanager
    def _stage(self) -> Iterator[_Stage]:
        """Lend an idle stage, or make a new one if none is idle."""
        try:
            stage = self._idle.get_nowait()
        except queue.Empty:
            stage = self._made_stage(self._subject)
        yield stage
        self._idle.put(stage)

    def _made_stage(self, subject: Subject) -> _Stage:
        lent: AbstractContextManager[Sealed | UnsealedLoopback] = self._places.lend()
        place = self._stack.enter_context(lent)
        place.write_system_rc(self._system_rc)
        return self._stack.enter_context(contextlib.closing(self._new_stage(place, subject)))

    @property
    def _system_rc(self) -> bytes:
        return self._options.system_rc or b""

    def _servers(self) -> dict[Trial, ServerSpec]:
        """The server for each trial that applies to this setup."""
        fit = (trial for trial in TRIALS if not (trial.explicit and self.login.protocol == "implicit"))
        wanted = (trial for trial in fit if not self._options.only or trial.name in self._options.only)
        made = {trial: trial.server(self._genuine) for trial in wanted if self._can_try(trial)}
        return {trial: spec for trial, spec in made.items() if spec is not None}

    def _can_try(self, trial: Trial) -> bool:  # noqa: ARG002 - subclasses use it
        """Whether a trial applies to this kind of subject."""
        return True

    @property
    def _again(self) -> str:
        """The options that repeat this verification, without the report options."""
        given = self._options
        named = {"--host": given.host, "--port": given.port or None, "--user": given.user}
        words = [word for option, value in named.items() if value is not None for word in (option, str(value))]
        words += ["--protocol", given.protocol] if given.protocol != "explicit" else []
        return "".join(f"{shlex.quote(word)} " for word in words)

    # --- pins ------------------------------------------------------------------------------------------------------

    _pin_files: tuple[tuple[File, PinFile], ...] = ()
    _replacements: Replacements

    def _replace_pins(self, named: frozenset[Path]) -> None:
        """Replace every certificate and fingerprint in the subject with the lab's own, used or not.

        Args:
            named: The files that the setup names as pins, whatever their content.
        """
        everything = self._subject.everything
        read = {path: pins.read(str(file.path), file.data) for path, file in everything.items()}
        self._pin_files = tuple((everything[path], read[path]) for path in read if path in named)
        originals = tuple(dict.fromkeys(c for pin in read.values() for c in pin.certificates))
        self._replacements = made = pins.Replacements(originals)

        def changed(file: File) -> File:
            data = made.in_certificates(file.data)
            return replace(file, data=made.in_text(data, self._new_certificate))

        self._subject = self._subject.changed(changed)

    def _new_certificate(self) -> Certificate:
        return pins.self_signed(self.login.host)

    def _candidates(self, store: Certificate) -> Iterator[Genuine]:
        """Yield the servers that the setup may be meant for, the likeliest first.

        Args:
            store: The only authority in the system's trust store.
        """
        host, twins = self.login.host, self._replacements.twins
        certificates = [(c, twins[pins.der(c)]) for _, pin in self._pin_files for c in pin.certificates]
        leaves = [(c, twin) for c, twin in certificates if pins.is_own(c, host)]
        for original, twin in sorted(leaves, key=lambda pair: not pins.is_for(pair[0], host)):
            yield Genuine(twin, host, twin.issuer if pins.is_authority(original) else None)
        for certificate in self._replacements.pinned.values():
            yield Genuine(certificate, host)
        for original, twin in certificates:
            if pins.is_authority(original) and not pins.is_own(original, host):
                yield Genuine(pins.issued(twin, host), host, twin)
        if self._pins_something:
            yield Genuine(pins.self_signed(host), host)  # the pin is missing; assume self-signed
        else:
            yield Genuine(pins.issued(store, host), host, store)

    @property
    def _pins_something(self) -> bool:
        """Whether the setup tries to pin a certificate: with a file, which may be missing, or with a fingerprint."""
        texts = [file.data.lower() for file in self._given.everything.values()]
        texts += [" ".join(self._given.argv).lower().encode("utf-8", "surrogateescape")]
        return bool(self._replacements.pinned) or any(b"ca-file" in text or b"ca_file" in text for text in texts)

    def _explained(self, found: Finding) -> Finding:
        """Add to a refusal of the genuine server what is wrong with the pin."""
        if found.id != "genuine-refused":
            return found
        why = files.why_refused(self._pin_files, self.login.host)
        if not self._pin_files and self._pins_something and not self._replacements.pinned:
            why = "No pin was found."
        title = KINDS[found.id].title
        return replace(found, title=found.title.replace(title, f"{title} {why}".rstrip(), 1))

    def _of_pins(self) -> Iterator[Finding]:
        yield from files.of_pins(self._pin_files, self._options.warn_days)
        if self._genuine.authority is not None and self._pin_files:
            yield finding("pin-is-authority")
        for file, pin in self._pin_files:
            yield from files.of_bundle(file, pin, self.login.host)


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    """Sort the findings, the most severe first, without duplicates."""
    return sorted(dict.fromkeys(findings), key=lambda each: SEVERITIES.index(each.severity))
