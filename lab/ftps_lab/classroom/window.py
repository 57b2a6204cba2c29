"""The teacher's window: one line per learner, 80 columns wide, or everything that one learner did."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from ftps_lab.classroom.events import by_learner, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ftps_lab.classroom.events import Event

WIDTH = 80

_CLEAR_SCREEN = "\x1b[H\x1b[2J"
_HOW = {"": "", "clear": "CLEAR", "tls": "TLS"}
_LINE = "{who:<12.12} {at:<8} {host:<13.13} {how:<5} {what:<21.21} {captured:.16}"
_HEADING = _LINE.format(
    who="learner", at="at (UTC)", host="host", how="by", what="what happened last", captured="captured"
)


def table(events: Sequence[Event], learners: Sequence[str], *, rows: int | None = None) -> list[str]:
    """The latest event of each learner, most recent first.

    Args:
        events: All events, in order.
        learners: Everyone in the class; learners who have not appeared yet have a line too.
        rows: Maximum number of lines; None for no limit.
    """
    groups = by_learner(events)
    seen = sorted(groups, key=lambda who: groups[who][-1].at, reverse=True)
    absent = [name for name in learners if name not in groups]
    holding = [who for who in seen if _captured(groups[who])]
    head = f"{len(seen)} seen, {len(absent)} not yet; passwords of {len(holding)} leaked"
    lines = [head, _HEADING, *(_row(who, groups[who]) for who in seen)]
    lines += [f"{name:<12.12} -" for name in absent]
    if rows is None or len(lines) <= rows:
        return lines
    hidden = len(lines) - rows + 1
    return [*lines[: rows - 1], f"and {hidden} more: enlarge the terminal, or use `window --once`"]


def story(events: Sequence[Event], who: str) -> list[str]:
    """Everything that one learner did, in order."""
    return [
        _LINE.format(**_columns(who if number == 0 else "", event), captured=event.captured).rstrip()
        for number, event in enumerate(by_learner(events).get(who, []))
    ]


def grouped(events: Sequence[Event]) -> list[str]:
    """Everything that each learner did, learner by learner."""
    return [_HEADING, *(line for who in sorted(by_learner(events)) for line in story(events, who))]


def watch(folder: Path, learners: Sequence[str], *, height: int, every: float = 1.0) -> None:
    """Show the table again whenever something happens, until Ctrl-C.

    Args:
        folder: Where the hosts write their events.
        learners: Everyone in the class.
        height: The terminal's height in lines.
        every: Seconds between checks.
    """
    shown: list[str] = []
    while True:
        lines = table(read(folder), learners, rows=height - 1)
        if lines != shown:
            sys.stdout.write(_CLEAR_SCREEN + "\n".join(lines) + "\n")
            sys.stdout.flush()
            shown = lines
        time.sleep(every)


def _row(who: str, events: Sequence[Event]) -> str:
    return _LINE.format(**_columns(who, events[-1]), captured=_captured(events)).rstrip()


def _columns(who: str, event: Event) -> dict[str, str]:
    at = time.strftime("%H:%M:%S", time.gmtime(event.at))
    return {"who": who, "at": at, "host": event.host, "how": _HOW[event.channel], "what": event.what}


def _captured(events: Sequence[Event]) -> str:
    """The last password of this learner that leaked."""
    return next((event.captured for event in reversed(events) if event.captured), "")
