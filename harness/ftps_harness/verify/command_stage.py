"""Copies of a command's files in the sealed place, and the lab's server under the name that the command connects to."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ftps_harness.client import messages
from ftps_harness.play.program import Command
from ftps_harness.play.recording import Recording, ending
from ftps_harness.play.session import Session
from ftps_harness.report import evidence
from ftps_harness.sandbox.home import Home
from ftps_harness.verdict.observations import Outcome
from ftps_harness.verdict.traffic import wanted
from ftps_harness.verify.discovery import provide
from ftps_harness.verify.stage import Keep, Login, Played, copy
from ftps_lab.testimony import TRANSFERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.play.program import Observed
    from ftps_harness.scenario import Verdict
    from ftps_harness.verdict.traffic import Wanted
    from ftps_harness.verify.subject import Subject
    from ftps_lab.interface import ServerSpec
    from ftps_lab.testimony import Testimony

_LOOK_SECONDS = 15.0
"""Time limit, in seconds, for a command to look for its server."""

_OURS = frozenset({"HOME", "PWD", "OLDPWD", "TMPDIR", "PYTHONPATH"})
"""Environment variables that differ in a copy, or that concern only this harness."""

_FEWER_LOGINS = ("the command connected fewer times in this run than in the first one, so no later login was attacked",)

_NO_CONNECTION = ("the command did not connect to the server in this run",)


class CommandStage:
    """One place, one server, and a new copy of a command's files for each run. The creator must close it.

    Args:
        place: Where it runs, for its exclusive use.
        client: The lftp that the command probably calls; needed to read its messages.
        subject: The subject under test, with the lab's certificates in it.
        timeout: Time limit of one run, in seconds.

    Attributes:
        authority: The authority in the place's system trust store.
        timeout: As given; may be changed.
        keep: Called with the files that each run leaves behind; None to discard them.
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
        """Stop the server and remove the copies."""
        self._session.close()

    def look(self, names: Sequence[str]) -> Wanted:
        """Run the command without a server, and return the hosts that it tries to reach.

        Args:
            names: Host names that already resolve to the lab.

        Raises:
            HarnessError: The command cannot be started.
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
            spec: The server's properties.
            login: The server's address.
            earlier: The server's properties for the first control connections; None for the same as later.
            connections: The number of those first connections.

        Raises:
            LabError: The server failed.
            HarnessError: The command cannot be started.
        """
        served = replace(spec, protocol=login.protocol)  # type: ignore[arg-type]  # `explicit` or `implicit`
        first = served if earlier is None else replace(earlier, protocol=served.protocol)
        self._session.serve(first, host=login.host, port=login.port)
        if earlier is not None:
            self._session.change_after(connections, served)
        with self._copy() as home:
            cwd, env = self._surroundings(home)
            command = Command(argv=self.subject.argv, host=login.host, cwd=cwd, env=env, timeout=self.timeout)
            began = datetime.now(UTC)
            seen = self._session.observe(command, home=home)
            played = _observed(seen, served, self._client.dialect, login.host, began)
            if earlier is not None and not played.outcome.exposed and _is_all_of(seen.testimony, first):
                outcome = replace(played.outcome, verdict="inconclusive", contradictions=_FEWER_LOGINS)
                played = replace(played, outcome=outcome)
            if self.keep is not None:
                self.keep(home, evidence.files_of_program(command.argv, seen, played.outcome))
            return played

    def provide(self, asked: Sequence[Testimony]) -> bool:
        """Create the files that the command asked for in earlier runs, including runs of other stages.

        Returns:
            Whether any file is new.
        """
        new = [provide(each, self._session.root, self._session.secrets) for each in asked[self._asked :]]
        self._asked = len(asked)
        return any(new)

    @contextlib.contextmanager
    def _copy(self) -> Iterator[Home]:
        with Home(self.place.parent, self.place.inside) as home:
            home.dot_lftp.rmdir()  # the copy holds only what the user has
            copy(self.subject, home)
            yield home

    def _surroundings(self, home: Home) -> tuple[Path, dict[str, str]]:
        """The command's working folder and environment: the user's own."""
        real = {name: value for name, value in os.environ.items() if name not in _OURS}
        return self.subject.cwd, {**real, "HOME": str(home.seen(home.home)), "PWD": str(self.subject.cwd)}


def _is_all_of(testimony: Testimony, spec: ServerSpec) -> bool:
    """Whether the client met only this server, although another was to replace it."""
    attacks = {connection.attack for connection in testimony.connections if connection.kind == "control"}
    return testimony.role == spec.answers_as and attacks <= {spec.attack}


def _observed(seen: Observed, spec: ServerSpec, dialect: str, host: str, began: datetime) -> Played:
    """Judge one run of a command; lftp's messages count if the command prints them."""
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
        contradictions=seen.contradictions or (() if seen.testimony.connections else _NO_CONNECTION),
    )
    said = outcome.message or seen.run.stderr.decode("utf-8", "replace")
    recording = Recording(
        testimony=seen.testimony,
        exposure=seen.exposure,
        program="your command",
        ending=ending(seen.run),
        reasons=reasons,
        message=outcome.message,
        spec=spec,
        host=host,
        date=began,
    )
    return Played(outcome, said, (*other.reached, *other.tried), seen.testimony, recording)


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
    """Whether the client logged in, and at least part of each transfer that it started succeeded."""
    began = any(c.verb in TRANSFERS and (c.reply is None or c.reply < 200) for c in testimony.commands)
    done = any(transfer.completed for transfer in testimony.transfers)
    return any(c.accepted for c in testimony.credentials) and (done or not began)


def _silent_refusal(testimony: Testimony) -> frozenset[str]:
    """Treat it as a refusal if the client left right after it sent a password, even if no message was seen."""
    logins = [c.connection for c in testimony.credentials]
    last = {c.connection: c.verb for c in testimony.commands}
    return frozenset({"untrusted"}) if logins and all(last.get(number) == "PASS" for number in logins) else frozenset()
