"""Runs one process to its end: its own session, no terminal, bounded output, and no child survives.

lftp leaves its process group on purpose (if jobs are still running when it exits, it moves to the background with
setsid; lftp 4.9.3, src/lftp.cc), so killing the group is not enough. Every process started here inherits the write end
of a pipe, its leash: the read end shows directly whether any process still holds it, and on Linux which.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import select
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, Self

from ftps_harness.errors import HarnessError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from ftps_harness.sandbox.changes import Changes
    from ftps_harness.sandbox.guard import Guard

OUTPUT_LIMIT = 16 * 1024 * 1024
"""Bytes kept of each stream; the rest is read and discarded."""

_CHUNK = 65536
_POLL_SECONDS = 0.005
"""Polling interval for the exit if the kernel cannot report it (no pidfd: macOS, Linux before 5.3)."""

_KILL_SECONDS = 5.0
"""Time limit for SIGKILL to take effect; the kernel needs microseconds, a loaded machine more."""


class Interrupted(HarnessError):  # noqa: N818  # not an error: a stop was requested
    """`run` was stopped early; no process of the command is left."""


class Interruption:
    """Lets one thread stop what `run` runs in others, now and later: Ctrl-C reaches only the main thread.

    A thread opts in with ``process.INTERRUPTION.set(interruption)``.
    """

    def __init__(self) -> None:
        self._asked, self._ask = os.pipe()

    def fileno(self) -> int:
        """A descriptor that becomes readable when a stop is requested."""
        return self._asked

    def ask(self) -> None:
        """Make every `run` in the participating threads raise `Interrupted`, now and later."""
        os.write(self._ask, b"!")  # never read, so the descriptor stays readable

    def close(self) -> None:
        """Close the descriptors, once no thread uses them."""
        os.close(self._asked)
        os.close(self._ask)


INTERRUPTION: contextvars.ContextVar[Interruption | None] = contextvars.ContextVar("INTERRUPTION", default=None)
"""The `Interruption` that can stop this thread's runs early."""


TURN: contextvars.ContextVar[threading.Semaphore | None] = contextvars.ContextVar("TURN", default=None)
"""Acquired by this thread while a program runs, to limit how many run at a time; None for no limit."""


def turn() -> contextlib.AbstractContextManager[object]:
    """Wait for this thread's turn to run a program, and hold it within a context."""
    return TURN.get() or contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a finished process.

    Attributes:
        exit_code: None if a signal ended it.
        signal: The number of the signal that ended it; None if it exited, or was killed at the time limit.
        timed_out: It, or a process that it started, was still running at the time limit and was killed.
        seconds: From start until all its processes had ended.
        truncated: A stream was longer than `OUTPUT_LIMIT`.
        changes: Its file changes, if it was run with an `Interrupt`; else None.
        refused: What it tried to reach outside this machine, a phrase each, if it was run by `guarded`.
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    seconds: float
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    changes: Changes | None = None
    refused: tuple[str, ...] = ()


