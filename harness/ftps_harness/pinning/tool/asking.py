"""Asks real lftp which settings are in effect, with the current files or with planned ones.

lftp answers through an unnamed file, so that an rc cannot fake the answer by printing something; files that are not
written yet are passed in the same way. If the kernel allows it, lftp runs without a network: an rc may open connections
itself, and this command talks to only one host.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ftps_harness.client.lftp.settings import parse_settings
from ftps_harness.errors import HarnessError
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ftps_harness.pinning.tool.places import Places

Settings = dict[str, dict[str, str]]
"""Name → closure → value; the closure ``""`` is the value for all."""

_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWUSER, CLONE_NEWNET (linux/sched.h)."""

_NO_FOLDER: Final = "/proc" if os.path.isdir("/proc") else "/"  # noqa: PTH112 - runs at import, where Path is not needed
"""LFTP_HOME for an lftp that must not create folders: without ``~/.lftp`` it would create ``~/.config/lftp``."""


class Nameless:
    """A file in memory that another program can open by `path`. A context manager."""

    def __init__(self, data: bytes = b"") -> None:
        if hasattr(os, "memfd_create"):
            self._file = os.fdopen(os.memfd_create("ftps-lab", 0), "w+b")
        else:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self._file.write(data)
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def number(self) -> int:
        """Its descriptor."""
        return self._file.fileno()

    @property
    def path(self) -> str:
        """Its path for a program that inherits the descriptor."""
        return f"/dev/fd/{self.number}"

    def content(self) -> bytes:
        """Its current content."""
        self._file.seek(0)
        return self._file.read()


@dataclass(frozen=True, slots=True)
class Asked:
    """lftp's answer.

    Attributes:
        text: Its settings, as it prints them.
        complaints: Its standard error.
    """

    text: str
    complaints: str

    def settings(self, names: Sequence[str]) -> Settings:
        """The values of some settings."""
        return parse_settings(self.text, names)


class Asker:
    """Asks lftp.

    Args:
        program: lftp.
        places: The user's files.
        environment: lftp's environment.
        timeout: Time limit for lftp, in seconds.
    """

    def __init__(self, program: Path, places: Places, environment: Mapping[str, str], timeout: float) -> None:
        self._program = program
        self._places = places
        self._environment = environment
        self._timeout = timeout

    def uses_openssl(self) -> bool:
        """Whether lftp is built with OpenSSL: only then does it have `ssl:ca-path` (docs/lftp.md, "Builds")."""
        return "set ssl:ca-path" in self.with_rc(b"").text

    def as_it_is(self) -> Asked:
        """Ask with the files on disk, which lftp finds itself."""
        # With ~/.config/lftp, lftp would also create a data folder, which the user did not ask for.
        return self._ask([], [], {"XDG_DATA_HOME": _NO_FOLDER} if self._places.folder.name != ".lftp" else {})

    def with_rc(self, rc: bytes, files: Sequence[Nameless] = ()) -> Asked:
        """Ask with another text instead of the rc; it may name further files."""
        with Nameless(rc) as named:
            first = self._places.first_rc
            sources = [f'command source "{first}"'] if first.exists() else []
            sources.append(f"command source {named.path}")
            return self._ask(sources, ["--norc"], {"LFTP_HOME": _NO_FOLDER}, [named, *files])

    def _ask(
        self,
        script: Sequence[str],
        options: Sequence[str],
        variables: Mapping[str, str],
        files: Sequence[Nameless] = (),
    ) -> Asked:
        with Nameless() as answer:
            lines = "\n".join([*script, f"command set -a >> {answer.path}"])
            said = self._run([*options, "-c", lines], variables, [answer, *files])
            text = answer.content().decode("utf-8", "surrogateescape")
        if not text:
            raise HarnessError(
                f"lftp printed no settings; a line of the rc may end it (exit, kill). lftp said: "
                f"{said[:300] or 'nothing'}"
            )
        return Asked(text, said)

    def _run(self, arguments: Sequence[str], variables: Mapping[str, str], files: Sequence[Nameless]) -> str:
        process = subprocess.Popen(
            [self._program, *arguments],
            env={**self._environment, **variables},
            cwd=self._places.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[each.number for each in files],
            start_new_session=True,
            preexec_fn=_leave_network(),  # noqa: PLW1509 - one system call, no lock, no allocation
        )
        try:
            _, stderr = process.communicate(timeout=self._timeout)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # not reaped yet: its process id is still valid
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                why = f"lftp did not end within {self._timeout:g} s; a line of the rc may open a connection"
                raise HarnessError(why) from None
            raise
        return harmless(stderr).strip()


def _leave_network() -> Callable[[], None] | None:
    """The function that a child calls before it becomes lftp; None if this is not Linux."""
    try:
        unshare = ctypes.CDLL(None).unshare
    except (OSError, AttributeError):
        return None

    def leave() -> None:
        # For root without a user namespace: inside one, root could not read other users' files.
        if unshare(_NEW_NETWORK) != 0:
            unshare(_NEW_USER | _NEW_NETWORK)

    return leave
