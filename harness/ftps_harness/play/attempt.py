"""One run of lftp against one server, and what the three witnesses saw.

The runner and the pytest fixtures share this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ftps_harness.client import lftp
from ftps_harness.play.actions.client_account import client_account
from ftps_harness.play.actions.evidence import Evidence
from ftps_harness.play.actions.literals import Literal
from ftps_harness.play.actions.local_files import SMALL, Local, charset_of, named_outside
from ftps_harness.play.actions.marks import Marks
from ftps_harness.play.actions.tasks import client_actions, files_below
from ftps_harness.play.login import Login
from ftps_harness.play.recording import Recording, ending
from ftps_harness.play.scene import situation, watch
from ftps_harness.scenario.patterns import relative_seconds
from ftps_harness.verdict.hiding import may_hide, scripts_among
from ftps_harness.verdict.judgement import Seen
from ftps_harness.verdict.outcome import conclude
from ftps_lab import disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Run
    from ftps_harness.play.actions.evidence import ClientAction
    from ftps_harness.play.scene import Scene, Witnessed
    from ftps_harness.sandbox.home import Home
    from ftps_harness.verdict.observations import ClientAccount, Outcome, WireAccount
    from ftps_harness.words import Folder
    from ftps_lab.interface import ServerSpec
    from ftps_lab.testimony import Testimony, Wire


_SOURCES = re.compile(r"(?:^|[\s;&|(\"'])(?:so\w*|\.)[\s\"']", re.IGNORECASE)
"""Any rc that sources a file contains this."""

START_UP = (".lftprc", ".lftp/bookmarks", ".netrc", ".config/lftp/rc")
"""Files in HOME that lftp may read on start-up besides its rc (docs/lftp.md, "The rc")."""

BACKGROUND_LOGS = (".lftp/log", ".local/share/lftp/log")
"""Where lftp writes its output after moving to the background (lftp 4.9.3, src/lftp.cc; measured on 4.9.2-2)."""

_SCRIPT = 1 << 16
"""A file up to this size may be a script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What lftp is to do.

    Attributes:
        rc: The rc file, placeholders replaced; None for no rc.
        host: What the user types.
        run: The items of `run`.
        scheme: ``ftp`` or ``ftps``; None for the one that matches the server's protocol.
        user: None for the correct user: the server's, or the run's secret one.
        password: None for the correct password.
        before: lftp commands to run between our settings and `open`.
        timeout: Time limit for lftp, in seconds.
        log: Make lftp write its debug log, the third place where it reports a refusal.
    """

    rc: str | None
    host: str = "localhost"
    run: tuple[str, ...] = ("list", "get")
    scheme: str | None = None
    user: str | None = None
    password: str | None = None
    cwd: Folder = "home"
    clock: str | None = None
    locale: str | None = None
    before: tuple[str, ...] = ()
    timeout: float = 30.0
    log: bool = True


@dataclass(frozen=True, slots=True)
class Attempt:
    """One lftp process, what the three witnesses say about it, and the outcome.

    Attributes:
        start_up: The files besides the rc that lftp may read on start-up, as they were before the run.
        spec: The server's declared spec, with the certificates that its handshakes can show.
        host: The host that the user typed.
        date: The date by lftp's clock when lftp was started.
    """

    outcome: Outcome
    run: Run
    rc: str
    client: ClientAccount
    testimony: Testimony
    wire: Wire
    exposure: WireAccount
    start_up: Mapping[str, bytes] = field(default_factory=dict)
    spec: ServerSpec | None = None
    host: str = ""
    date: datetime | None = None

    @property
    def recording(self) -> Recording:
        """What the witnesses recorded, without raw bytes and output."""
        return Recording(
            testimony=self.testimony,
            exposure=self.exposure,
            program="lftp" if self.run.argv else "",
            ending=ending(self.run),
            reasons=self.client.reasons,
            message=self.client.message,
            spec=self.spec,
            host=self.host,
            date=self.date,
        )

    @property
    def said(self) -> str:
        """lftp's own messages: standard error, plus refusals and errors that only its debug log contains."""
        said = (self.run.stderr.decode("utf-8", "replace"), self.client.message, *self.client.log_notes)
        return "\n".join(said)

    @property
    def seen(self) -> Seen:
        """The observations that are compared with a step's expectation."""
        return Seen(self.outcome, self.said, self.testimony.handshakes)


