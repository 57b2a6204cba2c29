"""One run of any program in HOME, and what server and wire witnessed of it: who was given which secret.

Nobody knows what the program should do, so there is no verdict: only what it exposed, and in what the witnesses do not
agree. What lftp is asked to do, with a verdict, is `ftps_harness.play.attempt`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.client.lftp.binary import environment
from ftps_harness.play.actions.evidence import Evidence
from ftps_harness.play.actions.tasks import holds_payload
from ftps_harness.play.login import Login
from ftps_harness.play.scene import situation, watch
from ftps_harness.sandbox import process
from ftps_harness.verdict.observations import ClientAccount
from ftps_harness.verdict.outcome import contradictions, exposures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ftps_harness.play.scene import Scene, Witnessed
    from ftps_harness.verdict.observations import WireAccount
    from ftps_harness.words import Folder
    from ftps_lab.testimony import Testimony, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is run.

    Attributes:
        argv: The command, no shell involved; the program by its absolute path.
        host: The host that it is to connect to. In the place sealed the name leads to the server for every program;
            elsewhere for lftp alone, by a setting.
        cwd: Where it is started; a path as the program sees it.
        env: Further variables of its environment, which is lftp's otherwise: nothing is inherited.
        locale: The locale that it runs in; None for lftp's.
        timeout: Seconds until it is killed, with all that it has started.
    """

    argv: tuple[str, ...]
    host: str = "localhost"
    cwd: Folder | Path = "home"
    env: Mapping[str, str] = field(default_factory=dict)
    locale: str | None = None
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Observed:
    """One run of a program, and what was seen of it.

    Attributes:
        run: The finished program. What lftp says in it, `ftps_harness.client.messages.words` reads.
        holds_payload: Some of the served content is in its output or in the files that it wrote.
        testimony: The server's, with every login and transfer.
        wire: The raw bytes of the server's connections.
        exposure: What anybody on the path could read, and (`elsewhere`) every connection to anybody else.
        exposures: Each secret that reached somebody who must not have it, with whom it reached:
            ``("password", "impostor")``. An impostor's testimony holds the password itself (`Testimony.credentials`).
        contradictions: In what the witnesses do not agree, a sentence each: where there are any, that nothing was
            exposed is not proved, and what was exposed is in doubt.
    """

    run: process.Finished
    holds_payload: bool
    testimony: Testimony
    wire: Wire
    exposure: WireAccount
    exposures: frozenset[tuple[str, str]]
    contradictions: tuple[str, ...]


def observe(scene: Scene, command: Command) -> Observed:
    """Run a program once in a HOME as it stands, and ask server and wire.

    Raises:
        LabError: The server failed.
        HarnessError: The program cannot be started.
    """
    home = scene.home
    scene.prepare()
    scene.place.address_of(command.host)  # from now on, where names are the place's to give
    locale = command.locale or (scene.client.locale if scene.client else "C")
    env = {**environment(home, locale=locale), **command.env}
    start = scene.place.starter(home)
    cwd = command.cwd if isinstance(command.cwd, Path) else home.seen(home.folder(command.cwd))
    run, seen = watch(scene, command.host, lambda: start(command.argv, env=env, cwd=cwd, timeout=command.timeout))
    home.reopen()  # the program may have closed it
    client = _client_account(scene, command, run, seen)
    declared, wire = situation(scene, command.host, Login.of(scene.spec, scene.secrets), seen)
    found = exposures(declared, client, seen.testimony, wire)
    doubts = contradictions(declared, client, seen.testimony, wire, exposed=bool(found))
    return Observed(run, client.holds_payload, seen.testimony, seen.wire, wire, found, doubts)


def _client_account(scene: Scene, command: Command, run: process.Finished, seen: Witnessed) -> ClientAccount:
    """What it showed, whatever it says: whether served content is in its output or in a file."""
    home = scene.home
    evidence = Evidence(
        stdout=run.stdout,
        stderr=run.stderr,
        complaint=False,
        downloads=home.downloads,
        written=seen.written,
        root=scene.root,
        testimony=seen.testimony,
        known="\0".join(command.argv).encode("utf-8", "surrogateescape"),
    )
    return ClientAccount(
        exit_code=run.exit_code,
        signal=run.signal,
        timed_out=run.timed_out,
        words=(),
        notes=(),
        tasks=(),
        holds_payload=holds_payload(evidence, scene.secrets),
        cut=tuple(_cut(run)),
        any_program=True,
        may_hide=scene.place.name != "sealed",  # there it can write nowhere but where is looked
    )


def _cut(run: process.Finished) -> Iterator[str]:
    if run.truncated:
        limit = process.OUTPUT_LIMIT >> 20
        yield f"the program printed more than {limit} MiB, and the rest was dropped, so nobody knows what it contained"