class Kept:
    """The kept part of one stream: its first `OUTPUT_LIMIT` bytes.

    Attributes:
        truncated: The stream was longer.
        ended: The stream is at its end.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.truncated = False
        self.ended = False

    @property
    def data(self) -> bytes:
        """The kept bytes."""
        return b"".join(self._parts)

    def take_all(self, descriptor: int) -> bool:
        """Read what is available from a non-blocking descriptor; True at the end of the stream."""
        while True:
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return False
            if not data:
                self.ended = True
                return True
            room = OUTPUT_LIMIT - self._size
            self._parts.append(data[:room])
            self._size += min(len(data), room)
            self.truncated |= len(data) > room


def check_interruption() -> None:
    """Raise if a stop was requested; called between two pieces of work.

    Raises:
        Interrupted: This thread's `INTERRUPTION` requested a stop.
    """
    interruption = INTERRUPTION.get()
    if interruption is not None and select.select([interruption], [], [], 0)[0]:
        raise Interrupted("interrupted")


class Starter(Protocol):
    """Runs a command, and everything that it starts, to its end: `run` on this machine, or in a container."""

    def __call__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> Finished:
        """Same arguments and errors as `run`."""


def run(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> Finished:
    """Run a command, and everything that it starts, to its end.

    `run` waits for background jobs that outlive the command until the time limit: what they do belongs to the run.

    Args:
        argv: The command, run without a shell.
        env: Its complete environment; nothing is inherited.
        cwd: The folder to start it in.
        timeout: Seconds until all remaining processes are killed.

    Raises:
        HarnessError: The command cannot be started.
        Interrupted: This thread's `INTERRUPTION` requested a stop.
    """
    with turn():
        return _run(argv, env, cwd, timeout)


def guarded(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> Finished:
    """Like `run`, but the kernel keeps the command, and everything that it starts, on this machine.

    What outlives the run can use no network any more.

    Raises:
        HarnessError: The command cannot be started, or not under guard (`guard.why_none`).
        Interrupted: This thread's `INTERRUPTION` requested a stop.
    """
    from ftps_harness.sandbox.guard import Guard  # loads ctypes

    guard = Guard()
    with turn(), contextlib.closing(guard):
        return replace(_run(argv, env, cwd, timeout, guard), refused=guard.refused)


def _run(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, timeout: float, guard: Guard | None = None
) -> Finished:
    started = time.monotonic()
    with _Running(argv, env, cwd, guard) as running:
        timed_out = not running.wait(started + timeout)
    code = running.process.returncode
    return Finished(
        exit_code=code if code >= 0 and not running.killed_itself else None,
        signal=-code if code < 0 and not running.killed_itself else None,
        timed_out=timed_out,
        seconds=time.monotonic() - started,
        stdout=running.output(0),
        stderr=running.output(1),
        truncated=running.truncated,
    )


class _Running:
    """A started process; leaving the context kills its remaining processes and closes everything."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, guard: Guard | None) -> None:
        self.killed_itself = False  # killed by us: the signal says nothing about the program
        self._guard = guard
        self._free = False  # the leash is free: no process is left, or those that are left have closed it
        self._kept = (Kept(), Kept())
        self._leash, held = os.pipe()

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
                pass_fds=(held,),
                bufsize=0,
            )

        try:
            self.process = start() if guard is None else guard.start(start)
        except BaseException as error:
            os.close(self._leash)
            if isinstance(error, OSError | ValueError):
                raise HarnessError(f"cannot start {argv[0]}: {_why(error)}") from error
            raise
        finally:
            os.close(held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._end()
        finally:
            os.close(self._leash)
            for stream in self._streams():
                stream.close()

    def output(self, which: int) -> bytes:
        """The bytes from stdout (0) or stderr (1)."""
        return self._kept[which].data

    @property
    def truncated(self) -> bool:
        """Whether a stream was longer than `OUTPUT_LIMIT`."""
        return any(kept.truncated for kept in self._kept)

    def wait(self, deadline: float) -> bool:
        """Read until the process and everything that it started are gone; False if the deadline came first."""
        with selectors.DefaultSelector() as selector, _exit_watch(self.process.pid) as exited:
            for which, stream in enumerate(self._streams()):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, which)
            os.set_blocking(self._leash, False)
            selector.register(self._leash, selectors.EVENT_READ, "leash")
            if (interruption := INTERRUPTION.get()) is not None:
                selector.register(interruption, selectors.EVENT_READ, "interrupted")
            if self._guard is not None:
                selector.register(self._guard, selectors.EVENT_READ, "guard")
            if exited is not None:
                selector.register(exited, selectors.EVENT_READ, "exited")
            return self._read_all(selector, deadline, watched=exited is not None)

    def _read_all(self, selector: selectors.BaseSelector, deadline: float, *, watched: bool) -> bool:
        while True:
            left = deadline - time.monotonic()
            over = self._free and self.process.poll() is not None
            if over and (self._guard is None or self._guard.is_over()):
                for which, stream in enumerate(self._streams()):
                    self._drain(stream, which)
                return True
            if left <= 0:
                return False
            # A process may close the leash and keep running, so its exit must be polled.
            for key, _ in selector.select(left if watched and not over else min(left, _POLL_SECONDS)):
                if self._handle(key.data):
                    selector.unregister(key.fileobj)

    def _handle(self, ready: str | int) -> bool:
        """Handle what a descriptor reports; True if it has nothing more to report."""
        if ready == "interrupted":
            raise Interrupted("interrupted")
        if ready == "guard":
            assert self._guard is not None
            return self._guard.serve()
        if ready == "exited":
            self.process.wait()
        elif ready == "leash":
            self._free = True
        else:
            return self._drain(self._streams()[int(ready)], int(ready))
        return True

    def _drain(self, stream: IO[bytes], which: int) -> bool:
        """Read what is available; True at the end of the stream."""
        return self._kept[which].take_all(stream.fileno())

    def _streams(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        return self.process.stdout, self.process.stderr

    def _end(self) -> None:
        """Kill all remaining processes: first the group, then those that left it."""
        if self.process.poll() is None:
            self.killed_itself = True
            self._kill_group()
            self.process.wait(_KILL_SECONDS)
        until = time.monotonic() + _KILL_SECONDS
        while not self._leash_is_free() and time.monotonic() < until:
            self._kill_group()
            for pid in _holders(self._leash):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)

    def _kill_group(self) -> None:
        # The group's number is the leader's pid, which cannot be reused while a member holds the leash.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _leash_is_free(self) -> bool:
        os.set_blocking(self._leash, False)
        try:
            return os.read(self._leash, 1) == b""
        except BlockingIOError:
            return False


@contextlib.contextmanager
def _exit_watch(pid: int) -> Iterator[int | None]:
    """A descriptor that becomes readable when the process ends; None if the system has no such descriptor."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _holders(leash: int) -> Iterator[int]:
    """The processes, except this one, that hold the other end of the leash (Linux; elsewhere none are found)."""
    pipe = f"pipe:[{os.fstat(leash).st_ino}]"
    ours = os.getpid()
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if pid == ours:
            continue
        with contextlib.suppress(OSError):
            if any(str(link.readlink()) == pipe for link in (entry / "fd").iterdir()):
                yield pid


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
