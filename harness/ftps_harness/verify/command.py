"""Verify a command or script, exactly as it stands."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ftps_harness.errors import UsageError
from ftps_harness.play.places.sealed import Sealed
from ftps_harness.verify import discovery, files, pins
from ftps_harness.verify.base import Verification
from ftps_harness.verify.command_stage import CommandStage
from ftps_harness.verify.findings import Finding, Where, finding
from ftps_harness.verify.judge import Case, Tried, findings_of
from ftps_harness.verify.lines import SETTINGS
from ftps_harness.verify.stage import Login
from ftps_harness.verify.subject import File
from ftps_harness.verify.text import readable_by_others
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ftps_harness.verify.stage import Played
    from ftps_harness.verify.subject import Subject
    from ftps_harness.verify.trials import Genuine, Trial
    from ftps_harness.verify.unsealed import UnsealedLoopback
    from ftps_lab.testimony import Testimony

_PATIENCE: Final = b"""\
set net:timeout 5
set net:max-retries 2
set net:reconnect-interval-base 1
set net:reconnect-interval-multiplier 1
set net:reconnect-interval-max 1
set dns:order inet
"""
"""The system's rc in a copy. By default, lftp waits for 30 s before it reconnects, and only then may it fall back to
clear text. The command's own settings come later and override these."""

_ROUNDS: Final = 5
"""Maximum number of repeated runs to provide files that the command asked for and did not find."""

_MOST_HANGING: Final = 2
"""How many of these runs may reach the time limit; a run may wait for a file that is still missing."""

_RELATIVE_PIN: Final = re.compile(rb"""ca[-_]f\w*[ \t]+["']?((?!\.\./)[^\s"';&$~/][^\s"';&$]*)""")
"""A file that a setting names as a pin, by a relative path."""

_GIVES_IT: Final = r"""(?:-u|--user)[ =]?[^\s,;]*,|://[^\s/]*:[^\s/]*@|--password"""
"""Ways to pass a password on lftp's command line."""

_LEFT_OUT: Final = frozenset({"anonymous", "data-certificate-get"})
"""Trials that differ from others only in lftp's commands, which the subject decides here."""


