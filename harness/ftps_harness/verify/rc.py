"""Verify an rc: lftp reads it at startup, and the lab's commands make it transfer files."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ftps_harness.client.lftp.settings import READ_BACK_SECONDS, NoSettings
from ftps_harness.verdict.observations import Outcome
from ftps_harness.verify import files, pins, sources, targets, text
from ftps_harness.verify.base import HOST, Verification
from ftps_harness.verify.findings import Finding, finding
from ftps_harness.verify.judge import Case, Tried, findings_of
from ftps_harness.verify.lines import Lines
from ftps_harness.verify.rc_stage import RcStage, home_path
from ftps_harness.verify.stage import Login
from ftps_harness.verify.subject import read_outside
from ftps_harness.verify.trials import GENUINE, Genuine, Trial
from ftps_harness.verify.unsealed import UnsealedPlaces, require_own

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.verify.rc_stage import Settings
    from ftps_harness.verify.stage import Played
    from ftps_harness.verify.subject import File, Subject
    from ftps_harness.verify.unsealed import UnsealedLoopback

_DECISIVE = (
    "ssl:ca-file",
    "ssl:verify-certificate",
    "ssl:check-hostname",
    "ftp:ssl-force",
    "ftp:ssl-allow",
    "ftp:ssl-protect-data",
    "ftp:ssl-protect-list",
    "ftp:ssl-allow-anonymous",
    "ftp:proxy",
    "dns:name",
)
"""Settings whose closures may name the server."""

_SHOWN = frozenset({*text.HOOKS, "cmd:default-protocol"})
"""Settings whose effect the lab's session does not show."""


