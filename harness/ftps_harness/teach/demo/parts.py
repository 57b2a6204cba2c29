"""What a demonstration shows, as data: the same for the terminal, for a transcript and for a recording. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["title", "text", "question", "typed", "output", "server", "wire", "answer", "problem"]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is shown.

    Attributes:
        kind: What it is. ``typed`` and ``output`` are what a person types and what the program prints; ``server`` and
            ``wire`` are what the server and an eavesdropper saw; ``problem`` says that the evidence disagrees with the
            narration.
        heading: A line above it; empty for none.
        lines: Its text; of ``text``, ``question`` and ``answer`` a paragraph each.
        secrets: What stands out in it, wherever it occurs.
        pause: A good moment to wait for the audience.
    """

    kind: Kind
    lines: tuple[str, ...]
    heading: str = ""
    secrets: tuple[str, ...] = ()
    pause: bool = False
