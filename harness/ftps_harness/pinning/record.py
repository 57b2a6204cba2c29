"""What a check did with a tool, what it expected and what it saw: the record that a report is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning import snapshot

if TYPE_CHECKING:
    from ftps_harness.pinning.snapshot import Snapshot
    from ftps_harness.sandbox import process

_NAMED: Final = 4
"""Maximum number of changed files to name."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the tool.

    Attributes:
        words: Its command line.
        finished: How it ended, and what it printed.
        before: HOME before the run.
        after: HOME after the run.
    """

    words: tuple[str, ...]
    finished: process.Finished
    before: Snapshot
    after: Snapshot

    @property
    def ok(self) -> bool:
        """Whether it exited with code 0, without being killed."""
        return self.finished.exit_code == 0

    @property
    def ended(self) -> str:
        """How it ended, in words."""
        if self.finished.timed_out:
            return f"did not end within {self.finished.seconds:.0f} s and was killed"
        if self.finished.signal is not None:
            return f"was ended by signal {self.finished.signal}"
        return f"exit code {self.finished.exit_code}"

    @property
    def output(self) -> bytes:
        """Both streams, standard output first."""
        return self.finished.stdout + self.finished.stderr

    @property
    def untouched(self) -> bool:
        """Whether nothing that it can write to has changed."""
        return self.before.same(self.after)

    @property
    def changed(self) -> str:
        """The files that it changed, in words."""
        paths = sorted(self.before.changed(self.after))
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        return f"changed: {', '.join(paths[:_NAMED])}{more}" if paths else "nothing is changed"

    @property
    def diff(self) -> list[str]:
        """The diff of its changes."""
        return list(snapshot.diff(self.before, self.after))


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that does not hold.

    Attributes:
        done: The actions since the previous failure, a phrase each, in order.
        expected: What should have been seen.
        seen: What was seen.
        output: What the tool printed in its last run.
        diff: What it changed in HOME in its last run.
    """

    done: tuple[str, ...]
    expected: str
    seen: str
    output: str = ""
    diff: tuple[str, ...] = ()


@dataclass(slots=True)
class Log:
    """The actions and results of a check.

    Attributes:
        expectations: The number of expectations: a check without any proves nothing.
        told: How many items of `done` earlier failures have reported.
        unreached: The log already says that the tool cannot be sent to a server.
    """

    done: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    expectations: int = 0
    told: int = 0
    last: Ran | None = None
    unreached: bool = False
