"""`--keep DIR` of `ftps-lab verify`: keeps what each run left behind, as files that only the owner can read (0700)."""

from __future__ import annotations

import itertools
import re
import shutil
import stat
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from ftps_harness.errors import HarnessError
from ftps_harness.report.evidence import write_files
from ftps_harness.report.files import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ftps_harness.sandbox.home import Home

ABOUT: Final = """\
Evidence kept by `ftps-lab verify --keep`. A later run with the same folder replaces the setups that it verifies.

<number>-<setup>/<trial>/<run>/       command, stdout, stderr, lftp.log (of an rc), outcome.json, testimony.json (what
                                      the server saw)
<number>-<setup>/<trial>/<run>/home/  HOME as the run left it: with the lab's twins as pins, without private keys
<number>-<setup>/<trial>/<run>/wire/  the raw bytes of each connection, in both directions

It may contain passwords that a command uses: do not share it.
"""

_LARGEST: Final = 1 << 20
"""Size limit in bytes for a file of HOME: a longer file is payload."""

_KEY: Final = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
"""A private key (RFC 7468 section 10, and the older formats)."""


class Keeper:
    """Keeps what the runs of one subject left behind. A write error stops the keeping, never the verification.

    Args:
        folder: The target folder; the files of an earlier call are replaced.

    Attributes:
        problem: Why not everything was kept; empty if everything was.

    Raises:
        HarnessError: The files of an earlier call cannot be removed.
    """

    def __init__(self, folder: Path) -> None:
        self.problem = ""
        self._folder = folder
        self._numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
        self._lock = threading.Lock()
        with sentence(f"--keep: cannot replace {folder}"):
            if folder.exists():
                shutil.rmtree(folder)

    def keep(self, trial: str, home: Home, files: Iterable[tuple[str, bytes]]) -> None:
        """Write the files that one run of a trial left behind."""
        with self._lock:
            number = next(self._numbers[trial])
            if self.problem:
                return
        try:
            write_files(self._folder / trial / str(number), itertools.chain(files, _files_of(home.home)))
        except HarnessError as error:
            self.problem = str(error)


def _files_of(home: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(home.rglob("*")):
        try:
            own = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(own.st_mode) and own.st_size <= _LARGEST else None
        except OSError:
            continue
        if data is not None:
            yield f"home/{path.relative_to(home)}", without_keys(data)


def without_keys(data: bytes) -> bytes:
    """Return a file's content without its private keys."""
    return _KEY.sub(rb"(a private key was here: \1)", data)
