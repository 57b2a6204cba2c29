"""A copy of a setup in the sealed place, and the lab's server under the name that the setup connects to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftps_harness.client import lftp, messages
from ftps_harness.client.lftp.settings import parse_settings, settings_text
from ftps_harness.errors import HarnessError
from ftps_harness.play.attempt import Attempt, Request
from ftps_harness.play.program import Command
from ftps_harness.play.session import Session
from ftps_harness.report import evidence
from ftps_harness.sandbox.home import Home
from ftps_harness.verdict.agreement import led_elsewhere
from ftps_harness.verdict.observations import Outcome
from ftps_harness.verdict.traffic import wanted
from ftps_harness.verify.discovery import provide
from ftps_harness.verify.subject import RC
from ftps_lab.interface import ServerSpec
from ftps_lab.testimony import TRANSFERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.play.program import Observed
    from ftps_harness.scenario import Verdict
    from ftps_harness.verdict.traffic import Wanted
    from ftps_harness.verify.subject import File, Subject
    from ftps_harness.words import Folder
    from ftps_lab.certificates import Certificate
    from ftps_lab.testimony import Testimony

_LOOK_SECONDS = 15.0
"""How long a command may look for its server."""

_OURS = frozenset({"HOME", "PWD", "OLDPWD", "TMPDIR", "PYTHONPATH"})
"""Variables of the environment that are another's in a copy, or that only concern ourselves."""

_NEVER_THERE = ("the command did not connect to the server in this run",)

Settings = dict[str, dict[str, str]]
"""Name → closure (empty for all) → value."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in where.

    Attributes:
        host: What the user types.
        protocol: ``explicit`` or ``implicit``.
        port: 0 for the protocol's own (21, 990).
        user: None for one that the lab makes up.
    """

    host: str
    protocol: str = "explicit"
    port: int = 0
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """What one run came to.

    Attributes:
        outcome: What the three witnesses agree on.
        words: What lftp says of a refusal, or else all that it says.
        elsewhere: Where it led besides, a phrase each. That alone makes no outcome inconclusive here: it is a finding.
        testimony: The server's.
        notes: What lftp complains of in its debug log alone.
    """

    outcome: Outcome
    words: str
    elsewhere: tuple[str, ...]
    testimony: Testimony
    notes: tuple[str, ...] = ()


Keep = Callable[[Home, Iterable[tuple[str, bytes]]], None]
"""Is given HOME after a run, and what else there is of it."""


def _played(made: Attempt) -> Played:
    outcome, other = made.outcome, made.exposure.elsewhere
    if outcome.verdict == "inconclusive" and outcome.contradictions == tuple(led_elsewhere(made.exposure)):
        outcome = replace(outcome, verdict="rejected" if outcome.reasons else "accepted", contradictions=())
    told = (*other.reached, *other.tried)
    return Played(outcome, outcome.message or made.said, told, made.testimony, made.client.log_notes)


