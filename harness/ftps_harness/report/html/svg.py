"""A drawing and its list as markup. Pure.

This does not use a template: a page of a thousand steps has sixteen thousand rows, and a template takes twenty times as
long for them. Numbers are ours; every text goes through `_text`, which does the same as `page` does for all others.

Each node counts: on pages of a thousand results a browser spends most of its time making nodes, about a microsecond for
each (measured with Debian's chromium). So a glyph is one path rather than a `<use>`, which makes a tree of its own, an
arrow with its tip is one path, and nothing stands between two elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from ftps_harness.report.html.diagram import WIDTH
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.report.html.diagram import Column, Drawing, Mark
    from ftps_harness.report.html.sequence import Arrow, Interaction, Row, Who

_FEW: Final = 4
"""Maximum number of items of a counted group that is listed in place; a larger one is folded away."""

_MEMBERS: Final = 30
"""How many items of a counted group are listed individually."""

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,-_()/=+")
"""Characters that are the same in text and in markup, and occur in no command to a CI runner."""

_HOW: Final = {"clear": "in clear", "tls": "in TLS"}

_SHACKLE: Final = "a2.9 2.9 0 0 1 5.8 0v2.1h-1.4v-2.1a1.5 1.5 0 0 0-3 0v2.1z"
_GLYPHS: Final = {
    "tls": (1, 5.5, f"h8v6h-8zm1.1 0v-2.1{_SHACKLE}"),
    "clear": (
        1,
        5.5,
        "h8v6h-8zm1.4 1.4v3.2h5.2v-3.2zm-.3-1.4v-2.6a2.9 2.9 0 0 1 5.6-.8l-1.3.5a1.5 1.5 0 0 0-2.9.3v2.6z",
    ),
    "alarm": (6, 0.5, "l6 11h-12zm0 2.5l-4.2 7.4h8.4zm-.6 2h1.2l-.2 3h-.8zm0 3.6h1.2v1.1h-1.2z"),
}
"""Name → a closed padlock, an open one and a warning sign: where its path begins, and the path from there."""


def picture(drawing: Drawing, anchor: str) -> Markup:
    """Return the SVG, where each arrow links to its list item; hidden from screen readers, which get the list.

    Args:
        drawing: The layout.
        anchor: The prefix of the ids of the list items.
    """
    height = _n(drawing.height)
    head = f'<svg class="diagram" viewBox="0 0 {WIDTH} {height}" aria-hidden="true" focusable="false">'
    links = (
        f'<a\nclass="{mark.classes}" href="#{anchor}-e{mark.number}" tabindex="-1">{shapes(mark)}</a>'
        for mark in drawing.marks
    )
    return Markup(f"{head}{lanes(drawing)}{''.join(links)}</svg>")  # noqa: S704 - texts are escaped below


def lanes(drawing: Drawing) -> str:
    """The lanes with their names."""
    shafts = "".join(f"M{_n(column.x)} 38V{_n(drawing.height)}" for column in drawing.columns)
    attackers = [column for column in drawing.columns if column.lane.who == "attacker"]
    others = [column for column in drawing.columns if column not in attackers]
    heads = "".join(_heads(some, kind) for some, kind in ((others, "who"), (attackers, "who attacker")) if some)
    return f'<path class="lane" d="{shafts}"/>{heads}'


def _heads(columns: Sequence[Column], kind: str) -> str:
    boxes = "".join(_rounded(column.x - 49, 1, 98, 37) for column in columns)
    names = "".join(
        f'<text x="{_n(column.x)}" y="17">{_text(column.lane.name)}</text>'
        f'<text class="small" x="{_n(column.x)}" y="31">{_text(column.lane.about)}</text>'
        for column in columns
    )
    return f'<g\nclass="{kind}"><path d="{boxes}"/>{names}</g>'


def _rounded(x: float, y: float, width: float, height: float) -> str:
    """The path of a rectangle with round corners: one attribute, where a <rect> takes five."""
    across, down = f"{_n(width - 10)}", f"{_n(height - 10)}"
    return f"M{_n(x + 5)} {_n(y)}h{across}q5 0 5 5v{down}q0 5-5 5h-{across}q-5 0-5-5v-{down}q0-5 5-5z"


def shapes(mark: Mark) -> str:
    """The shapes of one row."""
    return "".join(_box(mark) if mark.shape == "box" else _arrow(mark))


def _box(mark: Mark) -> Iterator[str]:
    outline = _rounded(mark.tail, mark.top + 3, mark.head - mark.tail, mark.line - mark.top - 3)
    yield f'<path class="box" d="{outline}"/>'
    if mark.row.first.alarm:
        yield _glyph("alarm", mark.x - 14, mark.top + 8)
    yield f'<text x="{_n(mark.x)}" y="{_n(mark.top + 18)}">{_text(mark.label)}</text>'
    if mark.note:
        yield f'<text class="small" x="{_n(mark.x)}" y="{_n(mark.top + 32)}">{_text(mark.note)}</text>'


def _glyph(name: str, x: float, y: float) -> str:
    right, down, path = _GLYPHS[name]
    return f'<path class="glyph" d="M{_n(x + right)} {_n(y + down)}{path}"/>'


def _arrow(mark: Mark) -> Iterator[str]:
    first, top, line = mark.row.first, mark.top, mark.line
    if mark.locked and first.channel:
        yield _glyph(first.channel, mark.x, top + 2)
    yield f'<text x="{_n(mark.label_x)}" y="{_n(top + 13)}">{_text(mark.label)}</text>'
    if mark.note:
        yield f'<text class="small" x="{_n(mark.x)}" y="{_n(top + 26)}">{_text(mark.note)}</text>'
    shaft, ends = f"M{_n(mark.tail)} {_n(line)}H{_n(mark.head)}", _ends(mark)
    if first.data:
        yield f'<path class="line" d="{shaft}"/><path class="bore" d="{shaft}"/>'
        yield f'<path class="tip" d="M{_n(mark.head)} {_n(line)}{ends}"/>'
    else:
        yield f'<path class="line" d="{shaft}{ends}"/>'
    if mark.row.reply:
        yield f'<path class="line reply" d="M{_n(mark.head)} {_n(line + 11)}H{_n(mark.tail)}{_tip(-mark.way)}"/>'
        yield f'<text class="code" x="{_n(mark.middle)}" y="{_n(line + 14.5)}">{_text(mark.row.reply)}</text>'


def _ends(mark: Mark) -> str:
    """The path of an arrow's ends, from its head on: a tip or a cross, and a second tip at the tail of a handshake.

    A tip begins with a move, so that its filled outline is closed there and not at the shaft's other end.
    """
    first, way = mark.row.first, mark.way
    if first.kind == "closed" or (first.failed and first.kind in {"handshake", "alert"}):
        return f"m{-5 * way - 4}-4l8 8m0-8l-8 8"
    if first.kind == "handshake":
        return f"{_tip(way)}M{_n(mark.tail)} {_n(mark.line)}{_tip(-way)}"
    return _tip(way)


def _tip(way: int) -> str:
    return f"m0 0l{-7 * way}-4v8z"


def told(interaction: Interaction, anchor: str) -> Markup:
    """The same rows as a list: for screen readers, and as the evidence that arrows link to."""
    names = {lane.who: _text(lane.name) for lane in interaction.lanes}
    items = "".join(
        f'<li\nid="{anchor}-e{number}">{_who(row.first, names)} {_item(row)}</li>'
        for number, row in enumerate(interaction.rows, 1)
    )
    return Markup(f'<ol class="told">{items}</ol>')  # noqa: S704 - texts are escaped below


def _who(arrow: Arrow, names: dict[Who, str]) -> str:
    who = names[arrow.source] if arrow.source == arrow.target else f"{names[arrow.source]} → {names[arrow.target]}"
    if arrow.channel is None or arrow.kind == "handshake":
        return f"<b>{who}</b>"
    return f'<b class="{arrow.channel}">{who}, {_HOW[arrow.channel]}:</b>'


def _item(row: Row) -> str:
    label = _text(row.label)
    said = f'<em class="alarm">{label}</em>' if row.first.alarm else label
    if len(row.arrows) == 1:
        return f"{said} {_evidence(row.first)}"
    if len(row.arrows) <= _FEW:
        return said + "".join(f" <small>{_text(arrow.label)}. {_details(arrow)}</small>" for arrow in row.arrows)
    members = "".join(f"<li>{_text(arrow.label)} {_evidence(arrow)}</li>" for arrow in row.arrows[:_MEMBERS])
    more = len(row.arrows) - _MEMBERS
    rest = f"<li>and {more} more: <code>--keep DIR</code> keeps them all</li>" if more > 0 else ""
    return f"{said} <details><summary>each of them</summary><ul>{members}{rest}</ul></details>"


def _evidence(arrow: Arrow) -> str:
    return f"<small>{_details(arrow)}</small>"


def _details(arrow: Arrow) -> str:
    source = ", ".join(filter(None, (arrow.connection, arrow.time, arrow.witness)))
    return f"{_text(arrow.text)} ({_text(source)})"


def _text(text: str) -> str:
    """Escape text so that it is never markup and harmless, like `page`."""
    return text if _PLAIN.issuperset(text) else str(escape(harmless(text)))


def _n(value: float) -> str:
    return f"{round(value, 1):g}"
