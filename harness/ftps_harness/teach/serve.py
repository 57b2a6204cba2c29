"""`ftps-lab serve`: keeps a scenario's server running, for a learner with lftp in another terminal.

The HOME that a step needs (rc, pins) is made as for a run, so the learner can type every printed command as it is. The
user's own ~/.lftp is never touched: every printed command names the other HOME.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from ftps_harness.client import s_client
from ftps_harness.client.lftp.settings import LAB_ADDRESS, quoted, scheme_of
from ftps_harness.errors import UsageError
from ftps_harness.play.actions.tasks import client_actions
from ftps_harness.play.login import ANONYMOUS, Login, right_password
from ftps_harness.play.material import Material
from ftps_harness.play.session import Session
from ftps_harness.report.account import server_section
from ftps_harness.report.plain import harmless, plural, wrapped
from ftps_harness.report.showing import expected_words, server_words
from ftps_harness.sandbox import signals
from ftps_harness.sandbox.secrets import Secrets
from ftps_harness.scenario import substitute
from ftps_harness.scenario.files import destination
from ftps_harness.teach import keys, live
from ftps_lab.certificates import issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ftps_harness.scenario import Scenario, Step

_WIDTH = 80
_MISLEADING = ("LFTP_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that would point the learner's lftp to a folder other than ~/.lftp, or to other certificates."""

_POLL_SECONDS = 0.2
"""Interval in seconds between checks for a requested end, and for a failed server thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to serve.

    Attributes:
        port: Where to listen; 0 lets the system choose.
        step: The step to start with; the files of earlier steps are in place.
        user: The learner's user; None for a generated one.
        password: The learner's password; None for a generated one.
        rotate_every: Interval in seconds at which the server presents a new certificate; None for never.
        predict: Leave out what gives the answer away: the scenario's explanation, and what each step expects.
    """

    port: int = 0
    step: int = 1
    user: str | None = None
    password: str | None = None
    rotate_every: float | None = None
    predict: bool = False


def serve(scenario: Scenario, say: Callable[[str], None], options: Options) -> None:
    """Serve until Ctrl-C, SIGTERM or `q`, and report live what the server sees.

    `keys.KEYS` lists the keys of a terminal and the lines of a pipe.

    Args:
        scenario: The scenario whose server to run.
        say: Called with each line for the learner.
        options: How to serve.

    Raises:
        UsageError: The scenario has no such step.
        LabError: The port is taken, or the server failed.
    """
    if options.step > len(scenario.steps):
        raise UsageError(f"--step {options.step}: {scenario.id} has {plural(len(scenario.steps), 'step')}")
    asked: list[bool] = []  # not a threading.Event: a signal handler must not take a lock
    with contextlib.ExitStack() as stack:
        stack.enter_context(signals.on_shutdown_signal(lambda: asked.append(True)))
        session = stack.enter_context(TeachingSession(scenario, options))
        pressed = stack.enter_context(keys.Keys(sys.stdin))
        for number in range(1, options.step):
            session.prepare(number)
        number = options.step
        while True:
            session.prepare(number)
            _say_all(say, session.lines(number, first=number == options.step))
            _say_all(say, _offer(number, scenario, live=pressed.live))
            key = _wait(asked, session, pressed, say, options.rotate_every)
            say("")
            _say_all(say, session.seen())
            if key == "quit":
                return
            number += 1 if key == "next" else -1
            number = min(max(number, 1), len(scenario.steps))


