"""Interrupting a program at a file change, and observing what it starts: the request and the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CALLS_KEPT = 2000
"""How many calls are kept by name; further calls are only counted."""


HELD, RELEASE = "log/held", "log/release"
"""Files in the sealed folder by which a held program and its owner signal each other."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """When and how to interrupt a program.

    Changes are system calls that change a file in the program's sealed folder, or try to: `mkdir` of an existing folder
    counts. They are numbered from 1 across the program and everything that it starts. An open counts if it is for
    writing or may create or truncate the file; pipes, devices and files elsewhere never count.

    Attributes:
        at: The number of the change; None to count only.
        how: ``kill``: the program and everything that it started are killed instead of the change.
            ``full-disk``: this change and all later ones that need space fail with ENOSPC. As on a real full disk,
            removing, truncating, changing permissions and opening existing files still work. ``hold``: this change
            waits until the owner creates the file `RELEASE`, so that another program can run in between.
        seconds: Maximum time to hold it.
        sought: Regular expressions to search for in the arguments of the program and of everything that it starts;
            arguments are separated by NUL.
    """

    at: int | None = None
    how: Literal["kill", "full-disk", "hold"] = "kill"
    seconds: float = 0.0
    sought: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.at is not None and self.at < 1:
            raise ValueError("at must be 1 or more; omit it to count only")


@dataclass(frozen=True, slots=True)
class Call:
    """One change.

    Attributes:
        name: The name of the system call.
        path: The path of the file, as seen inside, cut after 500 characters; empty if it could not be read.
        effect: ``made``: the kernel carried it out, or refused it for its own reasons; ``killed``: everything was
            killed instead; ``refused``: it failed with ENOSPC; ``held``: made, but delayed.
    """

    name: str
    path: str
    effect: Literal["made", "killed", "refused", "held"] = "made"


@dataclass(frozen=True, slots=True)
class Found:
    """A program whose arguments match a searched expression.

    Attributes:
        sought: The index of the expression in `Interrupt.sought`.
        program: The program's path as requested, cut after 500 characters.
    """

    sought: int
    program: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The file changes of a program run with an `Interrupt`.

    Attributes:
        calls: In order: the first `CALLS_KEPT`, and always the one where the interruption began.
        counted: The number of changes, including those not carried out. If a program is ended at its time limit,
            changes beyond `CALLS_KEPT` are not counted.
        started: The number of programs started, including the first, if their arguments were searched.
        found: The matches; each once.
        unseen: The number of these programs whose arguments could not be read.
    """

    calls: tuple[Call, ...]
    counted: int
    started: int = 0
    found: tuple[Found, ...] = ()
    unseen: int = 0

    @property
    def interrupted(self) -> Call | None:
        """The change where the interruption began; None if the program ended before it."""
        return next((call for call in self.calls if call.effect != "made"), None)