def attempt(scene: Scene, request: Request) -> Attempt:
    """Run lftp once and ask all three witnesses.

    Args:
        scene: Where lftp runs.
        request: What lftp is to do.

    Raises:
        LabError: The server failed.
        HarnessError: lftp cannot be started, or HOME cannot be written.
    """
    here, secrets, lftp_here = scene.home, scene.secrets, scene.lftp
    if request.rc is not None:
        here.write_rc(request.rc)
    scene.prepare()
    marks = Marks.new(here)
    todo = client_actions(request.run, secrets, here.seen(here.downloads), here.seen(here.uploads), marks.seen)
    local = Local(charset_of(request.locale or lftp_here.locale), lambda: _files_at_hand(scene, request))
    if any(isinstance(action, Literal) for action in todo):
        local.note(SMALL)
    own = {name: here.home / name for name in START_UP if not here.leads_out(here.home / name)}  # reports show them
    start_up = {f"~/{name}": disk.read(path) for name, path in own.items() if disk.is_file(path)}
    began = datetime.now(UTC) + timedelta(seconds=relative_seconds(request.clock) if request.clock else 0)
    login = Login.of(scene.spec, secrets, request.user, request.password)
    (run, said), seen = watch(scene, request.host, lambda: marks.taken_out(_run(scene, request, login, todo, marks)))
    later = _said_in_background(here, seen)
    run, said = replace(run, stderr=run.stderr + later), said + later
    client = client_account(
        run,
        todo,
        _evidence(scene, request, run, seen, marks),
        said,
        dialect=lftp_here.dialect,
        secrets=secrets,
        local=local,
        log=request.log,
    )
    declared, exposure = situation(scene, request.host, login, seen)
    outcome = conclude(declared, client, seen.testimony, exposure)
    return Attempt(
        outcome,
        run,
        request.rc or "",
        client,
        seen.testimony,
        seen.wire,
        exposure,
        start_up,
        spec=scene.spec,
        host=request.host,
        date=began,
    )


def _evidence(scene: Scene, request: Request, run: Run, seen: Witnessed, marks: Marks) -> Evidence:
    """Everything that the proofs of the requested actions examine."""
    here, scripts = scene.home, _script_texts(scene, request.rc or "", *request.run)
    in_logs = tuple(path for path in files_below(here.logs) if path.suffix != ".log")  # commands may write there too
    return Evidence(
        stdout=run.stdout,
        stderr=run.stderr,
        log=run.log,
        scripts=tuple(scripts),
        complaint=False,
        downloads=here.downloads,
        written=(*seen.written, *in_logs),
        root=scene.root,
        testimony=seen.testimony,
        known="\n".join([*run.argv, request.rc or ""]).encode("utf-8", "surrogateescape"),
        rc=(request.rc or "").encode("utf-8", "surrogateescape"),
        may_hide=may_hide(scripts, None if scene.place.name == "sealed" else here.seen(here.root)),
        cwd=here.folder(request.cwd),
        home=here.home,
        seen_as=here.seen(here.home),
        marks=marks.read(),
        left=marks.last not in marks.read() and run.exit_code == 0,
    )


def _run(scene: Scene, request: Request, login: Login, todo: Sequence[ClientAction], marks: Marks) -> Run:
    literal = any(isinstance(action, Literal) for action in todo)
    script = [
        *lftp.settings_of_ours(request.host, address=scene.place.address_of(request.host), rc=_set_up(scene, request)),
        *request.before,
        *(marks.begin if literal else []),
        lftp.open_command(scene.spec.protocol, request.host, scene.server.port, login.user, scheme=request.scheme),
        *(action.command() for action in todo),
        *(marks.end if literal else []),
    ]
    return lftp.run(
        scene.place.client(scene.lftp, scene.home),
        scene.home,
        script=script,
        password=login.password,
        cwd=request.cwd,
        timeout=request.timeout,
        log=request.log,
        clock=request.clock,
        locale=request.locale,
        prefix=scene.place.prefix(),
    )


def _said_in_background(home: Home, seen: Witnessed) -> bytes:
    """What lftp printed after moving to the background, when its output goes to a log in HOME (4.9.2)."""
    found = b""
    for path in (home.home / name for name in BACKGROUND_LOGS):
        if path in seen.written and not home.leads_out(path):
            old = seen.before[path][1] if path in seen.before else 0  # lftp appends
            found += disk.read(path)[old:]
    return found


def _set_up(scene: Scene, request: Request) -> str:
    """What lftp reads before its commands: the rc, the other start-up files, and the scripts that these source."""
    rc = request.rc or ""
    if not _SOURCES.search(rc) and not any((scene.home.home / name).exists() for name in START_UP):
        return rc  # looking at every file of HOME takes a moment
    return "\n".join(_script_texts(scene, rc))


def _script_texts(scene: Scene, *texts_given: str) -> list[str]:
    """Some texts, the start-up files besides the rc, and the scripts that these name."""
    texts = list(texts_given)
    by_itself = {scene.home.home / name for name in START_UP}
    unread = list(files_below(scene.home.home))
    while named := _scripts(unread, by_itself, texts):
        unread = [path for path in unread if path not in named]
        contents = [disk.read(path) for path in named if path.stat().st_size <= _SCRIPT]
        texts += [content.decode("utf-8", "replace") for content in contents if b"\0" not in content]
    return texts


def _scripts(paths: Sequence[Path], by_itself: set[Path], texts: Sequence[str]) -> list[Path]:
    names = scripts_among((path.name for path in paths), texts)
    return [path for path in paths if path in by_itself or path.name in names]


def _files_at_hand(scene: Scene, request: Request) -> Iterator[Path]:
    """Possible uploads and download locations of literal commands; the other actions check their own files."""
    yield from files_below(*scene.home.reach)
    yield from named_outside(request.run, scene.home.root)
