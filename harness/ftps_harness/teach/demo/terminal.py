"""The demonstration on a terminal: 80 columns, readable without colour, with colours that everyone can distinguish."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rich.text import Text

from ftps_harness.report.plain import harmless, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ftps_harness.teach.demo.parts import Part

_WIDEST: Final = 80

_STYLES: Final = {
    "title": "bold reverse",
    "question": "bold blue",
    "typed": "bold",
    "server": "",
    "wire": "",
    "answer": "bold",
    "problem": "bold reverse",
}
"""Styles by kind. No meaning depends on a colour alone: words say the same."""

_DUMP: Final = re.compile(r"[0-9a-f]{6}  [0-9a-f]{2} ")

_MARKS: Final = (">>>", "<<<")
"""Marks around a secret, for people who do not see colours or use a screen reader."""


def height(part: Part, console: Console) -> int:
    """The number of rows that one part takes."""
    rows = sum(1 + max(0, len(line) - 1) // console.width for line in _fitting(part, console))
    return rows + (part.kind != "typed")


def _fitting(part: Part, console: Console) -> Iterator[str]:
    return lines(part, min(console.width, _WIDEST) - 1)


def show(part: Part, console: Console) -> None:
    """Print one part."""
    for line in _fitting(part, console):
        console.print(_marked(line, part), style=_STYLES.get(part.kind) or None)
    if part.kind != "typed":
        console.print()


def lines(part: Part, width: int) -> Iterator[str]:
    """One part as text."""
    if part.heading:
        yield f"[{part.heading}]" if part.kind in {"server", "wire"} else f"{part.heading}:"
    for line in part.lines:
        if part.kind in {"text", "question", "answer", "problem"}:
            yield from wrapped(harmless(line), width)
        elif part.kind == "typed":
            yield f"$ {harmless(line)}"
        elif part.kind == "title":
            yield f" {harmless(line)} "
        else:
            yield from _with_secrets(line, part)


def _with_secrets(line: str, part: Part) -> Iterator[str]:
    marked = harmless(line)
    for secret in () if _DUMP.match(marked) else part.secrets:  # keeps a dump's columns aligned
        marked = marked.replace(secret, f"{_MARKS[0]} {secret} {_MARKS[1]}")
    yield f"  {marked}"


def _marked(line: str, part: Part) -> Text:
    text = Text(line)
    for secret in part.secrets:
        for found in re.finditer(re.escape(secret), line):
            text.stylize("bold reverse", found.start(), found.end())
    return text
