"""Words of ours in what lftp writes: where the requested commands begin, which of them succeeded, and their end."""

from __future__ import annotations

import re
import secrets as randomness
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftps_harness.play.actions.literals import write

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.client.lftp import Run
    from ftps_harness.sandbox.home import Home

_STDERR = "/dev/stderr"


@dataclass(frozen=True, slots=True)
class Marks:
    """Words of ours in what lftp writes: where what is requested begins, and that it came to its end.

    Attributes:
        file: What succeeded commands write into.
        seen: Its path as lftp sees it.
        first: Stands on standard error where what the rc says ends, and what is requested begins.
        last: Stands in the file when lftp came to the end of its commands.
    """

    file: Path
    seen: Path
    first: str
    last: str

    @classmethod
    def new(cls, home: Home) -> Marks:
        """Words that stand nowhere else, for one run."""
        token = randomness.token_hex(10)
        file = home.logs / f"{token}.marks"
        return cls(file, home.seen(file), f"begin-{token}", f"end-{token}")

    @property
    def begin(self) -> list[str]:
        """Commands for standard error; an rc with ``cmd:fail-exit`` must not end lftp where it cannot be written."""
        return [f"command echo {self.first} >> {_STDERR}", "|| command echo -n"]

    @property
    def end(self) -> list[str]:
        """Commands for the file; lftp's exit code stays what it was."""
        word = write(self.last, self.seen)
        return [f"&& {word}", f"|| ({word}; command shell exit 1)"]

    def read(self) -> frozenset[str]:
        """The words in the file."""
        try:
            return frozenset(self.file.read_text("ascii", "replace").split("\n"))
        except OSError:
            return frozenset()

    def taken_out(self, run: Run) -> tuple[Run, bytes]:
        """The run as it would be without the mark, and what lftp said after it: all, where there is none."""
        before, mark, after = run.stderr.partition(self.first.encode() + b"\n")
        stderr = before + after
        unwritten = re.compile(rb"^echo: " + _STDERR.encode() + rb": .*\n", re.MULTILINE)
        if not mark:
            stderr = unwritten.sub(b"", stderr)
        return replace(run, stderr=stderr), after if mark else stderr