class TeachingSession:
    """The server, its folder, and a HOME for the learner's lftp; leaving the context removes everything.

    Args:
        scenario: The scenario whose server to run.
        options: How to serve.
    """

    def __init__(self, scenario: Scenario, options: Options) -> None:
        self._scenario = scenario
        self._options = options
        self._events = live.Events()
        self._material = Material(scenario)
        self._rc: str | None = None
        self._name = scenario.server.certificate

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._session = session = stack.enter_context(Session(secrets=_secrets(self._options)))
            self._home = session.home
            self._home.put_upload(session.secrets.upload_name, session.secrets.upload_content)
            self._certificates = self._write_certificates()
            session.serve(self._material.server(self._scenario.server), port=self._options.port)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(self, number: int) -> None:
        """Change server, rc and files as the step does before lftp runs."""
        step = self._step(number)
        spec = self._material.server(step.server)
        self._name = step.server.certificate
        self._session.change(replace(spec, password=right_password(step, step.expect.verdict)))
        if step.rc is not None:
            self._rc = step.rc
        for name in step.files:
            self._material.put_file(self._home, step, name, self._values(step), lambda: self._fetched(step))
        if self._rc is not None:
            self._home.write_rc(substitute(self._rc, self._values(step)))
        self._session.server.record()
        self._events.forget()

    def news(self) -> Iterator[str]:
        """A line for each event that the server saw since the last call."""
        self.check()
        return self._events.new(self._session.server.testimony())

    def rotate(self) -> str:
        """Present a new certificate from the next connection on, as an honest owner would; return the message about it.

        Names and issuer stay; key, serial number and key identifiers are new.
        """
        spec = self._session.spec
        if self._name is None or spec.certificate is None:
            return "A server without TLS has no certificate to rotate."
        others = {name: each for name, each in self._material.certificates.items() if name != self._name}
        new = issue(self._scenario.certificates, given=others)[self._name]
        self._session.change(replace(spec, certificate=new))
        if spec.intercepted:
            return (
                "Rotated: the genuine server shows a new certificate now, but clients still meet the interceptor's. "
                f"SHA-256 {new.sha256}"
            )
        return f"Rotated: the server shows a new certificate now, SHA-256 {new.sha256}"

    def lines(self, number: int, *, first: bool) -> Iterator[str]:
        """The step's introduction for the learner, and the commands to type."""
        if first:
            yield from self._introduction()
        step = self._step(number)
        yield f"Step {number} of {len(self._scenario.steps)}: {harmless(step.title)}"
        yield from _prose(f"the server: {server_words(step.server)}", "  ")
        yield from (f"  file: {harmless(str(self._path(name, step)))}" for name in step.files)
        yield from self._rc_lines()
        if not self._options.predict:
            yield "  expected:"
            for words in expected_words(step):
                yield from _prose(harmless(words), "    ")
        yield ""
        yield "In another terminal, type:"
        yield ""
        command = self._command(step)
        yield from harmless(command).split("\n")
        yield ""
        yield f"The same, shorter: sh {shlex.quote(str(self._write_script(command)))}"
        yield ""

    def seen(self) -> Iterator[str]:
        """What the server saw since the step began."""
        self.check()
        testimony = self._session.server.testimony()
        if testimony.connections:
            yield "What the server saw:"
            yield from (f"  {line}" for line in server_section(testimony).lines)
            yield ""
        if testimony.behind is not None and testimony.behind.connections:
            yield "What the genuine server behind the attacker saw:"
            yield from (f"  {line}" for line in server_section(testimony.behind).lines)
            yield ""

    def check(self) -> None:
        """Raise LabError if the server's thread failed."""
        self._session.server.settle(0)

    def _login(self, step: Step) -> Login:
        return self._session.login(step.user, step.password)

    def _values(self, step: Step) -> dict[str, str]:
        return self._material.placeholders(self._home.dot_lftp, step.host, self._session.server.port, self._login(step))

    def _step(self, number: int) -> Step:
        return self._scenario.steps[number - 1]

    def _path(self, name: str, step: Step) -> Path:
        """The path of a step's file."""
        folder, plain_name = destination(name, step.cwd)
        return self._home.folder(folder) / plain_name

    def _introduction(self) -> Iterator[str]:
        server = self._scenario.server
        yield f"{harmless(self._scenario.title)} ({harmless(self._scenario.id)})"
        if not self._options.predict:
            yield from _prose(harmless(self._scenario.why), "")
        yield f"listening on {self._session.server.host} port {self._session.server.port}"
        yield ""
        right = Login.of(self._material.server(server), self._session.secrets)
        yield f"  user          {harmless(right.user)}"
        yield f"  password      {harmless(right.password)}"
        for index, path in enumerate(self._certificates):
            yield f"  {'' if index else 'certificates':13} {path}"
        if server.protocol != "plain" and server.shows_certificate:
            yield ""
            yield "To fetch its certificate as the document does:"
            yield ""
            command = s_client.command_line("localhost", self._session.server.port, protocol=server.protocol)
            yield f"{shlex.join(command)} </dev/null"
        yield ""

    def _rc_lines(self) -> Iterator[str]:
        if self._rc is None:
            yield "  rc: no such file"
            return
        path = self._home.dot_lftp / "rc"
        yield f"  rc, written to {path}:"
        text = harmless(path.read_text("utf-8", "surrogateescape")).strip("\n")
        yield from (f"    {line}" for line in (text or "(empty)").split("\n"))

    def _command(self, step: Step) -> str:
        """The complete command line; a newline ends each lftp command, as in a run.

        It runs in a subshell: its folder is removed at the end, and the learner's shell must not be in it then.
        """
        home = self._home
        run = tuple(substitute(item, self._values(step)) for item in step.run)
        todo = client_actions(run, self._session.secrets, home.downloads, home.uploads, home.logs / "marks")
        script = [*_way_to_the_lab(step.host), self._open(step), *(action.typed() for action in todo)]
        clock = ["faketime", "-f", step.clock] if step.clock else []
        unset = [part for name in _MISLEADING if name in os.environ for part in ("-u", name)]
        locale = [f"LC_ALL={step.locale}"] if step.locale else []
        environment = [*(["env", *unset] if unset else []), f"HOME={self._home.home}", *locale]
        lftp = f"{shlex.join([*environment, *clock, 'lftp', '-c'])} {_quoted(script)}"
        return f"(cd {shlex.quote(str(self._home.folder(step.cwd)))} &&\n{lftp})"

    def _write_script(self, command: str) -> Path:
        """The command as a file: at 80 columns it breaks within words, and no one types it without a mistake."""
        path = self._home.root / "lftp.sh"
        path.write_text(f"{command}\n", "utf-8", "surrogateescape")
        return path

    def _open(self, step: Step) -> str:
        scheme = step.scheme or scheme_of(step.server.protocol)
        address = f"[{step.host}]" if ":" in step.host else step.host
        return f"open {_who(self._login(step))}-p {self._session.server.port} {scheme}://{address}"

    def _fetched(self, step: Step) -> bytes:
        host, port = self._session.server.host, self._session.server.port
        return s_client.fetch(
            host, port, protocol="implicit" if step.server.protocol == "implicit" else "explicit"
        ).leaf

    def _write_certificates(self) -> list[Path]:
        folder = self._home.root / "certificates"
        folder.mkdir(mode=0o700)
        paths = []
        for name, certificate in self._material.certificates.items():
            path = folder / f"{name}.pem"
            path.write_bytes(certificate.pem)
            paths.append(path)
        return paths