class RcStage:
    """One place, one copy of an rc and what belongs to it, one server. Whoever makes it closes it.

    Args:
        place: Where it runs; nobody else uses it meanwhile.
        client: The lftp of this machine.
        subject: What is verified, with the lab's certificates in it.
        timeout: Seconds that one lftp may take.
        login_user: Who logs in; None for one that the lab makes up.

    Attributes:
        client: lftp, as it is started in the copy.
        home: The copy.
        authority: What the system's trust store there holds.
        timeout: As given; it may change.
        keep: Is given what each run leaves; None to forget it.
    """

    def __init__(
        self, place: Sealed, client: Lftp, subject: Subject, timeout: float, login_user: str | None = None
    ) -> None:
        self._place = place
        self.authority = place.authority
        self.timeout = timeout
        self.keep: Keep | None = None
        self.subject = subject
        users = [login_user] if login_user else []
        self._session = Session(place, client, users=users)
        try:
            self.home = self._session.home
            if not subject.argv and subject.reads_xdg and not subject.hidden:
                self.home.dot_lftp.rmdir()  # it would keep lftp from looking there
            self._lftp = client
            self.write(subject)
        except BaseException:
            self._session.close()
            raise

    def close(self) -> None:
        """End it."""
        self._session.close()

    def write(self, subject: Subject) -> None:
        """Put the setup's files into the copy, in the place of an earlier version of them.

        Raises:
            HarnessError: They cannot be written.
        """
        self.subject = subject
        _copy(subject, self.home)
        self.client = self._place.client(self._lftp, self.home)

    def settings(self, names: set[str]) -> Settings:
        """The effective values of settings once lftp has read everything.

        Raises:
            HarnessError: lftp printed none.
        """
        return parse_settings(self.settings_text(), names)

    def settings_text(self, *commands: str) -> str:
        """All of them, as `set -a` prints them, after some commands more."""
        return settings_text(self.client, self.home, commands)

    def start_only(self) -> lftp.Run:
        """lftp reads its files and ends: whatever it does, the setup does by itself."""
        self._place.watch()
        return lftp.run(self.client, self.home, script=["command echo -n"], timeout=self.timeout)

    def own_traffic(self) -> tuple[str, ...]:
        """What `start_only` reached or tried, a phrase each."""
        from ftps_harness.verdict.traffic import elsewhere
        from ftps_lab.testimony import Testimony, Wire

        traffic = self._place.traffic()
        assert traffic is not None  # sealed
        found = elsewhere(traffic, Testimony("genuine"), Wire(), server=("", 0), names=())
        return (*found.reached, *found.tried)

    def play(
        self, spec: ServerSpec, login: Login, run: tuple[str, ...], *, user: str | None = None, cwd: Folder = "home"
    ) -> Played:
        """Run lftp once with the setup against a server.

        Args:
            spec: What the server is.
            login: Where and as whom.
            run: The items of `run`.
            user: Another user than the login's.
            cwd: Where lftp is started.

        Raises:
            LabError: The server failed.
            HarnessError: lftp cannot be started.
        """
        served = replace(spec, protocol=login.protocol)  # type: ignore[arg-type]  # the command line has checked it
        self._session.serve(served, host=login.host, port=login.port)
        file = self.subject.rc_file if self.subject.rc == RC else None
        rc = file.data.decode("utf-8", "surrogateescape") if file is not None else None
        request = Request(rc=rc, host=login.host, run=run, user=user or login.user, timeout=self.timeout, cwd=cwd)
        made = self._session.attempt(request)
        if self.keep is not None:
            self.keep(self.home, evidence.files_of(made))
        return _played(made)

    def accepts_planted(self, name: str, certificate: Certificate, login: Login) -> bool:
        """Whether lftp, started in another folder, logs in to an impostor whose certificate somebody has put there.

        Args:
            name: The file's name, below that folder.
            certificate: The impostor's.
            login: Where and as whom.

        Raises:
            HarnessError: The file cannot be written.
        """
        path = self.home.put_file(name, certificate.pem, folder="elsewhere")
        spec = ServerSpec(certificate=certificate, role="impostor")
        played = self.play(spec, login, ("list",), cwd="elsewhere")
        path.unlink(missing_ok=True)
        return "password" in played.outcome.exposed


class CommandStage:
    """One place, one server, and a new copy of a command's files for each of its runs. Whoever makes it closes it.

    Args:
        place: Where it runs; nobody else uses it meanwhile.
        client: The lftp that the command is likely to call, to read its messages.
        subject: What is verified, with the lab's certificates in it.
        timeout: Seconds that one run may take.

    Attributes:
        authority: What the system's trust store there holds.
        timeout: As given; it may change.
        keep: Is given what each run leaves; None to forget it.
    """

    def __init__(self, place: Sealed, client: Lftp, subject: Subject, timeout: float) -> None:
        self.place = place
        self.authority = place.authority
        self.subject = subject
        self._client = client
        self.timeout = timeout
        self.keep: Keep | None = None
        self._session = Session(place, client)
        self._asked = 0

    def close(self) -> None:
        """End it."""
        self._session.close()

    def look(self, names: Sequence[str]) -> Wanted:
        """Run the command where nobody serves: whom it wants to reach.

        Args:
            names: Host names that lead to the lab already.

        Raises:
            HarnessError: It cannot be started.
        """
        self.place.names = tuple(names)
        self.place.address_of("localhost")
        with self._copy() as home:
            self.place.watch()
            cwd, env = self._surroundings(home)
            self.place.starter(home)(self.subject.argv, env=env, cwd=cwd, timeout=min(self.timeout, _LOOK_SECONDS))
        traffic = self.place.traffic()
        assert traffic is not None  # sealed
        return wanted(traffic)

    def play(
        self, spec: ServerSpec, login: Login, *, earlier: ServerSpec | None = None, connections: int = 0
    ) -> Played:
        """Run the command once against a server.

        Args:
            spec: What the server is.
            login: Where it is.
            earlier: What the server is for the first control connections; None for the same as later.
            connections: How many those are.

        Raises:
            LabError: The server failed.
            HarnessError: It cannot be started.
        """
        served = replace(spec, protocol=login.protocol)  # type: ignore[arg-type]  # `explicit` or `implicit`
        first = served if earlier is None else replace(earlier, protocol=served.protocol)
        self._session.serve(first, host=login.host, port=login.port)
        if earlier is not None:
            self._session.change_after(connections, served)
        with self._copy() as home:
            cwd, env = self._surroundings(home)
            command = Command(argv=self.subject.argv, host=login.host, cwd=cwd, env=env, timeout=self.timeout)
            seen = self._session.observe(command, home=home)
            played = _observed(seen, served, self._client.dialect)
            if self.keep is not None:
                self.keep(home, evidence.files_of_program(command.argv, seen, played.outcome))
            return played

    def provide(self, asked: Sequence[Testimony]) -> bool:
        """Make the files that the command asked for in earlier runs, also in those of other stages.

        Returns:
            Whether there is anything new.
        """
        new = [provide(each, self._session.root, self._session.secrets) for each in asked[self._asked :]]
        self._asked = len(asked)
        return any(new)

    @contextlib.contextmanager
    def _copy(self) -> Iterator[Home]:
        with Home(self.place.parent, self.place.inside) as home:
            home.dot_lftp.rmdir()  # only what the user has
            _copy(self.subject, home)
            yield home

    def _surroundings(self, home: Home) -> tuple[Path, dict[str, str]]:
        """Where it starts and with which environment: the user's own."""
        real = {name: value for name, value in os.environ.items() if name not in _OURS}
        return self.subject.cwd, {**real, "HOME": str(home.seen(home.home)), "PWD": str(self.subject.cwd)}


