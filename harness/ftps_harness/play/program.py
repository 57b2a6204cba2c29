"""One run of any program in HOME, and what server and wire witnessed: who received which secret.

The lab does not know what the program should do, so there is no verdict: only what it exposed, and where the witnesses
disagree. Requests to lftp, with a verdict, are in `ftps_harness.play.attempt`.
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
    """A command to run.

    Attributes:
        argv: The command, run without a shell; the program by its absolute path.
        host: The host that it is to connect to. In the place `sealed` the name leads to the server for every program;
            elsewhere only for lftp, by a setting.
        cwd: The folder to start it in, as a path that the program sees.
        env: Variables to add to its environment, which is otherwise lftp's: nothing is inherited.
        locale: Its locale; None for lftp's.
        timeout: Seconds until it is killed, along with everything that it started.
    """

    argv: tuple[str, ...]
    host: str = "localhost"
    cwd: Folder | Path = "home"
    env: Mapping[str, str] = field(default_factory=dict)
    locale: str | None = None
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Observed:
    """One run of a program, and what the witnesses saw.

    Attributes:
        run: The finished program; `ftps_harness.client.messages.words` reads lftp's messages in it.
        holds_payload: Whether its output or the files that it wrote contain any served content.
        testimony: The server's testimony, with every login and transfer.
        wire: The raw bytes of the server's connections.
        exposure: What an on-path attacker could read, and (`elsewhere`) every connection to another peer.
        exposures: Each secret that reached a receiver that must not have it, with that receiver:
            ``("password", "impostor")``. An impostor's testimony holds the password itself (`Testimony.credentials`).
        contradictions: Where the witnesses disagree, a sentence each. If there are any, an empty `exposures` proves
            nothing, and each entry in it is in doubt.
    """

    run: process.Finished
    holds_payload: bool
    testimony: Testimony
    wire: Wire
    exposure: WireAccount
    exposures: frozenset[tuple[str, str]]
    contradictions: tuple[str, ...]


def observe(scene: Scene, command: Command) -> Observed:
    """Run a program once in the current HOME, and collect what server and wire saw.

    Raises:
        LabError: The server failed.
        HarnessError: The program cannot be started.
    """
    home = scene.home
    scene.prepare()
    scene.place.address_of(command.host)  # makes the name resolve, in places that control names
    locale = command.locale or (scene.client.locale if scene.client else "C")
    env = {**environment(home, locale=locale), **command.env}
    start = scene.place.starter(home)
    cwd = command.cwd if isinstance(command.cwd, Path) else home.seen(home.folder(command.cwd))
    run, seen = watch(scene, command.host, lambda: start(command.argv, env=env, cwd=cwd, timeout=command.timeout))
    home.reopen()  # the program may have changed its permissions
    client = _client_account(scene, command, run, seen)
    declared, wire = situation(scene, command.host, Login.of(scene.spec, scene.secrets), seen)
    found = exposures(declared, client, seen.testimony, wire)
    doubts = contradictions(declared, client, seen.testimony, wire, exposed=bool(found))
    return Observed(run, client.holds_payload, seen.testimony, seen.wire, wire, found, doubts)


def _client_account(scene: Scene, command: Command, run: process.Finished, seen: Witnessed) -> ClientAccount:
    """What the program showed, whatever it claims: whether its output or a file contains served content."""
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
        may_hide=scene.place.name != "sealed",  # there it can write only to folders that are examined
    )


def _cut(run: process.Finished) -> Iterator[str]:
    if run.truncated:
        limit = process.OUTPUT_LIMIT >> 20
        yield f"the program printed more than {limit} MiB; the lab dropped the rest and could not examine it"
