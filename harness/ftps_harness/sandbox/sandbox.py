"""The handle on a sandbox: start it, have the lab's agent serve in it, run programs, see all traffic, end it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import secrets
import select
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import ftps_harness
import ftps_lab
from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import process
from ftps_harness.sandbox.changes import CALLS_KEPT, Call, Changes, Found
from ftps_harness.sandbox.supervisor import MARK_PORT, MARK_SIZE, TOKEN_SIZE
from ftps_lab.errors import LabError
from ftps_lab.processes import WATCH
from ftps_lab.temporary import Folder, wanted_place
from ftps_lab.wire.capture import Capture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ftps_harness.sandbox.changes import Interrupt
    from ftps_lab.remote.handle import RemoteHost
    from ftps_lab.wire import Traffic

_START_SECONDS = 10.0
"""How long the supervisor may take to be there; it takes 30 ms."""

_ENDED = b'{"ended": true}\n'

_END_SECONDS = 5.0
"""How long everything inside may take to end once it is killed; the kernel needs milliseconds."""

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
"""Settings below /proc/sys that keep ordinary users from namespaces: which, the value that grants them, and that which
does not."""

_CONTAINER = (
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
)
"""What a container of Docker or Podman needs: its profile forbids unshare(2) and covers parts of /proc."""


class Unavailable(HarnessError):  # noqa: N818 - nothing is broken: this machine does not permit it
    """No sandbox can be made here; the sentence names the missing permission and how to grant it."""


def how_to_grant(proc: Path = Path("/proc/sys"), root: Path = Path("/")) -> str:
    """What to do where the kernel permits no sandbox, as the rest of a sentence.

    Args:
        proc: Where the kernel's settings are.
        root: Where it shows whether this is a container.
    """
    for name, granting, refusing in _SWITCHES:
        with contextlib.suppress(OSError):
            if (proc / name).read_text("ascii").strip() == refusing:
                return f"as root: sysctl {name.replace('/', '.')}={granting}"
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return f"start this container with {_CONTAINER}"
    return "allow unprivileged user namespaces, or run as root"


def why_none() -> str:
    """Why no sandbox can be made here, as a sentence that says what to do; empty if one can."""
    try:
        with Folder("sandbox", wanted_place()) as folder, Sandbox(folder.path):
            return ""
    except HarnessError as why:
        return str(why)


class Sandbox:
    """One sandbox. A context manager; whoever makes it ends it.

    Attributes:
        folder: Where the folders are that programs get; removed in the end.
    """

    def __init__(self, folder: Path, *, visible: Sequence[str] = (), replaced: Mapping[str, str] | None = None) -> None:
        """Start it, and wait until its namespaces are there; the agent inside may take a little longer.

        Args:
            folder: Holds the folders that programs get as theirs (`run`).
            visible: Folders and files of programs that stay visible although what holds them is emptied (/home, /tmp,
                /run); a folder before what is in it.
            replaced: Files and folders of the system, and ours that are in their place inside.

        Raises:
            Unavailable: The kernel does not permit it.
            HarnessError: It does not start.
        """
        if sys.platform != "linux":
            raise Unavailable("a sandbox needs the namespaces of Linux")
        self.folder = folder
        self._lock = threading.Lock()
        order: dict[str, object] = {"folder": str(folder), "visible": list(visible), "replaced": dict(replaced or {})}
        with contextlib.ExitStack() as stack:
            self._owner, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.callback(self._owner.close)
            self._line = _Line()
            stack.callback(self._line.close)
            stack.callback(theirs.close)
            agent = self._line.theirs
            self._process = _start(theirs.fileno(), agent, order)
            stack.callback(self._end)
            theirs.close()
            for descriptor in agent:
                os.close(descriptor)
            token = secrets.token_bytes(TOKEN_SIZE)
            with contextlib.suppress(HarnessError):  # it may have ended already; then its first word says why
                self._send(token)
            sock = self._first_word()
            self._capture = Capture(sock, self._mark, MARK_PORT, MARK_SIZE, token)
            stack.callback(self._capture.close)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @functools.cached_property
    def host(self) -> RemoteHost:
        """The lab's agent inside: has servers started. It loads while others work, and so does what speaks to it."""
        from ftps_lab.remote.handle import RemoteHost  # with OpenSSL, long after the agent has been started

        return RemoteHost(self._line, "the sandbox's agent")

    def close(self) -> None:
        """End everything inside; repeatable."""
        self._stack.close()

    def begin(self) -> None:
        """Forget the traffic so far.

        Raises:
            LabError: The capture is broken.
        """
        self._capture.begin()

    def traffic(self) -> Traffic:
        """Every packet's connection since `begin`.

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
        """Run a program in it to its end, and everything that it starts.

        Background jobs that outlive the program are waited for until the time limit, as `process.run` does.

        Args:
            argv: The command; the program by its absolute path.
            env: Its whole environment.
            cwd: The folder that it is started in, as seen inside.
            timeout: Seconds until whatever is left is killed.
            folder: Name of the folder below `folder` that is its own: `view.INSIDE` for it.
            shown: Absolute paths at which parts of that folder are shown too, by their names in it.
            interrupt: Count its changes to files of that folder, and interrupt it at one of them; the result's
                `changes` says what happened.

        Raises:
            HarnessError: It cannot be started, or the sandbox has ended.
            Interrupted: This thread's `INTERRUPTION` asked for the end.
        """
        order = {
            "argv": list(argv),
            "env": dict(env),
            "cwd": str(cwd),
            "folder": folder,
            "shown": dict(shown or {}),
            "interrupt": interrupt and {**dataclasses.asdict(interrupt), "kept": CALLS_KEPT},
        }
        with _Running(self._send, order) as running:
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
        """The socket of the capture, with which the supervisor says that it is there."""
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
            raise HarnessError(f"the sandbox ended before it had begun: {self._line.last_words() or 'it said nothing'}")
        said = json.loads(text)
        raise Unavailable(f"the kernel does not permit {said['doing']}: {said['why']}; {how_to_grant()}")

    def _end(self) -> None:
        """Close the connection, which ends the supervisor and with it the PID namespace."""
        self._owner.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_SECONDS)


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
        raise HarnessError(f"a sandbox cannot be started: {error.strerror or error}") from error


class _Line:
    """The line to the agent inside (`ftps_lab.remote.handle.Line`), over pipes."""

    def __init__(self) -> None:
        stdin, self._to = os.pipe()
        self._from, stdout = os.pipe()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the line
        self.theirs = (stdin, stdout, os.dup(self._words.fileno()))
        self._lines: list[bytes] = []
        self._rest: list[bytes] = []
        os.set_blocking(self._from, False)

    def send(self, line: bytes) -> None:
        """Send a line, its newline included.

        Raises:
            LabError: The agent is gone.
        """
        try:
            at = 0
            while at < len(line):
                at += os.write(self._to, line[at:])
        except OSError as error:
            raise LabError(f"the sandbox's agent is gone: {error.strerror}") from None

    def receive(self, timeout: float) -> bytes:
        """The next line, its newline included.

        Raises:
            TimeoutError: None came in time.
            EOFError: The agent has ended.
        """
        deadline = time.monotonic() + timeout
        while not self._lines:
            if not select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            data = os.read(self._from, 1 << 16)
            if not data:
                raise EOFError
            *whole, rest = data.split(b"\n")
            for part in whole:
                self._lines.append(b"".join((*self._rest, part, b"\n")))
                self._rest.clear()
            if rest:
                self._rest.append(rest)
        return self._lines.pop(0)

    def last_words(self) -> str:
        """The end of what the agent or the supervisor wrote to stderr."""
        self._words.seek(max(0, self._words.seek(0, os.SEEK_END) - 4096))
        return self._words.read().decode("utf-8", "replace").strip()

    def close(self) -> None:
        """End the agent's stdin; repeatable."""
        if self._to >= 0:
            os.close(self._to)
            os.close(self._from)
            self._words.close()
            self._to = -1


