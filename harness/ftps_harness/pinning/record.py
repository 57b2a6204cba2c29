"""What a check did with a tool, what it expected and what it saw: the record that a report is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning import snapshot
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from ftps_harness.pinning.snapshot import Snapshot
    from ftps_harness.play.recording import Recording
    from ftps_harness.sandbox import process
    from ftps_lab.certificates import Certificate

_NAMED: Final = 4
"""Maximum number of changed files to name."""

_SHOWN: Final = 4000
"""Maximum number of characters of a tool's output to keep for a report."""

_MET: Final = 3
"""Maximum number of recordings to keep for a failure: the last ones before it."""


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
            return f"was killed by signal {self.finished.signal}"
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
        return f"changed: {', '.join(paths[:_NAMED])}{more}" if paths else "nothing changed"

    @property
    def diff(self) -> list[str]:
        """The diff of its changes."""
        return list(snapshot.diff(self.before, self.after))


@dataclass(frozen=True, slots=True)
class Met:
    """One connection of lftp to a server, with what the tool had written.

    Attributes:
        what: The server and the result, in a phrase, as in `Failure.done`.
        recording: What the witnesses recorded.
        genuine: The genuine server's certificate; None if unknown.
    """

    what: str
    recording: Recording
    genuine: Certificate | None


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that does not hold.

    Attributes:
        done: The actions since the previous failure, a phrase each, in order.
        expected: What should have been seen.
        seen: What was seen.
        output: What the tool printed in its last run.
        diff: What it changed in HOME in its last run.
        met: The last servers that lftp met among these actions, in order.
    """

    done: tuple[str, ...]
    expected: str
    seen: str
    output: str = ""
    diff: tuple[str, ...] = ()
    met: tuple[Met, ...] = ()


@dataclass(slots=True)
class Log:
    """The actions and results of a check.

    Attributes:
        expectations: The number of expectations: a check without any proves nothing.
        reported: The number of items of `done` that earlier failures have already reported.
        unreached: The log already says that the tool cannot be sent to a server.
        met: The last servers that lftp met since the previous failure.
    """

    done: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    expectations: int = 0
    reported: int = 0
    last: Ran | None = None
    unreached: bool = False
    met: list[Met] = field(default_factory=list)

    def meet(self, met: Met) -> None:
        """Keep a recording for the next failure, unless it is too long; only the last ones are kept."""
        if not met.recording.is_long:
            self.met = [*self.met, met][-_MET:]

    def fail(self, expected: str, seen: str) -> None:
        """Record a failure with the actions since the previous one."""
        last, done, met = self.last, self.done[self.reported :], tuple(self.met)
        self.reported, self.met = len(self.done), []
        self.failures.append(
            Failure(
                tuple(done),
                harmless(expected),
                harmless(seen),
                harmless(last.output[:_SHOWN].decode("utf-8", "backslashreplace")) if last else "",
                tuple(harmless(line) for line in last.diff) if last else (),
                met,
            )
        )
