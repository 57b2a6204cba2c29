"""Pictures as standalone files: styles included, light or dark by the reader's preference. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from markupsafe import escape

from ftps_harness.report.html import svg
from ftps_harness.report.html.diagram import WIDTH
from ftps_harness.report.html.page import asset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftps_harness.report.html.diagram import Drawing

_SCALE: Final = 1.5
_LINE: Final = 24
_COLUMNS: Final = (12, 176, 286)
_WIDE: Final = 400


def diagram(drawing: Drawing, title: str) -> str:
    """A sequence diagram as a file."""
    rows = "\n".join(
        f'<g class="{mark.classes}"><title>{escape(mark.text)}</title>{svg.shapes(mark)}</g>' for mark in drawing.marks
    )
    said = "; ".join(mark.label for mark in drawing.marks)
    return _file(WIDTH, drawing.height, title, said, f"{svg.lanes(drawing)}\n{rows}")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, str, str, bool]], title: str) -> str:
    """A table of three columns as a file; rows that differ are highlighted and labelled."""
    lines = [_line(head, 0, "who")]
    said = []
    for number, (name, one, other, differs) in enumerate(rows, 1):
        lines.append(
            _line((name, one, f"{other}  differs" if differs else other), number, "d-alarm" if differs else "")
        )
        said.append(f"{name}: {one}, {other}{' (differs)' if differs else ''}")
    return _file(_WIDE, _LINE * len(lines) + 12, title, "; ".join(said), "\n".join(lines))


def _line(cells: tuple[str, ...], number: int, name: str) -> str:
    y = _LINE * (number + 1) - 4
    texts = "".join(f'<text x="{x}" y="{y}">{escape(cell)}</text>' for x, cell in zip(_COLUMNS, cells, strict=True))
    return f'<g class="row {name}">{texts}<path class="lane" d="M6 {y + 7}H{_WIDE - 6}"/></g>'


def _file(width: float, height: float, title: str, said: str, content: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="diagram" viewBox="0 0 {width} {height:g}" '
        f'width="{width * _SCALE:g}" height="{height * _SCALE:g}" role="img" aria-labelledby="t d">\n'
        f'<title id="t">{escape(title)}</title>\n<desc id="d">{escape(said)}</desc>\n<style>\n{_style()}\n</style>\n'
        f'<rect class="ground" width="100%" height="100%" rx="8"/>\n{content}\n</svg>\n'
    )


def _style() -> str:
    """The page's colours and the diagram's rules, from the page's own files."""
    blocks = r"^:root \{.*?^\}|^@media \(prefers-color-scheme: dark\) \{.*?^\}"
    colours = re.findall(blocks, asset("style.css"), re.DOTALL | re.MULTILINE)
    rules = [line for line in asset("diagram.css").split("\n") if line.startswith(".diagram") and "a:hover" not in line]
    own = ".ground { fill: var(--surface); }\n.row text { stroke: none; }\n.row.who text { text-anchor: start; }"
    return "\n".join((*colours, *rules, own))
