"""One run of lftp in a sealed HOME: lftp reads the rc itself, then runs our commands from ``-c``.

The debug log goes to a separate file, so that standard error holds what a user sees. Each entry begins
with the process ID (``debug -p``), because a server may put a bare LF into a reply. lftp writes it out, and the rest of
the reply then looks like a separate entry, possibly like a refusal (docs/lftp.md, "The debug log"). The process ID
distinguishes them; `ftps_harness.client.messages` reads it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_harness.client.lftp.binary import environment
from ftps_harness.client.lftp.clock import clock_environment, could_not_preload
from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import process
from ftps_harness.sandbox.watching import Watch, watched
from ftps_lab import disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.client.lftp.binary import Lftp
    from ftps_harness.sandbox.home import Home
    from ftps_harness.words import Folder

LOG_LIMIT = 64 * 1024 * 1024
"""Limit in bytes for reading the debug log; a longer one is the work of a hostile server."""


@dataclass(frozen=True, slots=True)
class Run:
    """One finished lftp.

    Attributes:
        argv: The whole command.
        exit_code: The last command's (docs/lftp.md, "Exit codes"); None if a signal or the time limit ended lftp.
        signal: The signal that ended it; None if it exited or reached the time limit.
        timed_out: It was killed at the time limit.
        seconds: From its start until the last of its processes ended.
        stdout: Its standard output.
        stderr: Its standard error.
        log: The debug log as written, each entry after ``[PID] ``; empty if there is none.
        log_missing: The log was requested but does not exist.
        cut: Why its output or log may be incomplete or hold something else, a sentence each.
    """

    argv: tuple[str, ...]
    exit_code: int | None
    signal: int | None
    timed_out: bool
    seconds: float
    stdout: bytes
    stderr: bytes
    log: bytes
    log_missing: bool = False
    cut: tuple[str, ...] = ()


def run(  # noqa: PLR0913  # all but the first two are named
    lftp: Lftp,
    home: Home,
    *,
    script: Sequence[str],
    timeout: float,
    password: str | None = None,
    cwd: Folder = "home",
    log: bool = True,
    clock: str | None = None,
    locale: str | None = None,
    prefix: Sequence[str] = (),
) -> Run:
    """Run lftp until it ends.

    Args:
        lftp: The build to run.
        home: Its HOME.
        script: lftp commands, one each; they run after the rc.
        timeout: Seconds until it is killed, with all its child processes.
        password: Goes into LFTP_PASSWORD, for ``open --env-password``.
        cwd: The folder in which it starts.
        log: Write the debug log. The log could affect the measurement, so it can be switched off.
        clock: Run at another time, such as ``+366d`` (see `clock`).
        locale: Run in this locale; None for lftp's own.
        prefix: Arguments before lftp on the command line, such as those from `keep_out_system_rc`.

    Raises:
        HarnessError: lftp cannot be started, or its clock cannot be changed.
    """
    path = home.next_log() if log else None
    # A newline ends any command; `;` after `&` would be a syntax error.
    commands = [*([f"command debug -p -o {home.seen(path)} 9"] if path else []), *script]
    argv = (*prefix, str(lftp.path), "-c", "\n".join(commands))
    variables = environment(home, password, locale or lftp.locale)
    if clock is not None:
        variables |= clock_environment(lftp, clock)
    with watched(path) if path else contextlib.nullcontext(Watch()) as watch:
        finished = lftp.start(argv, env=variables, cwd=home.seen(home.folder(cwd)), timeout=timeout)
    if clock is not None and could_not_preload(finished.stderr):
        raise HarnessError(f"{lftp.path} cannot be run at another time: it does not load libfaketime")
    home.reopen()  # a step may have closed it
    content = disk.read_own(path, LOG_LIMIT + 1) if path else None
    return Run(
        argv=argv,
        exit_code=finished.exit_code,
        signal=finished.signal,
        timed_out=finished.timed_out,
        seconds=finished.seconds,
        stdout=finished.stdout,
        stderr=finished.stderr,
        log=(content or b"")[:LOG_LIMIT],
        log_missing=log and not content,
        cut=tuple(_cut(finished.truncated, content or b"", watch)),
    )


def _cut(truncated: bool, log: bytes, watch: Watch) -> Iterator[str]:
    if watch.replaced or (watch.writers or 0) > 1:
        how = "its name, links, mode or times changed" if watch.replaced else f"{watch.writers} programs wrote into it"
        yield f"something other than lftp opened or replaced lftp's debug log, so its lines may not be lftp's ({how})"
    if truncated:
        limit = process.OUTPUT_LIMIT >> 20
        yield f"lftp printed more than {limit} MiB; the rest was discarded, so its content is unknown"
    if len(log) > LOG_LIMIT:
        limit = LOG_LIMIT >> 20
        yield f"lftp's debug log is over {limit} MiB; the rest was not read, so its content is unknown"
