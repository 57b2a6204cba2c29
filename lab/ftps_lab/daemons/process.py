"""A daemon as a child process: started, watched, and ended with all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ftps_lab.errors import LabError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

STOP_SECONDS = 5.0


class Program(Protocol):
    """The interface that a daemon must have to be started."""

    @property
    def binary(self) -> str:
        """The program's name."""

    @property
    def folder(self) -> Path:
        """Its working directory, where its output goes too."""

    @property
    def address(self) -> tuple[str, int]:
        """The inward address and port that it listens on."""

    def argv(self) -> list[str]:
        """The command line."""

    def environment(self) -> dict[str, str]:
        """Its whole environment."""

    def tail(self) -> str:
        """The last lines of its log."""


def spawn(
    program: Program, argv: Sequence[str], environment: Mapping[str, str], sock: socket.socket | None = None
) -> subprocess.Popen[bytes]:
    """Start the program in its own process group, with the socket, if given, as its standard input and output.

    Raises:
        LabError: It cannot be started.
    """
    with (program.folder / "output").open("ab") as output:
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL if sock is None else sock.fileno(),
                stdout=output if sock is None else sock.fileno(),
                stderr=output,
                cwd=program.folder,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise LabError(f"cannot start {argv[0]}: {error.strerror}") from None


class Process:
    """The daemon's process, which leads its own process group: its children stay in that group."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._process = spawn(program, program.argv(), program.environment())

    @property
    def alive(self) -> bool:
        """It is still running."""
        return self._process.poll() is None

    def require_alive(self) -> None:
        """Raise if it has died.

        Raises:
            LabError: With the last lines of its log.
        """
        code = self._process.poll()
        if code is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise LabError(f"{self._program.binary} has died ({how}); the end of its log:\n{self._program.tail()}")

    def children(self) -> list[int]:
        """The other processes of its group."""
        return [pid for pid in _group(self._process.pid) if pid != self._process.pid]

    def stop_listening(self) -> None:
        """End the listening process; open sessions continue."""
        if self.alive:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """End it with all its children; repeatable."""
        until = time.monotonic() + STOP_SECONDS
        group = self._process.pid
        while True:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
            if self._process.poll() is not None and not _group(group):
                return
            if time.monotonic() > until:
                raise LabError(f"{self._program.binary} (process group {group}) does not end")
            time.sleep(0.002)


def _group(group: int) -> list[int]:
    """The living processes of a group (proc(5)); zombies are dead."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(pgrp) == group and state not in {"Z", "X"}:
                    found.append(int(entry.name))
    return found