def _observed(seen: Observed, spec: ServerSpec, dialect: str) -> Played:
    """What one run of a command came to. Its words count where it prints them."""
    other = seen.exposure.elsewhere
    words = messages.words(b"\n".join((seen.run.stdout, seen.run.stderr)), b"", dialect)
    reasons = frozenset(reason for word in words for reason in word.reasons)
    exposed = frozenset(what for what, _ in seen.exposures)
    outcome = Outcome(
        _verdict(seen, spec, reasons),
        reasons=reasons or _silent_refusal(seen.testimony),
        exposed=exposed,
        to=frozenset(whom for _, whom in seen.exposures),
        message="\n".join(dict.fromkeys(word.text for word in words)),
        contradictions=seen.contradictions or (() if seen.testimony.connections else _NEVER_THERE),
    )
    said = outcome.message or seen.run.stderr.decode("utf-8", "replace")
    return Played(outcome, said, (*other.reached, *other.tried), seen.testimony)


def _verdict(seen: Observed, spec: ServerSpec, reasons: frozenset[str]) -> Verdict:
    if seen.exposures:
        return "exposed"
    if seen.run.timed_out:
        return "hung"
    if seen.run.signal is not None:
        return "crashed"
    if seen.contradictions or not seen.testimony.connections:
        return "inconclusive"
    if spec.answers_as == "genuine" and _went_well(seen.testimony):
        return "accepted"
    return "rejected" if reasons else "failed"


def _went_well(testimony: Testimony) -> bool:
    """Whether the client logged in, and what it began to transfer was transferred, at least in part."""
    began = any(c.verb in TRANSFERS and (c.reply is None or c.reply < 200) for c in testimony.commands)
    done = any(transfer.completed for transfer in testimony.transfers)
    return any(c.accepted for c in testimony.credentials) and (done or not began)


def _silent_refusal(testimony: Testimony) -> frozenset[str]:
    """Whether an impostor who got a password was left at once: the client refused it, though nobody saw its words."""
    told = [c.connection for c in testimony.credentials]
    last = {c.connection: c.verb for c in testimony.commands}
    return frozenset({"untrusted"}) if told and all(last.get(number) == "PASS" for number in told) else frozenset()


def _copy(subject: Subject, home: Home) -> None:
    """Put a subject's files where they belong in a copy, and have them shown under their own paths.

    Raises:
        HarnessError: They cannot be written.
    """
    for name, file in subject.files.items():
        _write(home.home / name, file, folder=name.endswith("/"))
    shown = {str(subject.real_home): "home"}
    for number, (path, file) in enumerate(subject.outside.items()):
        _write(home.root / f"outside-{number}", file)
        shown[path] = f"outside-{number}"
    for number, (path, files) in enumerate(subject.folders.items()):
        folder = home.root / f"folder-{number}"
        folder.mkdir(mode=0o755, exist_ok=True)
        for name, file in files.items():
            _write(folder / name, file)
        shown[path] = folder.name
    home.shown = shown


def _write(path: Path, file: File, *, folder: bool = False) -> None:
    """Put a file where it belongs in the copy, or make a folder."""
    try:
        if folder:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(file.data)
        path.chmod(file.mode | 0o400)  # what root alone may read is there, and we could not look at it otherwise
    except OSError as error:
        raise HarnessError(f"cannot copy {file.path}: {error.strerror or error}; make room, or set TMPDIR") from error


def home_path(value: str, home: Path, cwd: Path) -> Path:
    """The file that a setting's value names: `~` is HOME, a relative path begins where lftp was started."""
    if value == "~" or value.startswith("~/"):
        return home / value[2:]
    return cwd / value
