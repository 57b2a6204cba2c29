"""One run of lftp against one server, and what the three witnesses saw of it.

The runner and the pytest fixtures share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_harness import lftp, messages
from ftps_harness.outcome import ClientAccount, Outcome, Situation, WireAccount, conclude
from ftps_harness.tasks import Evidence, errands, holds_payload

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.home import Folder, Home
    from ftps_harness.lftp import Lftp, Run
    from ftps_harness.place import Server
    from ftps_harness.secrets import Secrets
    from ftps_lab.servers import ServerSpec
    from ftps_lab.testimony import Testimony, Wire

ANONYMOUS = "anonymous"
"""Logs in as lftp does when no user is named. Such a login never uses explicit TLS (FACTS.md), whereas
``open -u anonymous`` does (measured on 4.8.4, 4.9.2 and 4.9.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What lftp is to do.

    Attributes:
        rc: The rc file, placeholders replaced; None for none at all.
        host: What the user types.
        run: The items of `run`.
        user: None for the run's secret user.
        password: None for the run's secret password.
        before: lftp commands between our settings and `open`.
        timeout: Seconds that lftp may take.
        log: Have lftp write its debug log, the third place where it states a refusal.
    """

    rc: str | None
    host: str = "localhost"
    run: tuple[str, ...] = ("list", "get")
    user: str | None = None
    password: str | None = None
    cwd: Folder = "home"
    clock: str | None = None
    before: tuple[str, ...] = ()
    timeout: float = 30.0
    log: bool = True


@dataclass(frozen=True, slots=True)
class Attempt:
    """One lftp process, what the three witnesses say of it, and the outcome."""

    outcome: Outcome
    run: Run
    rc: str
    client: ClientAccount
    testimony: Testimony
    wire: Wire
    exposure: WireAccount

    @property
    def said(self) -> str:
        """lftp's own text: standard error, and the refusals that only its debug log holds."""
        return self.run.stderr.decode("utf-8", "replace") + "\n" + self.client.message


@dataclass(frozen=True, slots=True)
class Scene:
    """Where it happens: the client's binary, its HOME, the server, what the server serves and what is secret."""

    client: Lftp
    home: Home
    server: Server
    root: Path
    secrets: Secrets


def attempt(scene: Scene, spec: ServerSpec, request: Request) -> Attempt:
    """Run lftp once and ask all three witnesses.

    Args:
        scene: Where.
        spec: What the server is at this moment.
        request: What lftp is to do.

    Raises:
        LabError: The server failed.
        HarnessError: lftp cannot be started, or HOME cannot be written.
    """
    home, secrets, server = scene.home, scene.secrets, scene.server
    if request.rc is not None:
        home.write_rc(request.rc)
    home.clear_downloads()
    home.put_upload(secrets.upload_name, secrets.upload_content)
    todo = errands(request.run, secrets, home.downloads, home.uploads)
    user = request.user or secrets.user
    script = [
        *lftp.settings_of_ours(request.host),
        *request.before,
        lftp.open_command(spec.protocol, request.host, server.port, user),
        *(errand.command() for errand in todo),
    ]
    server.record()
    run = lftp.run(
        scene.client,
        home,
        script=script,
        password=request.password or secrets.password,
        cwd=request.cwd,
        timeout=request.timeout,
        log=request.log,
        clock=request.clock,
        prefix=lftp.system_rc_prefix(),
    )
    settled = server.settle()
    testimony, wire = server.testimony(), server.wire()
    evidence = Evidence(run.stdout, run.exit_code, home.downloads, scene.root, testimony)
    client = ClientAccount(
        exit_code=run.exit_code,
        signal=run.signal,
        timed_out=run.timed_out,
        words=messages.words(run.stderr, run.log, scene.client.dialect),
        notes=messages.notes(run.stderr),
        tasks=tuple(errand.proof(evidence) for errand in todo),
        log_missing=run.log_missing,
        holds_payload=holds_payload(evidence, secrets),
    )
    exposure = _on_the_wire(wire, secrets, anonymous=user == ANONYMOUS)
    situation = Situation(
        password="" if user == ANONYMOUS else secrets.password,
        certificate="" if spec.certificate is None else spec.certificate.sha256,
        settled=settled,
    )
    outcome = conclude(situation, client, testimony, exposure)
    return Attempt(outcome, run, request.rc or "", client, testimony, wire, exposure)


def _on_the_wire(wire: Wire, secrets: Secrets, *, anonymous: bool) -> WireAccount:
    """What anybody on the path could read. An anonymous login has no secret password."""
    streams = [stream for record in wire.records for stream in (record.to_server, record.to_client)]
    return WireAccount(
        connections=tuple((record.kind, record.peer[1]) for record in wire.records),
        password=not anonymous and any(map(secrets.find_password, streams)),
        payload=any(map(secrets.find_payload, streams)),
    )
