"""Chooses the place for scenarios, and provides one for each scenario that runs concurrently."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self

from ftps_harness.sandbox.sandbox import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ftps_harness.play.places.loopback import Place
    from ftps_harness.play.places.sealed import SealedPlaces

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
    with Opening(wanted, programs) as opening:
        yield opening.chosen()


class Opening:
    """A place as for `choose`, which starts while the caller does something else. A context manager.

    Raises:
        HarnessError: The sealed place does not start.
    """

    def __init__(self, wanted: Wanted, programs: Sequence[Path]) -> None:
        self._wanted = wanted
        self._stack = contextlib.ExitStack()
        self._sealed: SealedPlaces | None = None
        self._why_not: Unavailable | None = None
        if wanted != "loopback":
            from ftps_harness.play.places.sealed import SealedPlaces

            with self._unless_unavailable():
                self._sealed = self._stack.enter_context(SealedPlaces(programs, wait=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def chosen(self) -> Chosen:
        """Wait for the place. Call it once.

        Raises:
            Unavailable: The sealed place was requested and is not permitted.
            HarnessError: The sealed place does not start.
        """
        if self._sealed is not None:
            with self._unless_unavailable():
                self._sealed.wait()
                return Chosen("sealed", "", self._sealed)
        why = f" ({self._why_not})" if self._why_not else ""
        return Chosen("loopback", f"{unseen()}{why}", LoopbackPlaces())

    @contextlib.contextmanager
    def _unless_unavailable(self) -> Iterator[None]:
        try:
            yield
        except Unavailable as why:
            if self._wanted == "sealed":
                raise
            self._why_not = why


def unseen() -> str:
    """What the place loopback does not see on this machine, for readers of the results."""
    from ftps_harness.play.places.loopback import why_unguarded

    return NOT_SEALED if why_unguarded() else GUARDED


NOT_SEALED = (
    "place loopback: not sealed by the kernel; lftp's connections to hosts other than the lab's server are not seen"
)
GUARDED = (
    "place loopback: the kernel refuses connections to other machines, and the lab records them; connections to other "
    "servers on this machine are not seen"
)
