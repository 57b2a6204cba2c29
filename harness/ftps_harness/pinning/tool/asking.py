"""Real lftp, asked which settings are in force: with files as they are, or as they would be.

Its answer comes by a file without a name, so that nothing that an rc prints can pass for it; files that are not written
yet are given to it in the same way. It gets no network where the kernel allows that: an rc may open connections of its
own, and this command talks to one host only.
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
"""By name, then by closure; ``""`` is the value for all."""

_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWUSER, CLONE_NEWNET (linux/sched.h)."""

_NO_FOLDER: Final = "/proc" if os.path.isdir("/proc") else "/"  # noqa: PTH112 - at import, a plain question
"""LFTP_HOME for an lftp that must not make folders for itself: without ``~/.lftp`` it makes ``~/.config/lftp``."""


class Nameless:
    """A file in memory that another program opens by `path`. A context manager."""

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
        """Where a program that inherits it finds it."""
        return f"/dev/fd/{self.number}"

    def content(self) -> bytes:
        """What is in it now."""
        self._file.seek(0)
        return self._file.read()


@dataclass(frozen=True, slots=True)
class Asked:
    """What lftp answered.

    Attributes:
        text: Its settings, as it prints them.
        complaints: What it said on standard error.
    """

    text: str
    complaints: str

    def settings(self, names: Sequence[str]) -> Settings:
        """The values of some."""
        return parse_settings(self.text, names)


class Asker:
    """Asks lftp.

    Args:
        program: lftp.
        places: The user's files.
        environment: Its environment.
        timeout: Seconds that it may take.
    """

    def __init__(self, program: Path, places: Places, environment: Mapping[str, str], timeout: float) -> None:
        self._program = program
        self._places = places
        self._environment = environment
        self._timeout = timeout

    def uses_openssl(self) -> bool:
        """Whether lftp is built with OpenSSL: only then it has `ssl:ca-path` (docs/lftp.md, "Builds")."""
        return "set ssl:ca-path" in self.with_rc(b"").text

    def as_it_is(self) -> Asked:
        """With the files on the disk, found by lftp itself."""
        # Beside ~/.config/lftp lftp makes itself a folder for data, which nobody asked for.
        return self._ask([], [], {"XDG_DATA_HOME": _NO_FOLDER} if self._places.folder.name != ".lftp" else {})

    def with_rc(self, rc: bytes, files: Sequence[Nameless] = ()) -> Asked:
        """With another text in the rc's place, which may name further files."""
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
            raise HarnessError(f"lftp printed no settings; does the rc end it? It said: {said[:300] or 'nothing'}")
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
                os.killpg(process.pid, signal.SIGKILL)  # not reaped yet: the number is still its own
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                why = f"lftp did not end within {self._timeout:g} s; does the rc open a connection?"
                raise HarnessError(why) from None
            raise
        return harmless(stderr).strip()


def _leave_network() -> Callable[[], None] | None:
    """What a child does before it becomes lftp; nothing where this is no Linux."""
    try:
        unshare = ctypes.CDLL(None).unshare
    except (OSError, AttributeError):
        return None

    def leave() -> None:
        # As root without a user namespace, in which root could not read what belongs to others.
        if unshare(_NEW_NETWORK) != 0:
            unshare(_NEW_USER | _NEW_NETWORK)

    return leave
