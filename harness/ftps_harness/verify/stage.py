"""A copy of a setup in the sealed place, and the lab's server under the name that the setup connects to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from ftps_harness.client import lftp
from ftps_harness.client.lftp.settings import parse_settings, settings_text
from ftps_harness.play.attempt import Attempt, Request
from ftps_harness.play.session import Session
from ftps_harness.verdict.agreement import led_elsewhere
from ftps_harness.verify.subject import RC, XDG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.sandbox.home import Home
    from ftps_harness.verdict.observations import Outcome
    from ftps_harness.verify.subject import File, Subject
    from ftps_lab.interface import ServerSpec

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
    """

    outcome: Outcome
    words: str
    elsewhere: tuple[str, ...]


def _played(made: Attempt) -> Played:
    outcome, other = made.outcome, made.exposure.elsewhere
    if outcome.verdict == "inconclusive" and outcome.contradictions == tuple(led_elsewhere(made.exposure)):
        outcome = replace(outcome, verdict="rejected" if outcome.reasons else "accepted", contradictions=())
    return Played(outcome, outcome.message or made.said, (*other.reached, *other.tried))


class Stage:
    """One place, one copy of the setup, one server. A context manager; whoever makes it ends it.

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
    """

    def __init__(
        self, place: Sealed, client: Lftp, subject: Subject, timeout: float, login_user: str | None = None
    ) -> None:
        self._place = place
        self.authority = place.authority
        self._timeout = timeout
        self.subject = subject
        users = [login_user] if login_user else []
        self._session = Session(place, client, users=users)
        try:
            self.home = self._session.home
            if subject.rc.startswith(XDG) and not subject.hidden:
                self.home.dot_lftp.rmdir()  # it would keep lftp from looking there
            self._lftp = client
            self.write(subject)
        except BaseException:
            self._session.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def write(self, subject: Subject) -> None:
        """Put the setup's files into the copy, in the place of an earlier version of them.

        Raises:
            HarnessError: They cannot be written.
        """
        self.subject = subject
        for name, file in subject.files.items():
            _put(self.home, name, file)
        shown = {str(subject.real_home): "home"}
        for number, (path, file) in enumerate(subject.outside.items()):
            name = f"outside-{number}"
            target = self.home.root / name
            target.write_bytes(file.data)
            target.chmod(file.mode)
            shown[path] = name
        self.home.shown = shown
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
        return lftp.run(self.client, self.home, script=["command echo -n"], timeout=self._timeout)

    def own_traffic(self) -> tuple[str, ...]:
        """What `start_only` reached or tried, a phrase each."""
        from ftps_harness.verdict.traffic import elsewhere
        from ftps_lab.testimony import Testimony, Wire

        traffic = self._place.traffic()
        assert traffic is not None  # sealed
        found = elsewhere(traffic, Testimony("genuine"), Wire(), server=("", 0), names=())
        return (*found.reached, *found.tried)

    def play(self, spec: ServerSpec, login: Login, run: tuple[str, ...], *, user: str | None = None) -> Played:
        """Run lftp once with the setup against a server.

        Args:
            spec: What the server is.
            login: Where and as whom.
            run: The items of `run`.
            user: Another user than the login's.

        Raises:
            LabError: The server failed.
            HarnessError: lftp cannot be started.
        """
        served = replace(spec, protocol=login.protocol)  # type: ignore[arg-type]  # the command line has checked it
        self._session.serve(served, host=login.host, port=login.port)
        rc = self.subject.rc_file.data.decode("utf-8", "surrogateescape") if self.subject.rc == RC else None
        request = Request(rc=rc, host=login.host, run=run, user=user or login.user, timeout=self._timeout)
        return _played(self._session.attempt(request))


def _put(home: Home, name: str, file: File) -> None:
    path = home.put_file(name, file.data, folder="home")
    path.chmod(file.mode | 0o400)  # root reads everything; an ordinary user's copy must be readable to its server too


def closures(settings: Settings, names: Mapping[str, object]) -> frozenset[str]:
    """Every closure of some settings, without the empty one."""
    return frozenset(closure for name in names for closure in settings.get(name, {}) if closure)


def home_path(value: str, home: Path, cwd: Path) -> Path:
    """The file that a setting's value names: `~` is HOME, a relative path begins where lftp was started."""
    if value == "~" or value.startswith("~/"):
        return home / value[2:]
    return cwd / value
