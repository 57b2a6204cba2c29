"""Two runs at once: one is held up at each of its writes in turn, and the other has all the time in between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.certificates import HOST, OTHER, own
from ftps_harness.pinning.checks.failure import at_once, serving
from ftps_harness.sandbox.changes import Interrupt
from ftps_lab.scripted.peers import ftps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ftps_harness.pinning.rig import Ran, Rig
    from ftps_harness.sandbox.home import Home
    from ftps_lab.certificates import Certificate

_RC: Final = {".lftp/rc": b"# mine\n"}

_MOST: Final = 12
"""Changes of files at which one of the two is held up."""
_AT_ONCE: Final = 4
"""Pairs that run at the same time: they mostly wait."""
_LEAST_SECONDS, _MOST_SECONDS = 0.8, 4.0
"""How long one is held up, at least and at most: three times as long as a run takes."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two runs in one HOME.

    Attributes:
        at: The change at which the first was held up.
        held: The run that was held up; it pins `HOST`.
        other: The run beside it; it pins `OTHER`.
    """

    at: int
    home: Home
    held: Ran
    other: Ran


def concurrent_runs(rig: Rig) -> None:
    """Two hosts, pinned at the same time in one HOME."""
    first, second = own(HOST), own(OTHER)
    rig.serve(first)
    home = rig.home(_RC)
    whole = rig.pin(home, start=rig.place.interrupting(home, Interrupt()))
    count = whole.finished.changes.counted if whole.finished.changes is not None else 0
    rig.expect(whole.ok and count > 0, "exit code 0, and something is written", f"{whole.ended}, {count} changes")
    seconds = min(_MOST_SECONDS, max(_LEAST_SECONDS, 3 * whole.finished.seconds))
    points = range(1, count + 1, max(1, -(-count // _MOST)))
    with serving(rig, (ftps(second),), OTHER) as port:
        pairs = [
            pair
            for begin in range(0, len(points), _AT_ONCE)
            for pair in _pairs(rig, points[begin : begin + _AT_ONCE], port, seconds)
        ]
    seen = set()
    for pair in pairs:
        rig.did_last(pair.held)
        rig.did_last(pair.other)
        for ran in (pair.held, pair.other):
            rig.expect(ran.ok or bool(ran.output.strip()), "exit code 0, or a sentence that says why not", ran.ended)
        state = (pair.held.ok, pair.other.ok, tuple(sorted(rig.snapshot(pair.home).files().items())))
        if state not in seen:  # what lftp makes of it is asked once
            seen.add(state)
            _judge(rig, pair, first, second, count)


def _pairs(rig: Rig, points: Sequence[int], port: int, seconds: float) -> Iterator[_Pair]:
    """Some pairs at the same time; the one that is not held up runs alone while the other waits."""
    homes = {at: rig.home(_RC) for at in points}
    runs: dict[str, Callable[[], Ran]] = {}
    for at, home in homes.items():
        delay = Interrupt(at, "delay", seconds)
        runs[f"{at} held"] = partial(rig.pin, home, HOST, start=rig.place.interrupting(home, delay))
        runs[f"{at} other"] = partial(rig.pin, home, OTHER, port)
    ran = at_once(runs)
    for at, home in homes.items():
        yield _Pair(at, home, ran[f"{at} held"], ran[f"{at} other"])


def _judge(rig: Rig, pair: _Pair, first: Certificate, second: Certificate, count: int) -> None:
    what = f"one run was held up at change {pair.at} of {count}"
    if pair.held.ok:
        rig.accepts(pair.home, first, run=("list",), called=f"{HOST}, pinned beside {OTHER}; {what}")
    if pair.other.ok:
        rig.accepts(pair.home, second, host=OTHER, run=("list",), called=f"{OTHER}, pinned beside {HOST}; {what}")
    rc = rig.snapshot(pair.home).files().get("~/.lftp/rc", b"")
    rig.expect(b"# mine\n" in rc, "the rc is still there", f"its line is lost: {what}")
