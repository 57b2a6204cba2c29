"""Which place scenarios are played in, and one for each that is played at the same time."""

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
    """Lends a place to each scenario that is played."""

    def lend(self) -> AbstractContextManager[Place]:
        """A place that nobody else uses."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen.

    Attributes:
        name: ``sealed`` or ``loopback``.
        note: What a reader of results should know about it; empty if nothing.
        places: Lends them.
    """

    name: str
    note: str
    places: Places


class LoopbackPlaces:
    """This machine's loopback, as often as it is wanted."""

    @contextlib.contextmanager
    def lend(self) -> Iterator[Place]:
        """The same for all."""
        from ftps_harness.play.places.loopback import Loopback

        yield Loopback()


@contextlib.contextmanager
def choose(wanted: Wanted, programs: Sequence[Path]) -> Iterator[Chosen]:
    """The place that is wanted; with ``auto`` the sealed one, or loopback where the kernel does not permit that.

    Args:
        wanted: Which.
        programs: What is to be started there.

    Raises:
        Unavailable: The sealed one is wanted and not permitted.
        HarnessError: It does not start.
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