class _Running:
    """A program that was started inside; leaving the context ends it and closes everything."""

    def __init__(self, send: Callable[[bytes, Sequence[int]], None], order: Mapping[str, object]) -> None:
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as theirs:
            file = theirs.enter_context(os.fdopen(os.memfd_create("order"), "wb"))
            file.write(json.dumps(order).encode("utf-8", "surrogateescape"))
            file.flush()
            file.seek(0)
            self._ours: list[int] = []
            ends = []
            for _ in range(3):  # stdout, stderr, and how it ended
                reading, writing = os.pipe()
                stack.callback(os.close, reading)
                theirs.callback(os.close, writing)
                os.set_blocking(reading, False)
                self._ours.append(reading)
                ends.append(writing)
            leash, self._leash = os.pipe()
            theirs.callback(os.close, leash)
            stack.callback(self._let_go)
            self._kept = [process.Kept(), process.Kept(), process.Kept()]
            self._began = time.monotonic()
            send(b"R", [file.fileno(), *ends, leash])
            self._stack = stack.pop_all()
        self._argv = order["argv"]
        self._counts = order["interrupt"] is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()
        self._wait(time.monotonic() + _END_SECONDS, interruptible=False)
        self._stack.close()

    def finish(self, timeout: float) -> process.Finished:
        """Wait until it and all that it started have ended; end them at the time limit."""
        timed_out = not self._wait(self._began + timeout, interruptible=True)
        if timed_out:
            self._let_go()
            if not self._wait(time.monotonic() + _END_SECONDS, interruptible=False):
                raise HarnessError("a program in the sandbox is still running although it was killed")
        code = self._code(timed_out=timed_out)
        return process.Finished(
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            timed_out=timed_out,
            seconds=time.monotonic() - self._began,
            stdout=self._kept[0].data,
            stderr=self._kept[1].data,
            truncated=self._kept[0].truncated or self._kept[1].truncated,
            changes=self._changes() if self._counts else None,
        )

    def _changes(self) -> Changes:
        """What it changed, as the first process of its namespace told."""
        said = [json.loads(line) for line in self._kept[2].data.splitlines()]
        calls = tuple(Call(each["call"], each["path"], each["effect"]) for each in said if "call" in each)
        found = tuple(Found(each["sought"], each["program"]) for each in said if "sought" in each)
        total = next((each for each in said if "counted" in each), {"counted": len(calls), "started": 0, "unseen": 0})
        return Changes(calls, total["counted"], total["started"], found, total["unseen"])

    def _code(self, *, timed_out: bool) -> int | None:
        """The program's exit code, less than 0 for a signal; None when we ended it."""
        assert isinstance(self._argv, list)
        code: int | None = None
        ended = False
        for line in self._kept[2].data.splitlines():
            said = json.loads(line)
            if "error" in said:
                where = f" ({said['where']})" if said["where"] else ""
                raise HarnessError(f"cannot start {self._argv[0]}: {said['error']}{where}")
            code = said.get("code", code)
            ended |= "ended" in said
        if (code is None and not timed_out) or not ended:
            raise HarnessError(f"the sandbox ended while it ran {self._argv[0]}")
        return code

    def _has_ended(self) -> bool:
        """Nothing of it is left, and all that it wrote is here."""
        if not all(kept.ended for kept in self._kept[:2]):
            return False
        return self._kept[2].ended or self._kept[2].data.endswith(_ENDED)

    def _let_go(self) -> None:
        """Close the leash: the program's namespace is ended then; repeatable."""
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1

    def _wait(self, deadline: float, *, interruptible: bool) -> bool:
        """Read until everything has ended; False when the deadline came first."""
        interruption = process.INTERRUPTION.get() if interruptible else None
        with selectors.DefaultSelector() as selector:
            for which, descriptor in enumerate(self._ours):
                if not self._kept[which].ended:
                    selector.register(descriptor, selectors.EVENT_READ, which)
            if interruption is not None:
                selector.register(interruption, selectors.EVENT_READ)
            while not self._has_ended():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                for key, _ in selector.select(left):
                    if key.data is None:
                        raise process.Interrupted("interrupted")
                    if self._kept[key.data].take_all(self._ours[key.data]):
                        selector.unregister(key.fd)
        return True
