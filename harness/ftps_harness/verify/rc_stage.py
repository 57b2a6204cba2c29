"""A copy of an rc in the sealed place, and the lab's server under the host name that the setup is for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ftps_harness.client import lftp
from ftps_harness.client.lftp import syntax
from ftps_harness.client.lftp.settings import parse_settings, settings_text
from ftps_harness.play.attempt import Attempt, Request
from ftps_harness.play.session import Session
from ftps_harness.report import evidence
from ftps_harness.verdict.agreement import led_elsewhere
from ftps_harness.verify.stage import Keep, Login, Played, copy
from ftps_harness.verify.subject import RC
from ftps_lab import disk
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.verify.subject import Subject
    from ftps_harness.verify.unsealed import UnsealedLoopback
    from ftps_harness.words import Folder
    from ftps_lab.certificates import Certificate

Settings = dict[str, dict[str, str]]
"""Name → closure (empty for all) → value."""


_OWN_ALIASES = {
    "bzless": "bzmore",
    "dir": "ls",
    "less": "more",
    "reconnect": "close; cache flush; cd .",
    "zless": "zmore",
}
"""lftp's built-in aliases (4.9.2)."""


def _played(made: Attempt) -> Played:
    outcome, other = made.outcome, made.exposure.elsewhere
    if outcome.verdict == "inconclusive" and outcome.contradictions == tuple(led_elsewhere(made.exposure)):
        outcome = replace(outcome, verdict="rejected" if outcome.reasons else "accepted", contradictions=())
    elsewhere = (*other.reached, *other.tried)
    said = outcome.message or made.said
    return Played(outcome, said, elsewhere, made.testimony, made.recording, made.client.log_notes)


class RcStage:
    """One place, one copy of an rc with its files, one server. The creator must close it.

    Args:
        place: Where it runs, for its exclusive use.
        client: The lftp of this machine.
        subject: The subject under test, with the lab's certificates in it.
        timeout: Time limit of one lftp run, in seconds.
        login_user: The user who logs in; None for a made-up one.

    Attributes:
        client: lftp, as started in the copy.
        home: The copy.
        authority: The authority in the place's system trust store.
        timeout: As given; may be changed.
        keep: Called with the files that each run leaves behind; None to discard them.
    """

    def __init__(
        self,
        place: Sealed | UnsealedLoopback,
        client: Lftp,
        subject: Subject,
        timeout: float,
        login_user: str | None = None,
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
                self.home.dot_lftp.rmdir()  # if it existed, lftp would not look in XDG's folder
            self._lftp = client
            self.write(subject)
        except BaseException:
            self._session.close()
            raise

    def close(self) -> None:
        """Stop the server and remove the copy."""
        self._session.close()

    def write(self, subject: Subject) -> None:
        """Write the setup's files into the copy, replacing an earlier version.

        Raises:
            HarnessError: They cannot be written.
        """
        self.subject = subject
        copy(subject, self.home)
        if self.home.inside == self.home.root:
            self.home.shown = {}  # not sealed: that path is the user's real HOME, which lftp must never see
            for file in self.home.home.rglob("bookmarks"):
                file.unlink()  # `open` would follow a bookmark; `text` reports on them
        self.client = self._place.client(self._lftp, self.home)

    def settings(self, names: set[str]) -> Settings:
        """The effective values of settings once lftp has read everything.

        Raises:
            HarnessError: lftp printed none.
        """
        text = self.settings_text()
        if self.home.inside == self.home.root:  # not sealed: HOME is not at the user's path
            text = text.replace(str(self.home.home), str(self.subject.real_home))
        return parse_settings(text, names)

    def settings_text(self, *commands: str) -> str:
        """All settings, as `set -a` prints them, after further commands."""
        return settings_text(self.client, self.home, commands, prefix=self._place.prefix())

    def aliases(self) -> dict[str, str]:
        """lftp's aliases after it has read everything, without the five built-in ones: name → meaning.

        Raises:
            HarnessError: lftp cannot be started.
        """
        target = self.home.next_log().with_suffix(".aliases")
        lftp.run(
            self.client,
            self.home,
            script=[f"command alias > {self.home.seen(target)}"],
            timeout=self.timeout,
            log=False,
        )
        text = (disk.read_own(target) or b"").decode("utf-8", "surrogateescape")
        read = (syntax.words(line) for line in text.splitlines())
        found = {words[1]: " ".join(words[2:]) for words in read if words[:1] == ["alias"] and len(words) > 2}
        return {name: meaning for name, meaning in found.items() if _OWN_ALIASES.get(name) != meaning}

    def start_only(self) -> lftp.Run:
        """Let lftp read its files and end: everything it does then, the setup does on mere startup."""
        self._place.watch()
        script, prefix = ["command echo -n"], self._place.prefix()
        return lftp.run(self.client, self.home, script=script, timeout=self.timeout, prefix=prefix)

    def own_traffic(self) -> tuple[str, ...]:
        """The destinations that `start_only` reached or tried, a phrase each."""
        from ftps_harness.verdict.traffic import elsewhere
        from ftps_lab.testimony import Testimony, Wire

        traffic = self._place.traffic()
        if traffic is None:  # not sealed: `unsealed` refuses an rc that could connect anywhere
            return ()
        found = elsewhere(traffic, Testimony("genuine"), Wire(), server=("", 0), names=())
        return (*found.reached, *found.tried)

    def play(
        self, spec: ServerSpec, login: Login, run: tuple[str, ...], *, user: str | None = None, cwd: Folder = "home"
    ) -> Played:
        """Run lftp once with the setup against a server.

        Args:
            spec: The server's properties.
            login: The address and the user.
            run: The items of `run`.
            user: A user other than the login's.
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
        """Whether lftp, started in a folder with an impostor's certificate in it, logs in to that impostor.

        Args:
            name: The file's name below that folder.
            certificate: The impostor's certificate.
            login: The address and the user.

        Raises:
            HarnessError: The file cannot be written.
        """
        path = self.home.put_file(name, certificate.pem, folder="elsewhere")
        spec = ServerSpec(certificate=certificate, role="impostor")
        played = self.play(spec, login, ("list",), cwd="elsewhere")
        path.unlink(missing_ok=True)
        return "password" in played.outcome.exposed


def home_path(value: str, home: Path, cwd: Path) -> Path:
    """The file that a setting's value names: `~` is HOME, a relative path starts at lftp's working folder."""
    if value == "~" or value.startswith("~/"):
        return home / value[2:]
    return cwd / value
