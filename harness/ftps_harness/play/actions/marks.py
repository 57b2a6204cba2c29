"""Marks in lftp's output: where the requested commands begin, which succeeded, and where they end."""

from __future__ import annotations

import re
import secrets as randomness
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftps_harness.play.actions.literals import write
from ftps_lab import disk

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.client.lftp import Run
    from ftps_harness.sandbox.home import Home

_STDERR = "/dev/stderr"


@dataclass(frozen=True, slots=True)
class Marks:
    """Marks in lftp's output that show where the requested commands begin, and that they ran to their end.

    Attributes:
        file: The file that commands write to when they succeed.
        seen: The path of `file` as lftp sees it.
        first: Written to standard error where the rc ends and the requested commands begin.
        last: Written to `file` when lftp reached the end of its commands.
    """

    file: Path
    seen: Path
    first: str
    last: str

    @classmethod
    def new(cls, home: Home) -> Marks:
        """Create unique marks for one run."""
        token = randomness.token_hex(10)
        file = home.logs / f"{token}.marks"
        return cls(file, home.seen(file), f"begin-{token}", f"end-{token}")

    @property
    def begin(self) -> list[str]:
        """Commands that mark standard error; if the write fails, an rc with ``cmd:fail-exit`` must not end lftp."""
        return [f"command echo {self.first} >> {_STDERR}", "|| command echo -n"]

    @property
    def end(self) -> list[str]:
        """Commands that mark the file; they leave lftp's exit code unchanged."""
        word = write(self.last, self.seen)
        return [f"&& {word}", f"|| ({word}; command shell exit 1)"]

    def read(self) -> frozenset[str]:
        """Return the marks in the file."""
        return frozenset((disk.read_own(self.file) or b"").decode("ascii", "replace").split("\n"))

    def taken_out(self, run: Run) -> tuple[Run, bytes]:
        """Return the run without the mark, and lftp's messages after the mark: all of them if it is missing."""
        before, mark, after = run.stderr.partition(self.first.encode() + b"\n")
        stderr = before + after
        unwritten = re.compile(rb"^echo: " + _STDERR.encode() + rb": .*\n", re.MULTILINE)
        if not mark:
            stderr = unwritten.sub(b"", stderr)
        return replace(run, stderr=stderr), after if mark else stderr
