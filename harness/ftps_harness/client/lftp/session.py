"""One run of lftp in a sealed HOME: the rc is lftp's own to read, our commands come after it by ``-c``.

The debug log goes to a file of its own, so that standard error holds what a user sees. It is written with the process's
number before each entry (``debug -p``), for a reason: a server may put a bare LF into a reply, lftp writes it out, and
the rest of the reply then looks like an entry of its own, also like a refusal (docs/lftp.md, "The debug log"). The
number tells them apart; `ftps_harness.client.messages` reads it.
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp.binary import Lftp
    from ftps_harness.sandbox.home import Home
    from ftps_harness.words import Folder

LOG_LIMIT = 64 * 1024 * 1024
"""Bytes of the debug log that are read; more is the work of a hostile server."""


@dataclass(frozen=True, slots=True)
class Run:
    """One finished lftp.

    Attributes:
        argv: The whole command.
        exit_code: The last command's (docs/lftp.md, "Exit codes"); None when a signal or the time limit ended lftp.
        signal: The signal that ended it; None when it ended by itself or at the time limit.
        timed_out: It was stopped at the time limit.
        seconds: From its start until nothing of it was left.
        stdout: What it printed.
        stderr: What it said.
        log: The debug log as written, each entry after ``[PID] ``; empty when there is none.
        log_missing: The log was asked for and is not there.
        cut: Why its output or its log may not be all that it wrote, or not only that, a sentence each.
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
    """Run lftp to its end.

    Args:
        lftp: Which.
        home: Its HOME.
        script: lftp commands, one each; they run after the rc.
        timeout: Seconds until it is killed, with all that it has started.
        password: Goes into LFTP_PASSWORD, for ``open --env-password``.
        cwd: The folder that it is started in.
        log: Write the debug log. It could change what is measured, so it can be left out.
        clock: Run at another time, such as ``+366d`` (see `clock`).
        locale: Run in this locale; None for lftp's own.
        prefix: What comes before lftp on the command line, such as `keep_out_system_rc` gives.

    Raises:
        HarnessError: lftp cannot be started, or the clock cannot be changed for it.
    """
    path = home.next_log() if log else None
    # A newline ends a command whatever it ends in; `;` after `&` would be a syntax error.
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
    content = _read(path) if path else None
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
        yield f"lftp printed more than {limit} MiB, and the rest was dropped, so nobody knows what it contained"
    if len(log) > LOG_LIMIT:
        limit = LOG_LIMIT >> 20
        yield f"lftp's debug log is over {limit} MiB, and the rest was not read, so nobody knows what it contains"


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(LOG_LIMIT + 1)
    except OSError:
        return None
