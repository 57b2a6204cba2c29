"""The place `sealed` for the fixtures `ftps_server` and `lftp`: one for a whole test session."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path
from typing import Protocol

from ftps_harness.play.places.programs import SHARED
from ftps_harness.play.places.sealed import Sealed
from ftps_harness.testing.arguments import ArgumentError
from ftps_lab.temporary import Folder


class Occupant(Protocol):
    """A server in the place."""

    stopped: bool


class SealedFixtures:
    """A sealed place, and what tests need in it. `close` ends it.

    Args:
        lftp: The lftp that runs in it.
        project: The folder of the tests, which programs in it can read.

    Attributes:
        place: The place.
        files: A folder that programs in it can read, for the files of servers.
        turn: Held during each run: what the place captures belongs to one run.
        server: The server that was started last.

    Raises:
        Unavailable: The kernel does not permit it.
        HarnessError: It does not start.
    """

    def __init__(self, lftp: Path, project: Path) -> None:
        self.turn = threading.RLock()
        self.server: Occupant | None = None
        with contextlib.ExitStack() as stack:
            self.files = stack.enter_context(Folder("files")).path
            hidden = {Path("/"), *SHARED}  # a sandbox has its own
            folders = [each for each in (project, project.resolve(), self.files) if each not in hidden]
            self.place = stack.enter_context(Sealed([lftp, Path(sys.executable)], folders=folders))
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End it; repeatable."""
        self._stack.close()

    def refuse_second(self) -> None:
        """Check that no server runs in it.

        Raises:
            ArgumentError: One does.
        """
        if self.server is not None and not self.server.stopped:
            raise ArgumentError(
                "ftps_server(…): a server runs in the place sealed, which has only one at a time; change it with "
                "server.rotate(…), or use the place loopback for this test"
            )
