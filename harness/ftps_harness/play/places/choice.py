"""Chooses the place for scenarios, and provides one for each scenario that runs concurrently."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from ftps_harness.sandbox.sandbox import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ftps_harness.play.places.loopback import Place

Wanted = Literal["auto", "sealed", "loopback"]


class Places(Protocol):
    """Lends a place to each running scenario."""

    def lend(self) -> AbstractContextManager[Place]:
        """A place for exclusive use."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The chosen place.

    Attributes:
        name: ``sealed`` or ``loopback``.
        note: What a reader of the results should know about it; may be empty.
        places: Lends the places.
    """

    name: str
    note: str
    places: Places


class LoopbackPlaces:
    """This machine's loopback, lent any number of times."""

    @contextlib.contextmanager
    def lend(self) -> Iterator[Place]:
        """The same loopback for every scenario."""
        from ftps_harness.play.places.loopback import Loopback

        yield Loopback()


@contextlib.contextmanager
def choose(wanted: Wanted, programs: Sequence[Path]) -> Iterator[Chosen]:
    """Choose the requested place; with ``auto`` the sealed one, or loopback if the kernel does not permit that.

    Args:
        wanted: The requested place.
        programs: The programs that will be started there.

    Raises:
        Unavailable: The sealed place was requested and is not permitted.
        HarnessError: The sealed place does not start.
    """
    if wanted == "loopback":
        yield Chosen("loopback", NOT_SEALED, LoopbackPlaces())
        return
    from ftps_harness.play.places.sealed import SealedPlaces

    with contextlib.ExitStack() as stack:
        try:
            places = stack.enter_context(SealedPlaces(programs))
        except Unavailable as why:
            if wanted == "sealed":
                raise
            chosen = Chosen("loopback", f"{NOT_SEALED} ({why})", LoopbackPlaces())
        else:
            chosen = Chosen("sealed", "", places)
        yield chosen


NOT_SEALED = (
    "place loopback: not sealed by the kernel; lftp's connections to hosts other than the lab's server are not seen"
)
