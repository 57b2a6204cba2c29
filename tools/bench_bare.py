"""The bench's baseline: the same lftp command lines without the harness."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftps_harness.client import lftp
from ftps_harness.play import material
from ftps_harness.play.actions.tasks import client_actions, populate
from ftps_harness.play.login import Login, right_password
from ftps_harness.sandbox.home import Home
from ftps_harness.sandbox.secrets import Secrets
from ftps_harness.scenario import substitute
from ftps_harness.scenario.files import destination
from ftps_lab.server.handlers import Doorman
from ftps_lab.servers import FtpsServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # asyncore, on Python 3.11
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp
    from ftps_harness.scenario import Scenario, Step
    from ftps_harness.words import Folder
    from ftps_lab.interface import ServerSpec


@dataclass(frozen=True)
class Line:
    """One step's lftp command line, with everything that it needs prepared."""

    script: tuple[str, ...]
    home: Home
    cwd: Folder
    password: str


def seconds(client: Lftp, scenarios: list[Scenario], *, stock: bool) -> float:
    """Seconds that lftp takes for all these scenarios. Servers, files and rc are ready before the clock starts."""
    total = 0.0
    for scenario in scenarios:
        with contextlib.ExitStack() as stack:
            lines = _prepared(scenario, stack, stock=stock)
            for line in lines:
                began = time.perf_counter()
                start(client, line)
                total += time.perf_counter() - began
    return total


def start(client: Lftp, line: Line) -> None:
    """Run one line and wait for it."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(line.home.home), "LC_ALL": "C", "TERM": "dumb"}
    environment["LFTP_PASSWORD"] = line.password
    subprocess.run(
        [str(client.path), "-c", "\n".join(line.script)],
        env=environment,
        cwd=line.home.folder(line.cwd),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )


def _prepared(scenario: Scenario, stack: contextlib.ExitStack, *, stock: bool) -> list[Line]:
    """One server and one HOME for each step, started and written before the clock runs."""
    issued = material.Material(scenario)
    lines = []
    files: dict[tuple[str, str], tuple[Step, str, bytes]] = {}
    rc = ""
    for step in scenario.steps:
        secrets = Secrets.new()
        spec = replace(issued.server(step.server), password=right_password(step, step.expect.verdict))
        login = Login.of(spec, secrets, step.user, step.password)
        pem = spec.certificate.pem if spec.certificate else b""
        files |= {destination(name, step.cwd): (step, name, pem) for name in step.files}
        rc = rc if step.rc is None else step.rc
        port = _served(spec, secrets, stack, stock=stock)
        home = stack.enter_context(Home())
        values = issued.placeholders(home.dot_lftp, step.host, port, login)
        for of, name, served in files.values():
            issued.put_file(home, of, name, values, functools.partial(bytes, served))
        home.write_rc(substitute(rc, values))
        home.put_upload(secrets.upload_name, secrets.upload_content)
        script = (
            *lftp.settings_of_ours(step.host),
            lftp.open_command(spec.protocol, step.host, port, login.user),
            *(
                action.typed()
                for action in client_actions(step.run, secrets, home.downloads, home.uploads, home.logs / "-")
            ),
        )
        lines.append(Line(script, home, step.cwd, login.password))
    return lines


def _served(spec: ServerSpec, secrets: Secrets, stack: contextlib.ExitStack, *, stock: bool) -> int:
    """The port of a server that runs until the stack closes."""
    root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    populate(root, secrets)
    # pyftpdlib has no implicit FTPS, so both sides of the comparison use the lab's own server.
    if stock and spec.protocol != "implicit":
        return _stock(spec, root, secrets, stack).port
    return stack.enter_context(FtpsServer(spec, root=root, password=secrets.password)).port


class _Stock:
    """Stock pyftpdlib, in a thread."""

    def __init__(self, handler: type, ioloop: Any) -> None:
        self._ioloop = ioloop
        self._ftpd = FTPServer(("127.0.0.1", 0), handler, ioloop=ioloop)
        self.port: int = self._ftpd.address[1]
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopping:
            self._ioloop.loop(0.05, blocking=False)
        self._ioloop.close()

    def stop(self) -> None:
        self._stopping = True
        self._thread.join()


def _stock(spec: ServerSpec, root: Path, secrets: Secrets, stack: contextlib.ExitStack) -> _Stock:
    names: dict[str, Any] = {"authorizer": Doorman(str(root.resolve()), secrets.password)}
    base: type = FTPHandler
    if spec.certificate is not None and spec.protocol != "plain":
        base = TLS_FTPHandler
        pem = root.parent / f"{root.name}.pem"
        pem.write_bytes(spec.certificate.key_pem + spec.certificate.pem + b"".join(c.pem for c in spec.chain))
        stack.callback(pem.unlink)
        names |= {"certfile": str(pem), "tls_control_required": spec.require_tls}
    server = _Stock(type("Handler", (base,), names), IOLoop())
    stack.callback(server.stop)
    return server