class CommandVerification(Verification[CommandStage]):
    """As `Verification`.

    Raises:
        UsageError: The command does not connect to any server.
        HarnessError: It cannot be started.
    """

    def _prepare(self) -> tuple[Genuine, Tried]:
        options = self._options
        stage = self._made_stage(self._given)
        self._asked: list[Testimony] = []
        target = self._look(stage)
        self._others = target.others
        port = options.port or target.port
        self.login = Login(target.host, options.protocol if options.port else target.protocol, port, options.user)
        self._names = target.names
        self._replace_pins(self._named())
        self._argv()
        self._secret: tuple[str, str] | None = None
        self._unattacked = 0
        stage.subject = self._subject
        found = self._choose(stage)
        self._idle.put(stage)
        return found

    @property
    def _system_rc(self) -> bytes:
        return _PATIENCE + (self._options.system_rc or b"")

    def _new_stage(self, place: Sealed | UnsealedLoopback, subject: Subject) -> CommandStage:
        assert isinstance(place, Sealed)  # `unsealed.admitted` refuses commands
        place.names = getattr(self, "_names", ())
        return CommandStage(place, self._client, subject, self._seconds)

    def _can_try(self, trial: Trial) -> bool:
        return trial.name not in _LEFT_OUT and (bool(self._later) or not trial.later)

    def _named(self) -> frozenset[Path]:
        """The files whose base name appears in the command line or in another file."""
        everything = self._given.everything
        texts = [os.fsencode(" ".join(self._given.argv)), *(f.data for f in everything.values() if b"\0" not in f.data)]
        named = (path for path in everything if any(os.fsencode(path.name) in text for text in texts))
        return frozenset(path for path in named if b"CERTIFICATE" in everything[path].data)

    def _argv(self) -> None:
        """Replace fingerprints on the command line too."""
        changed = (
            os.fsdecode(self._replacements.in_text(os.fsencode(word), self._new_certificate))
            for word in self._subject.argv
        )
        self._subject = replace(self._subject, argv=tuple(changed))

    def _look(self, stage: CommandStage) -> discovery.Target:
        """Find out where the command connects."""
        host = self._options.host
        names = [host] if host else []
        wanted = stage.look(names)
        if wanted.names and not wanted.addresses:
            names += [name for name in wanted.names if name not in names]
            wanted = stage.look(names)
        found = discovery.target(tuple(names), wanted, host)
        if found is None:
            raise UsageError(
                f"{self._given.given}: the command did not connect to any server, so there is nothing to verify; "
                f"check that it runs on this machine and ends within --timeout"
            )
        return found

    def _meet(self, stage: CommandStage, genuine: Genuine) -> Played:
        """Run the command until the server has everything that it asks for: its login and its files."""
        played = stage.play(self._with_login(genuine.spec), self.login)
        hung = 0
        for _ in range(_ROUNDS):
            hung += played.outcome.verdict == "hung"
            if hung == _MOST_HANGING:
                break
            if discovery.speaks_tls_at_once(played.testimony) and self.login.protocol == "explicit":
                self.login = replace(self.login, protocol="implicit")
            elif self._secret is None and (login := discovery.login_of(played.testimony)) is not None:
                self._secret = login
            else:
                self._asked.append(played.testimony)
                if not stage.provide(self._asked):
                    break
            played = stage.play(self._with_login(genuine.spec), self.login)
        self._among_arguments = any(c.among_arguments for c in played.testimony.credentials)
        self._later = discovery.logins_after_the_first(played.testimony)
        self._anonymous = any(c.user == "anonymous" for c in played.testimony.credentials)
        return played

    def _with_login(self, spec: ServerSpec) -> ServerSpec:
        """The same server, with the command's login as the accepted one."""
        return spec if self._secret is None else replace(spec, user=self._secret[0], password=self._secret[1])

    def _runs(self, stage: CommandStage, trial: Trial) -> Iterator[Played]:
        stage.provide(self._asked)
        spec = self._with_login(self._specs[trial])
        if trial.later:
            yield from self._late_runs(stage, spec)
        else:
            yield from (stage.play(spec, self.login) for _ in range(trial.repeat))

    def _late_runs(self, stage: CommandStage, spec: ServerSpec) -> Iterator[Played]:
        """Run the command once for each later login, with the attack starting there; stop at the first exposure.

        A script often stops at a refusal (`set -e`), so a single attack says nothing about the logins after it.
        """
        began = time.monotonic()
        genuine = self._with_login(self._genuine.spec)
        for number, connections in enumerate(self._later, 2):
            if number > 2 and time.monotonic() - began > self._options.timeout:
                self._unattacked = min(self._unattacked or number, number)
                return
            played = stage.play(spec, self.login, earlier=genuine, connections=connections)
            yield played
            if played.outcome.exposed:
                return

    @property
    def _secrets(self) -> tuple[str, ...]:
        return () if self._secret is None else (self._secret[1],)

    def _untried(self) -> Iterator[str]:
        if self._unattacked:
            yield (
                f"the command logs in {len(self._later) + 1} times, but time ran out before login {self._unattacked} "
                f"and those after it could be attacked; raise --timeout"
            )

    def _findings(self, tried: Sequence[Tried]) -> Iterator[Finding]:
        case = Case(
            tried,
            f"{self._again}{'' if self._given.is_path else '-- '}{self._given.given}",
            command=True,
            anonymous=self._secret is None and self._anonymous,
        )
        found = findings_of(case)
        yield from findings_of(replace(case, responsible=self._responsible([each.id for each in found])))
        if self._others and not any(each.id == "leads-elsewhere" for each in found):
            yield finding("leads-elsewhere", f"Other destinations: {', '.join(self._others[:3])}.")
        yield from self._of_permissions()
        yield from self._of_folder()
        yield from self._of_secrets()

    def _of_permissions(self) -> Iterator[Finding]:
        """Report files that others can write to: the command's own, the files that it names, and lftp's in HOME."""
        everything = self._given.everything
        program = self._given.argv[0]
        texts = [os.fsencode(" ".join(self._given.argv[1:]))]
        texts += [file.data for path, file in everything.items() if str(path) == program]
        own = {self._given.real_home / name for name in (".lftp/rc", ".lftprc", ".config/lftp/rc")} | {Path(program)}
        for path, file in everything.items():
            named = any(os.fsencode(path.name) in text for text in texts)
            if (path in own or named) and b"CERTIFICATE" not in file.data:
                yield from files.writable("rc-permissions", file)

    def _of_folder(self) -> Iterator[Finding]:
        """Report a pin with a relative path: started in HOME, as by cron, lftp looks for it there."""
        home, cwd = self._given.real_home, self._given.cwd
        texts = [os.fsencode(" ".join(self._given.argv)), *(f.data for f in self._given.everything.values())]
        names = dict.fromkeys(os.fsdecode(name) for text in texts for name in _RELATIVE_PIN.findall(text))
        planted = pins.self_signed(self.login.host)
        for name in names if cwd != home else ():
            file = File(home / name, planted.pem, 0o644, 0)
            moved = replace(self._subject, cwd=home, files={**self._subject.files, name: file})
            with self._stage() as stage:
                stage.provide(self._asked)
                stage.subject = moved
                spec = self._with_login(ServerSpec(certificate=planted, role="impostor"))
                played = stage.play(spec, self.login)
                stage.subject = self._subject
            if "password" in played.outcome.exposed:
                yield finding(
                    "pin-depends-on-folder", f"Started in HOME, the command trusts any file called {name} there."
                )
                return

    def _responsible(self, kinds: Sequence[str]) -> Mapping[str, Where]:
        """Find the line that sets what decides a finding, if only one line does."""
        found = {}
        for kind in kinds:
            names = [name.partition(":")[2].replace("-", "[-_]") for name in SETTINGS.get(kind, ())]
            lines = list(self._lines("|".join(names))) if names else []
            if len(lines) == 1:
                found[kind] = lines[0]
        return found

    def _lines(self, pattern: str) -> Iterator[Where]:
        for path, file in self._given.everything.items():
            if b"\0" in file.data:
                continue
            for number, line in enumerate(file.data.decode("utf-8", "replace").splitlines(), 1):
                if re.search(pattern, line) and not line.lstrip().startswith("#"):
                    yield Where(str(path), number, line.strip())

    def _of_secrets(self) -> Iterator[Finding]:
        """Report where other users of this machine can read the command's password."""
        if self._secret is None:
            return
        password = self._secret[1]
        written = {password, quote(password), quote(password, safe="")}
        if any(each in word for word in self._given.argv for each in written):
            yield finding(
                "secret-exposed-locally", "The password is on the command line, which every user can see (ps)."
            )
        elif self._among_arguments:
            lines = list(self._lines(_GIVES_IT))
            said = "A program that the command starts gets the password as an argument, which every user can see (ps)."
            yield finding("secret-exposed-locally", said, where=lines[0] if len(lines) == 1 else None)
        for path, file in self._given.everything.items():
            found = next((each for each in written if each.encode() in file.data), None)
            if found is not None and readable_by_others(file):
                yield finding(
                    "secret-exposed-locally",
                    f"{path} has mode {file.mode:04o} and contains the password.",
                    where=_line_with(path, file, found),
                )


def _line_with(path: object, file: File, text: str) -> Where:
    lines = file.data.decode("utf-8", "replace").splitlines()
    number = next((n for n, line in enumerate(lines, 1) if text in line), 1)
    return Where(str(path), number, lines[number - 1].replace(text, "…") if lines else "")
