"""Starts programs in a client's container: its main process is a shell that reads our commands line by line.

A program's streams go to files in the shared folder, so that a command and its answer are one short line each. The
engine's `exec` would take 100 ms for each lftp; this takes only a fork.
"""

from __future__ import annotations

import itertools
import shlex
import threading
import time
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ftps_lab.remote.handle import Line

_GRACE_SECONDS = 15.0
"""Time limit for the container's answer, on top of everything that a command waits for."""

_SLICE_SECONDS = 0.2
"""How often to check for a stop request while a program runs."""

_POLL_SECONDS = 0.02

_DYING_SECONDS = 5.0
"""Time limit for killed processes to end."""

MAIN = ("sh",)
"""The container's main process. It ends at the end of its input, and the container ends with it."""

_ORDER = """\
cd {cwd} && exec timeout -s KILL {seconds} env -i {env} {argv} >{out} 2>>{err} </dev/null
"""

# Like `process.run`, this waits for what a program leaves running, because that belongs to the run. It also waits until
# killed processes are gone, so that they do not reach into the next run. The shell is process 1, `/proc` shows only the
# container's own processes, and the loop forks only `sleep`, which has ended by then. Time is the kernel's, in
# hundredths of a second: on a busy machine a fork takes as long as a sleep, so counting sleeps would not measure time.
_LINE = (
    "sh {file}; code=$?; "
    "now() {{ read up rest </proc/uptime; now=${{up%.*}}${{up#*.}}; }}; "
    "alone() {{ now; end=$((now+$1)); while set -- /proc/[0-9]*; [ $# -gt 1 ] && now && [ $now -lt $end ]; do "
    "sleep {poll}; done; [ $# -eq 1 ]; }}; "
    "alone {left} || {{ kill -9 -1; code=late; alone {dying}; }}; echo {number} $code\n"
)


class Shell:
    """Runs commands in one container, one at a time; a `process.Starter`.

    Args:
        line: The container's main process, which runs `MAIN`.
        folder: A folder that both sides have at the same path.
    """

    def __init__(self, line: Line, folder: Path) -> None:
        self._line = line
        self._folder = folder
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __call__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> process.Finished:
        """Run a command like `process.run`.

        Raises:
            HarnessError: The container has ended, or does not answer.
            LabError: The connection to it is lost.
            Interrupted: This thread's `process.INTERRUPTION` requested a stop.
        """
        with self._lock:
            started = time.monotonic()
            number = next(self._numbers)
            order, out, err = (self._folder / f"{number}.{what}" for what in ("sh", "out", "err"))
            out.unlink(missing_ok=True)  # so that no earlier stream is taken for this run's
            err.unlink(missing_ok=True)
            try:
                order.write_text(_order(argv, env, cwd, timeout, out, err), "utf-8", "surrogateescape")
                line = _LINE.format(
                    file=shlex.quote(str(order)),
                    number=number,
                    left=max(1, int(timeout * 100)),
                    dying=int(_DYING_SECONDS * 100),
                    poll=_POLL_SECONDS,
                )
                self._line.send(line.encode())
                # Time for the program, the same again for what it leaves running, and a moment for what is killed.
                longest = 2 * timeout + _DYING_SECONDS + _GRACE_SECONDS
                code = self._answer(number, started + longest, argv)
                seconds = time.monotonic() - started
                return _finished(code, seconds, timeout, _read(out, argv), _read(err, argv))
            finally:
                for path in (order, out, err):
                    path.unlink(missing_ok=True)

    def _answer(self, number: int, deadline: float, argv: Sequence[str]) -> str:
        while (left := deadline - time.monotonic()) > 0:
            process.check_interruption()
            try:
                answer = self._line.receive(min(left, _SLICE_SECONDS))
            except TimeoutError:
                continue
            except EOFError:
                raise HarnessError(f"the client's container has ended{self._words()}") from None
            order, _, code = answer.decode("ascii", "backslashreplace").strip().partition(" ")
            if order != str(number) or not (code == "late" or (code.isdecimal() and int(code) < 256)):
                raise HarnessError(f"the client's container answered {answer[:200]!r} to order {number}")
            return code
        raise HarnessError(f"the client's container did not report the end of {argv[0]}{self._words()}")

    def _words(self) -> str:
        words = self._line.last_words()
        return f"; its last output:\n{words}" if words else ", and wrote nothing to its stderr"


def _order(argv: Sequence[str], env: Mapping[str, str], cwd: Path, timeout: float, out: Path, err: Path) -> str:
    return _ORDER.format(
        cwd=shlex.quote(str(cwd)),
        seconds=f"{timeout:g}",
        env=" ".join(shlex.quote(f"{name}={value}") for name, value in env.items()),
        argv=shlex.join(argv),
        out=shlex.quote(str(out)),
        err=shlex.quote(str(err)),
    )


def _finished(
    code: str, seconds: float, timeout: float, out: tuple[bytes, bool], err: tuple[bytes, bool]
) -> process.Finished:
    """Parse the shell's answer: codes above 128 are signals, and SIGKILL at the time limit is ours."""
    late = code == "late" or (code == "137" and seconds >= timeout)
    number = 0 if late else int(code)
    return process.Finished(
        exit_code=number if number <= 128 and not late else None,
        signal=number - 128 if number > 128 else None,
        timed_out=late,
        seconds=seconds,
        stdout=out[0],
        stderr=err[0],
        truncated=out[1] or err[1],
    )


def _read(path: Path, argv: Sequence[str]) -> tuple[bytes, bool]:
    """Return a program's output up to the limit, and whether it was longer.

    Raises:
        HarnessError: The file does not exist, so the program was not started correctly.
    """
    try:
        with path.open("rb") as file:
            data = file.read(process.OUTPUT_LIMIT + 1)
    except FileNotFoundError:
        raise HarnessError(
            f"{argv[0]} left no file {path.name}: its start folder does not exist, or the client's container does not "
            "share its folder with this machine; check the container's mount"
        ) from None
    return data[: process.OUTPUT_LIMIT], len(data) > process.OUTPUT_LIMIT
