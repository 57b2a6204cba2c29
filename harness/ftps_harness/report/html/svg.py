"""A drawing and its list as markup. Pure.

This does not use a template: a page of a thousand steps has sixteen thousand rows, and a template takes twenty times as
long for them. Numbers are ours; every text goes through `_text`, which does the same as `page` does for all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from ftps_harness.report.html.diagram import WIDTH
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.report.html.diagram import Column, Drawing, Mark
    from ftps_harness.report.html.sequence import Arrow, Interaction, Row, Who

_MEMBERS: Final = 30
"""How many items of a counted group are listed individually."""

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,-_()/=+")
"""Letters that are the same in text and in markup, and occur in no command to a CI runner."""

_HOW: Final = {
    "clear": ' <span class="how clear">in clear</span>',
    "tls": ' <span class="how tls">in TLS</span>',
}

GLYPHS: Final = Markup(
    '<svg class="glyphs" width="0" height="0" aria-hidden="true" focusable="false">'
    '<symbol id="g-lock" viewBox="0 0 10 12"><path d="M1 5.5h8v6H1z"/>'
    '<path d="M2.8 5.5V3.4a2.2 2.2 0 0 1 4.4 0v2.1" fill="none" stroke="currentColor" stroke-width="1.4"/></symbol>'
    '<symbol id="g-open" viewBox="0 0 10 12">'
    '<path d="M1.7 6.2h6.6v4.6H1.7z" fill="none" stroke="currentColor" stroke-width="1.4"/>'
    '<path d="M2.8 5.5V2.9a2.2 2.2 0 0 1 4.2-.9" fill="none" stroke="currentColor" stroke-width="1.4"/></symbol>'
    '<symbol id="g-alarm" viewBox="0 0 12 12"><path d="M6 .8 11.6 11H.4z" fill="none" stroke="currentColor" '
    'stroke-width="1.3" stroke-linejoin="round"/><path d="M5.4 4h1.2l-.2 3.6h-.8zM5.4 8.4h1.2v1.2H5.4z"/></symbol>'
    "</svg>"
)
"""A closed padlock, an open one, and a warning sign: once per page."""


def picture(drawing: Drawing, anchor: str) -> Markup:
    """Return the SVG, where each arrow links to its list item; hidden from screen readers, which get the list.

    Args:
        drawing: The layout.
        anchor: The prefix of the ids of the list items.
    """
    height = _n(drawing.height)
    head = f'<svg class="diagram" viewBox="0 0 {WIDTH} {height}" aria-hidden="true" focusable="false">'
    links = (
        f'<a class="{mark.classes}" href="#{anchor}-e{mark.number}" tabindex="-1">{shapes(mark)}</a>\n'
        for mark in drawing.marks
    )
    return Markup(f"{head}{lanes(drawing)}{''.join(links)}</svg>")  # noqa: S704 - texts are escaped below


def lanes(drawing: Drawing) -> str:
    """The lanes with their names."""
    return "".join(_lane(column, drawing.height) for column in drawing.columns)


def _lane(column: Column, height: float) -> str:
    x, lane = column.x, column.lane
    return (
        f'<path class="lane" d="M{_n(x)} 38V{_n(height)}"/><g class="who {lane.who}">'
        f'<rect x="{_n(x - 49)}" y="1" width="98" height="37" rx="5"/>'
        f'<text x="{_n(x)}" y="17">{_text(lane.name)}</text>'
        f'<text class="small" x="{_n(x)}" y="31">{_text(lane.about)}</text></g>\n'
    )


def shapes(mark: Mark) -> str:
    """The shapes of one row."""
    return "".join(_box(mark) if mark.shape == "box" else _arrow(mark))


def _box(mark: Mark) -> Iterator[str]:
    width, height = _n(mark.head - mark.tail), _n(mark.line - mark.top - 3)
    yield f'<rect class="box" x="{_n(mark.tail)}" y="{_n(mark.top + 3)}" width="{width}" height="{height}" rx="5"/>'
    if mark.row.first.alarm:
        yield f'<use href="#g-alarm" x="{_n(mark.x - 14)}" y="{_n(mark.top + 8)}" width="11" height="11"/>'
    yield f'<text x="{_n(mark.x)}" y="{_n(mark.top + 18)}">{_text(mark.label)}</text>'
    if mark.note:
        yield f'<text class="small" x="{_n(mark.x)}" y="{_n(mark.top + 32)}">{_text(mark.note)}</text>'


def _arrow(mark: Mark) -> Iterator[str]:
    first, top, line = mark.row.first, mark.top, mark.line
    if mark.tag and first.channel:
        glyph = "lock" if first.channel == "tls" else "open"
        yield f'<use href="#g-{glyph}" x="{_n(mark.x)}" y="{_n(top + 3)}" width="9" height="11"/>'
    if mark.tag:
        yield f'<text class="tag" x="{_n(mark.x + 12)}" y="{_n(top + 13)}">{mark.tag}</text>'
    yield f'<text x="{_n(mark.label_x)}" y="{_n(top + 13)}">{_text(mark.label)}</text>'
    if mark.note:
        yield f'<text class="small" x="{_n(mark.x)}" y="{_n(top + 26)}">{_text(mark.note)}</text>'
    shaft = f'd="M{_n(mark.tail)} {_n(line)}H{_n(mark.head)}"/>'
    yield f'<path class="line" {shaft}'
    if first.data:
        yield f'<path class="bore" {shaft}'
    if first.kind == "closed" or (first.failed and first.kind in {"handshake", "alert"}):
        yield f'<path class="cross" d="m{_n(mark.head - 5 * mark.way - 4)} {_n(line - 4)}l8 8m0-8-8 8"/>'
    else:
        yield _tip(mark.head, line, mark.way)
    if first.kind == "handshake" and not first.failed:
        yield _tip(mark.tail, line, -mark.way)
    if mark.row.reply:
        yield f'<path class="line reply" d="M{_n(mark.head)} {_n(line + 11)}H{_n(mark.tail)}"/>'
        yield _tip(mark.tail, line + 11, -mark.way)
        yield f'<text class="code" x="{_n(mark.middle)}" y="{_n(line + 14.5)}">{_text(mark.row.reply)}</text>'


def _tip(x: float, y: float, way: int) -> str:
    return f'<path class="tip" d="M{_n(x)} {_n(y)}l{-7 * way}-4v8z"/>'


def told(interaction: Interaction, anchor: str) -> Markup:
    """The same rows as a list: for screen readers, and as the evidence that arrows link to."""
    names = {lane.who: _text(lane.name) for lane in interaction.lanes}
    items = "".join(
        f'<li id="{anchor}-e{number}">{_who(row.first, names)}{_item(row)}</li>\n'
        for number, row in enumerate(interaction.rows, 1)
    )
    return Markup(f'<ol class="told">\n{items}</ol>')  # noqa: S704 - texts are escaped below


def _who(arrow: Arrow, names: dict[Who, str]) -> str:
    to = "" if arrow.source == arrow.target else f" → {names[arrow.target]}"
    return f"<b>{names[arrow.source]}{to}</b>"


def _item(row: Row) -> str:
    first = row.first
    how = _HOW.get(first.channel or "", "") if first.kind != "handshake" else ""
    said = f'{how} <span class="{"alarm" if first.alarm else "said"}">{_text(row.label)}</span>'
    if len(row.arrows) == 1:
        return f"{said} {_evidence(first)}"
    members = "".join(f"<li>{_text(arrow.label)} {_evidence(arrow)}</li>\n" for arrow in row.arrows[:_MEMBERS])
    more = len(row.arrows) - _MEMBERS
    rest = f"<li>and {more} more: <code>--keep DIR</code> keeps them all</li>" if more > 0 else ""
    return f"{said} <details><summary>each of them</summary><ul>{members}{rest}</ul></details>"


def _evidence(arrow: Arrow) -> str:
    source = ", ".join(filter(None, (arrow.connection, arrow.time, arrow.witness)))
    return f'<span class="known">{_text(arrow.text)} <i>{_text(source)}</i></span>'


def _text(text: str) -> str:
    """Escape text so that it is never markup and harmless, like `page`."""
    return text if _PLAIN.issuperset(text) else str(escape(harmless(text)))


def _n(value: float) -> str:
    return f"{round(value, 1):g}"