def _way_to_the_lab(host: str) -> list[str]:
    if host.replace(".", "").isdigit() or ":" in host:
        return []
    return [f"set dns:name/{host} {LAB_ADDRESS}"]


def _who(login: Login) -> str:
    """Options for `open`, in the short form that people type where possible."""
    if login.user == ANONYMOUS:
        return ""
    if "," not in login.user and all(quoted(text) == text for text in (login.user, login.password)):
        return f"-u {login.user},{login.password} "
    return f"--user {quoted(login.user)} --password {quoted(login.password)} "


def _quoted(script: list[str]) -> str:
    return shlex.quote("\n".join(script))


def _prose(text: str, indent: str) -> Iterator[str]:
    yield from (indent + line for line in wrapped(text, _WIDTH - len(indent)))


def _say_all(say: Callable[[str], None], lines: Iterator[str]) -> None:
    for line in lines:
        say(line)


def _offer(number: int, scenario: Scenario, *, live: bool) -> Iterator[str]:
    """The available actions, and the next step."""
    words = []
    if live and number < len(scenario.steps):
        words.append(f"Enter goes to step {number + 1}: {harmless(scenario.steps[number].title)}.")
    if live and number > 1:
        words.append("p goes back.")
    if live:
        words.append("r rotates the certificate.")
    yield from _prose(" ".join([*words, "Ctrl-C ends it."]), "")
    yield ""


def _secrets(options: Options) -> Secrets:
    made = Secrets.new()
    return replace(made, user=options.user or made.user, password=options.password or made.password)


def _wait(
    asked: list[bool],
    session: TeachingSession,
    pressed: keys.Keys,
    say: Callable[[str], None],
    rotate_every: float | None,
) -> keys.Key:
    """Report events until a key requests another step or the end."""
    rotated = time.monotonic()
    while not asked:
        time.sleep(_POLL_SECONDS)
        _say_all(say, session.news())
        key = pressed.read()
        if rotate_every is not None and time.monotonic() - rotated >= rotate_every:
            key = key or "rotate"
        if key == "rotate":
            rotated = time.monotonic()
            say(session.rotate())
        elif key is not None:
            return key
    return "quit"
