"""Runs another program in the sealed HOME, such as a tool that writes a pin or an rc before lftp uses it."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ftps_harness.client.lftp.binary import environment
from ftps_harness.report.plain import harmless, lines_of
from ftps_harness.testing import arguments
from ftps_harness.testing.arguments import ArgumentError, shown_value
from ftps_harness.verdict.traffic import attempts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.play.places.loopback import Place
    from ftps_harness.sandbox.home import Home
    from ftps_harness.words import Folder

__tracebackhide__ = arguments.hidden


@dataclass(frozen=True, slots=True, repr=False)
class ProgramResult:
    """The result of a program in the sealed HOME.

    Attributes:
        argv: The whole command, with placeholders replaced.
        exit_code: None if a signal or the time limit ended it.
        signal: The number of the signal that ended it.
        timed_out: It, or a process that it had started, was still running at the time limit and was killed.
        seconds: The time from its start until its last process ended.
        stdout: Its standard output.
        stderr: Its standard error.
        truncated: A stream was longer than `ftps_harness.sandbox.process.OUTPUT_LIMIT` bytes; the rest is lost.
        refused: What it, or a program that it had started, tried to reach on other machines, a phrase each. On loopback
            empty where the kernel supports no guard (`ftps-lab doctor`).
    """

    argv: tuple[str, ...]
    exit_code: int | None
    signal: int | None
    timed_out: bool
    seconds: float
    stdout: bytes
    stderr: bytes
    truncated: bool
    refused: tuple[str, ...] = ()

    def check(self, exit_code: int = 0) -> Self:
        """Fail unless it exited with this code, without being killed, and tried to reach no other machine.

        Returns:
            The same result.

        Raises:
            AssertionError: It did not; the message shows the command and its output.
        """
        __tracebackhide__ = True
        if self.exit_code != exit_code or self.timed_out or self.truncated:
            cut = self.exit_code == exit_code and not self.timed_out
            expected = "all of its output" if cut else f"exit code {exit_code}"
            raise AssertionError("\n".join([f"expected {expected}, but {self._ending()}", *self._evidence()]))
        if self.refused:
            why = "expected a program that stays on this machine, but it tried to reach others"
            raise AssertionError("\n".join([why, *self._evidence()]))
        return self

    def __repr__(self) -> str:
        return f"<{harmless(shlex.join(self.argv))}: {self._ending()}>"

    def __str__(self) -> str:
        return "\n".join([repr(self), *self._evidence()])

    def _ending(self) -> str:
        if self.timed_out:
            return f"it was killed at its time limit, after {self.seconds:.1f} s"
        cut = ", and its output was cut off" if self.truncated else ""
        return f"signal {self.signal} ended it{cut}" if self.signal else f"its exit code was {self.exit_code}{cut}"

    def _evidence(self) -> Iterator[str]:
        yield f"command: {harmless(shlex.join(self.argv))}"
        yield from (f"tried to reach, and was refused: {harmless(phrase)}" for phrase in self.refused)
        for name, stream in (("stdout", self.stdout), ("stderr", self.stderr)):
            yield name
            yield from (f"    {line}" for line in lines_of(stream) or ("(empty)",))


def run(  # all but two are keyword-only
    home: Home,
    argv: Sequence[str | Path],
    *,
    values: Mapping[str, str],
    cwd: Folder,
    env: Mapping[str, str] | None,
    timeout: float,
    place: Place,
    server: str,
) -> ProgramResult:
    """Run a program as lftp is run: HOME and little else in its environment, in its own session; no process survives.

    Args:
        home: The sealed HOME.
        argv: The command, without a shell; a program name without a folder is looked up on the test's PATH.
        values: The values of placeholders in its arguments; ``host`` is the host that it is to connect to.
        cwd: Its working folder.
        env: Additional environment variables.
        timeout: Seconds until all remaining processes are killed.
        place: Where it runs.
        server: The server's address; empty if there is none.

    Raises:
        HarnessError: It cannot be started.
        ArgumentError: An argument is invalid.
    """
    words = _words([_inside(home, word) for word in argv] if isinstance(argv, list | tuple) else argv, values)
    variables = environment(home) | _variables(env)
    place.address_of(values["host"])
    place.watch()
    finished = place.starter(home)(words, env=variables, cwd=home.folder(cwd), timeout=timeout)
    home.reopen()  # the program may have closed it
    return ProgramResult(
        argv=tuple(words),
        exit_code=finished.exit_code,
        signal=finished.signal,
        timed_out=finished.timed_out,
        seconds=finished.seconds,
        stdout=finished.stdout,
        stderr=finished.stderr,
        truncated=finished.truncated,
        refused=_refused(place, server, values["host"]),
    )


def _inside(home: Home, word: object) -> object:
    """A path in HOME as programs see it; anything else unchanged."""
    return home.seen(word) if isinstance(word, Path) and word.is_relative_to(home.root) else word


def _refused(place: Place, server: str, host: str) -> tuple[str, ...]:
    """What the program tried to reach outside the lab."""
    traffic = place.traffic()
    return tuple(place.refused() if traffic is None else attempts(traffic, server=server, names=[host]))


def _words(argv: object, values: Mapping[str, str]) -> list[str]:
    if isinstance(argv, str) or not isinstance(argv, list | tuple) or not argv:
        raise ArgumentError(
            f"lftp.program(…): give the command as a list, such as ['sh', '-c', …], not {shown_value(argv)}"
        )
    if not all(isinstance(word, str | os.PathLike) for word in argv):
        raise ArgumentError(f"lftp.program(…): a command consists of strings and paths, not {shown_value(argv)}")
    where = "lftp.program(…)"
    first, *rest = (
        arguments.substituted(where, word, values) if isinstance(word, str) else os.fspath(word) for word in argv
    )
    if "/" not in first and (found := shutil.which(first)) is None:
        raise ArgumentError(f"{where}: no program {first!r} on PATH; install it, or give its path")
    return [first if "/" in first else str(found), *rest]


def _variables(env: object) -> dict[str, str]:
    if env is None:
        return {}
    if not isinstance(env, Mapping) or not all(isinstance(word, str) for pair in env.items() for word in pair):
        raise ArgumentError(f"lftp.program(env=…): must be a dictionary from text to text, not {shown_value(env)}")
    if "HOME" in env:
        raise ArgumentError("lftp.program(env=…): HOME is always the sealed one; omit it")
    return dict(env)
