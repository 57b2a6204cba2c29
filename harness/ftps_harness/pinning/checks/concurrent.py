"""Two parallel runs: one is paused at each of its writes in turn, while the other runs freely."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.certificates import HOST, OTHER, own
from ftps_harness.pinning.checks.failure import at_once, serving
from ftps_harness.sandbox.changes import HELD, RELEASE, Interrupt
from ftps_lab.scripted.peers import ftps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ftps_harness.pinning.record import Ran
    from ftps_harness.pinning.rig import Rig
    from ftps_harness.sandbox.home import Home
    from ftps_lab.certificates import Certificate

_RC: Final = {".lftp/rc": b"# mine\n"}

_MOST: Final = 12
"""Maximum number of file changes at which one of the two runs is paused."""
_AT_ONCE: Final = 4
"""The number of parallel pairs: they mostly wait."""
_LEAST_SECONDS, _MOST_SECONDS = 2.0, 8.0
"""Maximum pause of one run if the other waits for it, as with a lock: five times the duration of a run."""
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two runs in one HOME.

    Attributes:
        at: The change at which the first run was paused.
        held: The paused run, which pins `HOST`.
        other: The parallel run, which pins `OTHER`.
    """

    at: int
    home: Home
    held: Ran
    other: Ran


def concurrent_runs(rig: Rig) -> None:
    """Pin two hosts at the same time in one HOME."""
    first, second = own(HOST), own(OTHER)
    rig.serve(first)
    home = rig.home(_RC)
    whole = rig.pin(home, start=rig.place.interrupting(home, Interrupt()))
    count = whole.finished.changes.counted if whole.finished.changes is not None else 0
    rig.expect(
        whole.ok and count > 0, "exit code 0, and the tool changes a file", f"{whole.ended}, {count} file changes"
    )
    seconds = min(_MOST_SECONDS, max(_LEAST_SECONDS, 5 * whole.finished.seconds))
    points = range(1, count + 1, max(1, -(-count // _MOST)))
    with serving(rig, (ftps(second),), OTHER) as port:
        pairs = [
            pair
            for begin in range(0, len(points), _AT_ONCE)
            for pair in _pairs(rig, points[begin : begin + _AT_ONCE], port, seconds)
        ]
    seen = set()
    for pair in pairs:
        rig.did(
            f"two parallel runs in one HOME, the first paused at change {pair.at} of {count} until the second ended:"
        )
        rig.did_last(pair.held)
        rig.did_last(pair.other)
        for ran in (pair.held, pair.other):
            rig.expect(ran.ok or bool(ran.output.strip()), "exit code 0, or a message that says why not", ran.ended)
        state = (pair.held.ok, pair.other.ok, tuple(sorted(rig.snapshot(pair.home).files().items())))
        if state not in seen:  # ask lftp only once per state
            seen.add(state)
            _judge(rig, pair, first, second, count)


def _pairs(rig: Rig, points: Sequence[int], port: int, seconds: float) -> Iterator[_Pair]:
    """Run some pairs in parallel: the other run has ended, or waits, before the paused one continues."""
    homes = {at: rig.home(_RC) for at in points}
    runs: dict[str, Callable[[], Ran]] = {}
    for at, home in homes.items():
        hold = rig.place.interrupting(home, Interrupt(at, "hold", seconds))
        runs[f"{at} held"] = partial(rig.pin, home, HOST, start=hold)
        runs[f"{at} other"] = partial(_beside, rig, home, port, seconds)
    ran = at_once(runs)
    for at, home in homes.items():
        yield _Pair(at, home, ran[f"{at} held"], ran[f"{at} other"])


def _beside(rig: Rig, home: Home, port: int, seconds: float) -> Ran:
    """Pin the other host while the first run is paused; then let the first continue."""
    until = time.monotonic() + seconds  # it may make fewer changes this time and never pause
    while time.monotonic() < until and not (home.root / HELD).exists():
        time.sleep(_LOOK_SECONDS)
    try:
        return rig.pin(home, OTHER, port)
    finally:
        (home.root / RELEASE).touch()


def _judge(rig: Rig, pair: _Pair, first: Certificate, second: Certificate, count: int) -> None:
    what = f"one run was paused at change {pair.at} of {count}"
    if pair.held.ok:
        rig.accepts(pair.home, first, run=("list",), called=f"{HOST}, pinned alongside {OTHER}; {what}")
    if pair.other.ok:
        rig.accepts(pair.home, second, host=OTHER, run=("list",), called=f"{OTHER}, pinned alongside {HOST}; {what}")
    rc = rig.snapshot(pair.home).files().get("~/.lftp/rc", b"")
    rig.expect(b"# mine\n" in rc, "the rc keeps its earlier line", f"the line is lost: {what}")
