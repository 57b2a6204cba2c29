"""The demonstration as a recording: asciicast v2 (one JSON object for the header, then one array for each event)."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Final

from rich.console import Console

from ftps_harness.report.plain import harmless
from ftps_harness.teach.demo import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.teach.demo.parts import Part

WIDTH: Final = 80
_HEIGHT: Final = 30
_TYPING: Final = 0.04
"""Seconds for each typed character."""
_LINE: Final = 0.12
"""Seconds for each printed line."""


def text(parts: Sequence[Part], pace: float) -> str:
    """The whole recording.

    Args:
        parts: The parts to show.
        pace: Seconds after each part.
    """
    header = {
        "version": 2,
        "width": WIDTH,
        "height": _HEIGHT,
        "title": "ftps-lab demo",
        "env": {"TERM": "xterm-256color"},
    }
    events = [json.dumps([round(when, 3), *event], ensure_ascii=False) for when, *event in _events(parts, pace)]
    return "\n".join([json.dumps(header), *events]) + "\n"


def _events(parts: Sequence[Part], pace: float) -> Iterator[tuple[float, str, str]]:
    """Yield time, kind (``o``: output, ``m``: a marker at the start of a chapter) and text."""
    now = 0.5
    for part in parts:
        if part.kind == "title":
            yield now, "m", harmless(part.lines[0])
        if part.kind == "typed":
            for letter in "".join(f"{line}\r\n" for line in terminal.lines(part, WIDTH)):
                yield now, "o", letter
                now += _TYPING
        else:
            for line in _printed(part).splitlines(keepends=True):
                yield now, "o", line.replace("\n", "\r\n")
                now += _LINE
        now += pace * (2 if part.pause else 1)


def _printed(part: Part) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, color_system="standard", width=WIDTH, markup=False, highlight=False,
        emoji=False, legacy_windows=False, soft_wrap=True, no_color=False,
    )  # fmt: skip
    terminal.show(part, console)
    return stream.getvalue()
