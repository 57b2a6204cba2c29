"""Interrupting a program at a change that it makes to a file, and what it starts: what is asked for, what is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CALLS_KEPT = 2000
"""How many calls are named; further ones are counted only."""


HELD, RELEASE = "log/held", "log/release"
"""Files in the sealed folder by which a program that is held and its owner tell each other."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """When and how to interrupt a program.

    Changes are system calls that change a file of the program's sealed folder, or ask to: a `mkdir` of a folder that
    exists counts. They are counted over the program and everything that it starts, from 1. Opening counts if it is for
    writing or may make or empty the file; pipes, devices and files elsewhere never count.

    Attributes:
        at: Which change; None to count only.
        how: ``kill``: the program and everything that it started are killed instead of the change.
            ``full-disk``: this change and all later ones that need space fail with ENOSPC. As on a real full disk,
            removing, emptying, changing permissions and opening what is there still work. ``hold``: this change waits,
            so that another program can be in between, until its owner makes the file `RELEASE`.
        seconds: How long it is held at most.
        sought: Regular expressions that are looked for in the arguments of the program and of everything that it
            starts, when it starts; between two arguments stands a NUL.
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
        name: The system call's.
        path: The file's, as seen inside, cut after 500 characters; empty if it could not be read.
        effect: ``made``: the kernel carried it out, or refused it for reasons of its own; ``killed``: everything was
            killed instead; ``refused``: it failed with ENOSPC; ``held``: made, but later.
    """

    name: str
    path: str
    effect: Literal["made", "killed", "refused", "held"] = "made"


@dataclass(frozen=True, slots=True)
class Found:
    """Arguments of a program in which something that was sought is.

    Attributes:
        sought: Which expression, by its place in `Interrupt.sought`.
        program: The program's path as it was asked for, cut after 500 characters.
    """

    sought: int
    program: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of a program that was to be interrupted.

    Attributes:
        calls: In their order; the first `CALLS_KEPT`, and the one where the interruption began wherever it was.
        counted: How many there were, those included that were not carried out. A program that is ended at its time
            limit may have made more than `CALLS_KEPT`, and these are not counted.
        started: How many programs were started, the first one included, if something was sought in their arguments.
        found: What was found there; each once.
        unseen: How many of these programs' arguments could not be read.
    """

    calls: tuple[Call, ...]
    counted: int
    started: int = 0
    found: tuple[Found, ...] = ()
    unseen: int = 0

    @property
    def interrupted(self) -> Call | None:
        """Where the interruption began; None if the program ended before."""
        return next((call for call in self.calls if call.effect != "made"), None)
