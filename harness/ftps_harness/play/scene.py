"""The surroundings of one program run, and what the server, the wire and the disk recorded of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from ftps_harness.errors import HarnessError
from ftps_harness.play.actions.stored import not_kept
from ftps_harness.play.actions.tasks import files_below
from ftps_harness.play.login import Login
from ftps_harness.play.places.loopback import Loopback
from ftps_harness.verdict import needles, on_the_wire
from ftps_harness.verdict.observations import Situation
from ftps_harness.verdict.traffic import NOTHING, Elsewhere, elsewhere
from ftps_lab.testimony import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.loopback import Place
    from ftps_harness.sandbox.home import Home
    from ftps_harness.sandbox.secrets import Secrets
    from ftps_harness.verdict.needles import Passwords
    from ftps_harness.verdict.observations import WireAccount
    from ftps_lab.interface import Server, ServerSpec
    from ftps_lab.testimony import Testimony

State = tuple[int, int, int]
"""Metadata that shows whether a file has changed (`ftps_harness.play.actions.tasks.files_below`)."""

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a run takes place: the client, its HOME, the server, the served folder, the secrets and the place.

    Attributes:
        client: The lftp to run, or that a program may run; None if unknown.
        spec: The server's current spec.
    """

    client: Lftp | None
    home: Home
    server: Server
    spec: ServerSpec
    root: Path
    secrets: Secrets
    place: Place = field(default_factory=Loopback)

    @property
    def lftp(self) -> Lftp:
        """The lftp to run.

        Raises:
            HarnessError: None was given.
        """
        if self.client is None:
            raise HarnessError("no lftp to run: pass the session one, from `ftps_harness.client.lftp.identify`")
        return self.client

    def prepare(self) -> None:
        """Put the file to upload in place, and remove the results of an earlier run."""
        self.home.clear()
        self.home.put_upload(self.secrets.upload_name, self.secrets.upload_content)
        (self.root / self.secrets.upload_name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The evidence after a run, apart from the program's own messages.

    Attributes:
        testimony: The server's testimony.
        wire: The raw bytes of the server's connections.
        elsewhere: All other traffic in the place's capture.
        fresh: The server's record was empty when the program was started.
        settled: The server's record is complete.
        before: The files that the program can reach, before the run.
        after: The same files after the run.
    """

    testimony: Testimony
    wire: Wire
    elsewhere: Elsewhere
    fresh: bool
    settled: bool
    before: Mapping[Path, State]
    after: Mapping[Path, State]

    @property
    def written(self) -> tuple[Path, ...]:
        """The files that the program wrote or changed."""
        return tuple(path for path, state in self.after.items() if self.before.get(path) != state)


def watch(scene: Scene, host: str, start: Callable[[], Done]) -> tuple[Done, Witnessed]:
    """Run a program, and collect what all other witnesses saw.

    Args:
        scene: Where to run it.
        host: The name that the program was given: looking it up is expected.
        start: Runs the program to its end.

    Raises:
        LabError: The server failed.
    """
    server = scene.server
    before = files_below(*scene.home.reach)
    fresh = server.begin()
    scene.place.watch()
    done = start()
    record = server.finish()
    known = Wire((*record.before.records, *record.wire.records))
    other = _elsewhere(scene, host, record.testimony, known)
    after = files_below(*scene.home.reach)
    return done, Witnessed(record.testimony, record.wire, other, fresh, record.complete, before, after)


def situation(scene: Scene, host: str, login: Login, seen: Witnessed) -> tuple[Situation, WireAccount]:
    """Return the server's declared properties, to check the witnesses against, and what an on-path attacker could read.

    Args:
        scene: Where the program ran.
        host: The name that the program was given.
        login: The user and password that the program was given.
        seen: What the other witnesses recorded.
    """
    spec, secrets = scene.spec, scene.secrets
    sent = {*needles.passwords_sent(seen.testimony)}
    sent |= {*needles.passwords_in_clear((*seen.wire.records, *seen.elsewhere.strangers))}
    declared = {secrets.password, login.password, spec.password or secrets.password}
    passwords = needles.Passwords.of(declared | sent, public=(login.user, host))
    exposure = on_the_wire.account(seen.wire, seen.testimony, secrets, passwords, seen.elsewhere)
    return _declared(scene, passwords, seen), exposure


def _declared(scene: Scene, passwords: Passwords, seen: Witnessed) -> Situation:
    """The server's declared properties. An OpenSSL build may report other certificates than those it received."""
    spec, client = scene.spec, scene.client
    leaf, data = spec.certificate, spec.data_certificate or spec.certificate
    own = spec.attack_certificate if spec.intercepted else None
    names_what_was_sent = client is not None and client.dialect != "openssl"
    return Situation(
        passwords=passwords,
        certificate=leaf.sha256 if leaf else "",
        settled=seen.settled,
        fresh=seen.fresh,
        port=scene.server.port,
        role=spec.answers_as,
        data_certificate=data.sha256 if data else "",
        interceptor=own.sha256 if own else "",
        attack=spec.attack,
        effect=spec.effect,
        in_the_middle=spec.behind is not None,
        sent=frozenset(certificate.sha1 for certificate in spec.sent if names_what_was_sent),
        user=spec.user or "",
        password=Login.of(spec, scene.secrets).password,
        not_kept=not_kept(seen.testimony, scene.root),
    )


def _elsewhere(scene: Scene, host: str, testimony: Testimony, wire: Wire) -> Elsewhere:
    traffic = scene.place.traffic()
    if traffic is None:
        return replace(NOTHING, tried=tuple(scene.place.refused()))
    return elsewhere(traffic, testimony, wire, server=(scene.server.host, scene.server.port), names=[host])
