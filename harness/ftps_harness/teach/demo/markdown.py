"""The demonstration as a transcript in Markdown. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_harness.teach.demo.parts import Part

_BLOCKS: Final = {"typed": "console", "output": "text", "server": "text", "wire": "text"}


def text(parts: Iterable[Part]) -> str:
    """The whole transcript."""
    lines = ["# LFTP FTPS and certificate verification, played", ""]
    for part in parts:
        lines += [*_part(part), ""]
    return "\n".join(lines)


def _part(part: Part) -> Iterator[str]:
    if part.kind == "title":
        yield f"## {harmless(part.lines[0])}"
        return
    if part.heading:
        yield f"**{harmless(part.heading)}**"
        yield ""
    if part.kind in _BLOCKS:
        begin = "$ " if part.kind == "typed" else ""
        yield f"```{_BLOCKS[part.kind]}"
        yield from (f"{begin}{harmless(line).replace('```', '` ` `')}" for line in part.lines)
        yield "```"
    else:
        yield from (_escaped(harmless(line)) for line in part.lines)


def _escaped(line: str) -> str:
    return line.replace("<", "&lt;")
