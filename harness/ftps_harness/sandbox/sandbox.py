"""The handle on a sandbox: start it, run servers through the lab's agent, run programs, capture traffic, end it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import ftps_harness
import ftps_lab
from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import process
from ftps_harness.sandbox.changes import CALLS_KEPT
from ftps_harness.sandbox.line import Line
from ftps_harness.sandbox.running import END_SECONDS, Running
from ftps_harness.sandbox.supervisor import MARK_PORT, MARK_SIZE, TOKEN_SIZE
from ftps_lab.processes import WATCH
from ftps_lab.temporary import Folder, wanted_place
from ftps_lab.wire.capture import Capture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftps_harness.sandbox.changes import Interrupt
    from ftps_lab.remote.handle import RemoteHost
    from ftps_lab.wire import Traffic

_START_SECONDS = 10.0
"""Time limit for the supervisor to start; it takes 30 ms."""

_PACKAGES = [str(Path(package.__path__[0]).parent) for package in (ftps_harness, ftps_lab)]
_BOOT = """
import sys
sys.path[:0] = {packages!r}
from ftps_harness.sandbox.supervisor import main
main({control}, {order!r})
"""

_SWITCHES = (
    ("kernel/apparmor_restrict_unprivileged_userns", "0", "1"),  # Ubuntu 24.04
    ("kernel/unprivileged_userns_clone", "1", "0"),  # Debian's own, before 11
    ("user/max_user_namespaces", "10000", "0"),
)
"""Settings below /proc/sys that keep ordinary users from creating namespaces: name, value that permits it, value that
does not."""

_CONTAINER = (
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
)
"""What a Docker or Podman container needs: its default profile forbids unshare(2) and masks parts of /proc."""


class Unavailable(HarnessError):  # noqa: N818 - not an error: this machine does not permit it
    """No sandbox can be created here; the message names the missing permission and how to grant it."""


def how_to_grant(proc: Path = Path("/proc/sys"), root: Path = Path("/")) -> str:
    """Return what to do if the kernel permits no sandbox, as the rest of a sentence.

    Args:
        proc: The folder of the kernel's settings.
        root: The root folder, which shows whether this is a container.
    """
    for name, granting, refusing in _SWITCHES:
        with contextlib.suppress(OSError):
            if (proc / name).read_text("ascii").strip() == refusing:
                return f"as root: sysctl {name.replace('/', '.')}={granting}"
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return f"start this container with {_CONTAINER}"
    return "allow unprivileged user namespaces, or run as root"


def why_none() -> str:
    """Why no sandbox can be created here, as a sentence that says what to do; empty if one can."""
    try:
        with Folder("sandbox", wanted_place()) as folder, Sandbox(folder.path):
            return ""
    except HarnessError as why:
        return str(why)


class Sandbox:
    """One sandbox. A context manager; the creator must end it.

    Attributes:
        folder: Holds the sealed folders of programs; removed at the end.
    """

    def __init__(
        self,
        folder: Path,
        *,
        visible: Sequence[str] = (),
        replaced: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        """Start it, and wait until its namespaces exist; the agent inside may take a little longer.

        Args:
            folder: Holds the sealed folders of programs (`run`).
            visible: Program folders and files that stay visible although their parent is emptied (/home, /tmp, /run);
                a folder comes before its content.
            replaced: System files and folders, and our replacements for them inside.
            wait: Wait now. Otherwise call `wait` before anything else: meanwhile it starts.

        Raises:
            Unavailable: The kernel does not permit it.
            HarnessError: It does not start.
        """
        if sys.platform != "linux":
            raise Unavailable("a sandbox needs Linux namespaces")
        self.folder = folder
        self._lock = threading.Lock()
        order: dict[str, object] = {"folder": str(folder), "visible": list(visible), "replaced": dict(replaced or {})}
        with contextlib.ExitStack() as stack:
            self._owner, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.callback(self._owner.close)
            self._line = Line()
            stack.callback(self._line.close)
            stack.callback(theirs.close)
            agent = self._line.theirs
            self._process = _start(theirs.fileno(), agent, order)
            stack.callback(self._end)
            theirs.close()
            for descriptor in agent:
                os.close(descriptor)
            self._token = secrets.token_bytes(TOKEN_SIZE)
            with contextlib.suppress(HarnessError):  # it may have ended already; then its first message says why
                self._send(self._token)
            self._stack = stack.pop_all()
        if wait:
            try:
                self.wait()
            except BaseException:
                self.close()
                raise

    def wait(self) -> None:
        """Wait until its namespaces exist.

        Raises:
            Unavailable: The kernel does not permit it.
            HarnessError: It does not start.
        """
        self._capture = Capture(self._first_word(), self._mark, MARK_PORT, MARK_SIZE, self._token)
        self._stack.callback(self._capture.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @functools.cached_property
    def host(self) -> RemoteHost:
        """The lab's agent inside, which starts servers. It and its handle load while other work goes on."""
        from ftps_lab.remote.handle import RemoteHost  # loads OpenSSL, so import it long after the agent was started

        return RemoteHost(self._line, "the sandbox's agent")

    def close(self) -> None:
        """End everything inside; repeatable."""
        self._stack.close()

    def begin(self) -> None:
        """Discard the traffic so far.

        Raises:
            LabError: The capture is broken.
        """
        self._capture.begin()

    def traffic(self) -> Traffic:
        """Return the connections of all packets since `begin`.

        Raises:
            LabError: The capture is broken.
        """
        return self._capture.traffic()

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        timeout: float,
        folder: str,
        shown: Mapping[str, str] | None = None,
        interrupt: Interrupt | None = None,
    ) -> process.Finished:
        """Run a program, and everything that it starts, in the sandbox to its end.

        Like `process.run`, it waits for background jobs that outlive the program until the time limit.

        Args:
            argv: The command; the program by its absolute path.
            env: Its complete environment.
            cwd: The folder to start it in, as seen inside.
            timeout: Seconds until all remaining processes are killed.
            folder: Name of its sealed folder below the sandbox's `folder`; the program sees it as `view.INSIDE`.
            shown: Further absolute paths that show parts of that folder, by their names in it.
            interrupt: Count its changes to files of that folder, and interrupt it at one of them; the result's
                `changes` says what happened.

        Raises:
            HarnessError: It cannot be started, or the sandbox has ended.
            Interrupted: This thread's `INTERRUPTION` requested a stop.
        """
        order = {
            "argv": list(argv),
            "env": dict(env),
            "cwd": str(cwd),
            "folder": folder,
            "shown": dict(shown or {}),
            "interrupt": interrupt and {**dataclasses.asdict(interrupt), "kept": CALLS_KEPT},
        }
        with Running(self._send, order) as running, process.turn():
            running.begin()
            return running.finish(timeout)

    def _send(self, word: bytes, descriptors: Sequence[int] = ()) -> None:
        try:
            with self._lock:
                socket.send_fds(self._owner, [word], list(descriptors))
        except OSError as error:
            raise HarnessError(f"the sandbox has ended: {error.strerror or error}") from error

    def _mark(self) -> None:
        self._send(b"M")

    def _first_word(self) -> socket.socket:
        """Receive the capture socket, which the supervisor sends when it is ready."""
        self._owner.settimeout(_START_SECONDS)
        try:
            text, descriptors, _, _ = socket.recv_fds(self._owner, 4096, 1)
        except TimeoutError:
            raise HarnessError(f"the sandbox did not start within {_START_SECONDS:.0f} seconds") from None
        except ConnectionResetError:
            text, descriptors = b"", []
        if descriptors:
            return socket.socket(fileno=descriptors[0])
        if not text:
            raise HarnessError(f"the sandbox ended during its start: {self._line.last_words() or 'no output'}")
        said = json.loads(text)
        raise Unavailable(f"the kernel does not permit {said['doing']}: {said['why']}; {how_to_grant()}")

    def _end(self) -> None:
        """Close the connection, which ends the supervisor and with it the PID namespace."""
        self._owner.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_SECONDS)


def _start(control: int, streams: Sequence[int], order: Mapping[str, object]) -> subprocess.Popen[bytes]:
    agent = [sys.executable, "-m", "ftps_lab.remote.agent"]
    complete = {**order, "agent": agent, "variables": {WATCH: "1"}, "streams": list(streams)}
    boot = _BOOT.format(packages=list(dict.fromkeys(_PACKAGES)), control=control, order=complete)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*_PACKAGES, *filter(None, sys.path)]))}
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", boot],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=streams[2],
            pass_fds=(control, *streams),
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise HarnessError(f"cannot start a sandbox: {error.strerror or error}") from error
