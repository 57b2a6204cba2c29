"""The content of a demonstration as data, shared by the terminal, the transcript and the recording. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["title", "text", "question", "typed", "output", "server", "wire", "answer", "problem"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a demonstration.

    Attributes:
        kind: ``typed`` is a person's input, ``output`` the program's output; ``server`` and ``wire`` show what the
            server and an eavesdropper saw; ``problem`` says that the evidence disagrees with the narration.
        heading: A line above it; empty for no heading.
        lines: Its text; for ``text``, ``question`` and ``answer``, each item is a paragraph.
        secrets: Texts to highlight wherever they occur.
        pause: Wait for the audience after this part.
    """

    kind: Kind
    lines: tuple[str, ...]
    heading: str = ""
    secrets: tuple[str, ...] = ()
    pause: bool = False