class RcVerification(Verification[RcStage]):
    """As `Verification`.

    Raises:
        HarnessError: lftp cannot be started with the setup, or prints no settings.
    """

    def _prepare(self) -> tuple[Genuine, Tried]:
        self._given = sources.complete(self._given)
        stage = self._made_stage(self._given)
        self._settings, self._stops = self._read_settings(stage)
        self._subject = self._with_outside(self._given)
        home = self._given.real_home
        named = frozenset(home_path(v, home, home) for v in self._settings.get("ssl:ca-file", {}).values() if v)
        options = self._options
        self.login = Login(options.host or self._host_of_setup(named), options.protocol, options.port, options.user)
        if isinstance(self._places, UnsealedPlaces):
            require_own(self.login.host, self._places.why)
        self._replace_pins(named)
        stage.write(self._subject)
        found = self._choose(stage) if self._stops is None else self._never_started(stage, self._stops)
        self._idle.put(stage)
        return found

    def _read_settings(self, stage: RcStage) -> tuple[Settings, NoSettings | None]:
        """Return lftp's settings after it has read everything, or why it never got that far."""
        try:
            return stage.settings({*_DECISIVE, *_SHOWN}), None
        except NoSettings as why:
            return {}, why

    def _never_started(self, stage: RcStage, why: NoSettings) -> tuple[Genuine, Tried]:
        """The result with the genuine server if lftp never reaches the lab's commands."""
        genuine = next(self._candidates(stage.authority))
        outcome = Outcome("hung" if why.timed_out else "failed", message=why.said)
        return genuine, Tried(GENUINE, (outcome,), why.said)

    def _new_stage(self, place: Sealed | UnsealedLoopback, subject: Subject) -> RcStage:
        return RcStage(place, self._client, subject, self._seconds, self._options.user)

    def _can_try(self, trial: Trial) -> bool:
        return self._stops is None and not trial.later  # for an rc, the lab decides how often lftp logs in

    def _meet(self, stage: RcStage, genuine: Genuine) -> Played:
        played = stage.play(genuine.spec, self.login, GENUINE.run)
        self._notes = played.notes
        return played

    def _runs(self, stage: RcStage, trial: Trial) -> Iterator[Played]:
        user = "anonymous" if trial.anonymous else None
        for _ in range(trial.repeat):
            yield stage.play(self._specs[trial], self.login, trial.run, user=user)

    def _findings(self, tried: Sequence[Tried]) -> Iterator[Finding]:
        if self._stops is not None:
            yield from findings_of(Case(tried, f"{self._again}{self._given.given}"))
            yield from self._of_stop(self._stops)
            yield from self._of_files(sources.rc_files(self._given))
            return
        by_itself, at_start = self._start()
        case = Case(
            tried,
            f"{self._again}{self._given.given}",
            anonymous=self._options.user == "anonymous",
            by_itself=frozenset(by_itself),
        )
        kinds = [each.id for each in findings_of(case)]
        with self._stage() as stage:
            stage.write(self._given)
            aliases = stage.aliases()
            responsible = Lines(stage.client, stage.home, self._given).responsible(kinds)
        found = findings_of(replace(case, responsible=responsible))
        yield from found
        yield from self._of_text(found)
        yield from text.of_aliases(aliases, sources.rc_files(self._given))
        if self._given.hidden:
            yield finding("rc-complaint", f"lftp does not read {self._given.given}, because the folder ~/.lftp exists.")
        yield from at_start

    def _of_stop(self, why: NoSettings) -> Iterator[Finding]:
        """Report the line at which lftp ends or hangs during startup."""
        with self._stage() as stage:
            stage.write(self._given)
            where = Lines(stage.client, stage.home, self._given).stopping()
        if why.timed_out:
            yield finding(
                "rc-complaint", f"lftp did not finish reading the rc within {READ_BACK_SECONDS:.0f} s.", where=where
            )
        else:
            said = f": {' '.join(why.said.split())[:200]}" if why.said else "."
            yield finding("rc-complaint", f"lftp exited while reading the rc{said}", where=where)

    def _of_files(self, rcs: Sequence[File]) -> Iterator[Finding]:
        """Findings from the files alone."""
        for file in rcs:
            yield from files.of_rc(file)
            yield from text.of_text(file)
        yield from text.of_bookmarks(self._given, self.login.host)

    def _of_text(self, found: Sequence[Finding]) -> Iterator[Finding]:
        """Findings from the files and settings."""
        rcs = sources.rc_files(self._given)
        yield from self._of_files(rcs)
        yield from text.of_settings(self._settings)
        yield from text.of_notes(self._notes, rcs)
        yield from self._of_folder(rcs)
        led = list(targets.leading(self._settings, self.login.host))
        if led and not any(each.id == "leads-elsewhere" for each in found):
            yield finding("leads-elsewhere", f"The setting is: {led[0]}.")

    def _of_folder(self, rcs: Sequence[File]) -> Iterator[Finding]:
        """Report a pin with a relative path: lftp looks for it in its working folder, where anyone may have put one."""
        effective = self._settings.get("ssl:ca-file", {}).values()
        written = (name for name in text.pins_of(rcs) if not os.path.normpath(name).startswith(".."))
        names = [name for name in dict.fromkeys((*effective, *written)) if name and name[0] not in "~/"]
        planted = pins.self_signed(self.login.host)
        for name in names:
            if os.path.normpath(name).startswith("..") and name in effective:
                yield finding("pin-depends-on-folder", f"The path is {name}.")
                return
            with self._stage() as stage:
                stage.write(self._subject)
                accepted = stage.accepts_planted(os.path.normpath(name), planted, self.login)
            if accepted:
                yield finding(
                    "pin-depends-on-folder", f"Started in another folder, lftp trusts any file called {name} there."
                )
                return

    def _untried(self) -> Iterator[str]:
        return targets.untried(self._settings, self.login.host) if self._options.host is None else iter(())

    def _with_outside(self, subject: Subject) -> Subject:
        """Add the pin files outside HOME that the subject names."""
        from ftps_harness.play.places.sealed import is_store

        outside = {}
        for value in self._settings.get("ssl:ca-file", {}).values():
            path = home_path(value, subject.real_home, subject.real_home)
            if value and not path.is_relative_to(subject.real_home) and not is_store(str(path)):
                file = read_outside(path)
                if file is not None:
                    outside[str(path)] = file
        return replace(subject, outside=outside)

    def _host_of_setup(self, named: frozenset[Path]) -> str:
        """The host that the setup is for: one that a setting names, or else one that a pin names."""
        everything = self._subject.everything
        first = [path for path in everything if path in named]
        read = [pins.read(str(path), everything[path].data) for path in dict.fromkeys((*first, *everything))]
        pinned = [name for pin in read for c in pin.certificates for name in pins.names_of(c)]
        decisive = {name: self._settings.get(name, {}) for name in _DECISIVE}
        return targets.host_of(decisive, pinned, HOST)

    def _start(self) -> tuple[tuple[str, ...], list[Finding]]:
        """Where lftp connects on mere startup, and the findings from what it does and prints then."""
        with self._stage() as stage:
            run = stage.start_only()
            led = stage.own_traffic()
        found = [finding("connects-by-itself", f"Destinations: {', '.join(led[:3])}.")] if led else []
        said = [line.strip() for line in run.stderr.decode("utf-8", "replace").strip().splitlines()[:10]]
        return led, found + list(self._of_complaints(said))

    def _of_complaints(self, said: Sequence[str]) -> Iterator[Finding]:
        """Report what lftp prints while it reads the setup, each with the responsible line."""
        if not said:
            return
        with self._stage() as stage:
            stage.write(self._given)
            found = Lines(stage.client, stage.home, self._given).complaining(said)
            for words, where in zip(said, found, strict=True):
                yield finding("rc-complaint", f"lftp says: {words[:200]}", where=where)
