"""One process, run to its certain end: its own session, no terminal, bounded output, nothing of it survives.

lftp leaves its process group on purpose (it moves to the background with setsid when jobs are still running at its end;
lftp 4.9.3, src/lftp.cc), so killing the group is not enough. Every process started here inherits the writing end of a
pipe, its leash: the reading end says without any search whether somebody still holds on to it, and on Linux who.
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
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, Self

from ftps_harness.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ftps_harness.sandbox.changes import Changes

OUTPUT_LIMIT = 16 * 1024 * 1024
"""Bytes kept of each stream; what comes after is read and dropped."""

_CHUNK = 65536
_POLL_SECONDS = 0.005
"""How often to ask for the exit where the kernel cannot tell (no pidfd: macOS, Linux before 5.3)."""

_KILL_SECONDS = 5.0
"""How long SIGKILL may take to work; the kernel needs microseconds, a machine under load more."""


class Interrupted(HarnessError):  # noqa: N818  # nothing is wrong: somebody asked for the end
    """`run` was told to end before its time; nothing of the command is left."""


class Interruption:
    """Lets one thread end what `run` runs in others, from then on: Ctrl-C reaches the main thread only.

    A thread takes part that has made it its own: ``process.INTERRUPTION.set(interruption)``.
    """

    def __init__(self) -> None:
        self._asked, self._ask = os.pipe()

    def fileno(self) -> int:
        """Readable from the moment that the end is asked for."""
        return self._asked

    def ask(self) -> None:
        """Make every `run` of the threads that take part raise `Interrupted`, now and later."""
        os.write(self._ask, b"!")  # nobody reads it, so it stays readable

    def close(self) -> None:
        """Give the descriptors back, when no thread takes part any more."""
        os.close(self._asked)
        os.close(self._ask)


INTERRUPTION: contextvars.ContextVar[Interruption | None] = contextvars.ContextVar("INTERRUPTION", default=None)
"""What can end the runs of this thread before their time."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What is left of a process.

    Attributes:
        exit_code: None when a signal ended it.
        signal: The number of the signal that ended it; None when it ended by itself, or at the time limit.
        timed_out: It, or something that it had started, was still there at the time limit and was killed.
        seconds: From start until nothing of it was left.
        truncated: A stream was longer than `OUTPUT_LIMIT`.
        changes: What it changed, if it was to be interrupted; else None.
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    seconds: float
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    changes: Changes | None = None


class Kept:
    """What is kept of one stream: its first `OUTPUT_LIMIT` bytes.

    Attributes:
        truncated: There was more.
        ended: Nothing more will come.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.truncated = False
        self.ended = False

    @property
    def data(self) -> bytes:
        """What came."""
        return b"".join(self._parts)

    def take_all(self, descriptor: int) -> bool:
        """Read what is there now from a descriptor that does not block; True at the end of the stream."""
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
    """Between two pieces of work.

    Raises:
        Interrupted: This thread's `INTERRUPTION` asked for the end.
    """
    interruption = INTERRUPTION.get()
    if interruption is not None and select.select([interruption], [], [], 0)[0]:
        raise Interrupted("interrupted")


class Starter(Protocol):
    """Runs a command to its end, and everything that it starts: `run` on this machine, or a container's."""

    def __call__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> Finished:
        """Arguments and errors as those of `run`."""


def run(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> Finished:
    """Run a command to its end, and everything that it starts.

    Background jobs that outlive the command are waited for until the time limit: what they still do belongs to the run.

    Args:
        argv: The command; no shell is involved.
        env: Its whole environment; nothing is inherited.
        cwd: The folder that it is started in.
        timeout: Seconds until whatever is left is killed.

    Raises:
        HarnessError: The command cannot be started.
        Interrupted: This thread's `INTERRUPTION` asked for the end.
    """
    started = time.monotonic()
    with _Running(argv, env, cwd) as running:
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
    """A started process; leaving the context kills what is left of it and closes everything."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self.killed_itself = False  # by us, that is: the signal says nothing about the program
        self._kept = (Kept(), Kept())
        self._leash, held = os.pipe()
        try:
            self.process = subprocess.Popen(
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
        except (OSError, ValueError) as error:
            os.close(self._leash)
            raise HarnessError(f"cannot start {argv[0]}: {_why(error)}") from error
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
        """What came on stdout (0) or stderr (1)."""
        return self._kept[which].data

    @property
    def truncated(self) -> bool:
        """A stream was longer than `OUTPUT_LIMIT`."""
        return any(kept.truncated for kept in self._kept)

    def wait(self, deadline: float) -> bool:
        """Read until the process and all that it started are gone; False when the deadline came first."""
        with selectors.DefaultSelector() as selector, _exit_watch(self.process.pid) as exited:
            for which, stream in enumerate(self._streams()):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, which)
            os.set_blocking(self._leash, False)
            selector.register(self._leash, selectors.EVENT_READ, "leash")
            if (interruption := INTERRUPTION.get()) is not None:
                selector.register(interruption, selectors.EVENT_READ, "interrupted")
            if exited is not None:
                selector.register(exited, selectors.EVENT_READ, "exited")
            return self._read_all(selector, deadline, watched=exited is not None)

    def _read_all(self, selector: selectors.BaseSelector, deadline: float, *, watched: bool) -> bool:
        free = False  # the leash is let go of: nobody of the family lives, or whoever lives has closed it
        while True:
            left = deadline - time.monotonic()
            if free and self.process.poll() is not None:
                for which, stream in enumerate(self._streams()):
                    self._drain(stream, which)
                return True
            if left <= 0:
                return False
            # A process may close the leash and live on; its exit has to be asked for then.
            for key, _ in selector.select(left if watched else min(left, _POLL_SECONDS)):
                if key.data == "interrupted":
                    raise Interrupted("interrupted")
                if key.data == "exited":
                    self.process.wait()
                    selector.unregister(key.fileobj)
                elif key.data == "leash":
                    free = True
                    selector.unregister(key.fileobj)
                elif self._drain(self._streams()[key.data], key.data):
                    selector.unregister(key.fileobj)

    def _drain(self, stream: IO[bytes], which: int) -> bool:
        """Read what is there now; True at the end of the stream."""
        return self._kept[which].take_all(stream.fileno())

    def _streams(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        return self.process.stdout, self.process.stderr

    def _end(self) -> None:
        """Kill whatever is left: the group first, then those who left it."""
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
        # The group's number is the leader's pid. It cannot be anybody else's while the leash is held by a member.
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
    """A descriptor that becomes readable when the process ends; None where there is no such thing."""
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
    """The processes, other than this one, that hold the leash's other end (Linux; elsewhere none is found)."""
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
