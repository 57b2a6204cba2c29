"""The layout of a sequence diagram: the position of each lane, arrow, glyph and word. Pure; `svg` writes it.

Lengths are in units of the picture: it is `WIDTH` units wide, and a phone shows it at about its natural size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ftps_harness.report.html.sequence import Interaction, Lane, Row, Who

WIDTH: Final = 360

_EDGE: Final = 52
"""Distance from the picture's edge to the middle of its outer lanes."""

_HEAD: Final = 44
"""Height of the lanes' names, with the space below them."""

_LETTER: Final = 6.7
_SMALL_LETTER: Final = 5.9
"""Width of a character, generously: no font in the page's list is wider on average."""

_BOLD: Final = 1.1
"""Ratio of the widths of bold and normal characters."""

_PADLOCK: Final = 12
"""The space that a padlock takes before its words."""

_LAST: Final = 26
"""Characters at the end of a label that is too long; of these, the whole words are kept."""

_PAD: Final = 8
_SIDE: Final = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A lane and its position."""

    lane: Lane
    x: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A row as it is drawn.

    Attributes:
        number: From 1; the list item of the same number has its evidence.
        shape: An arrow between two lanes, or a box on one.
        top: The top of the row.
        height: The height of the row.
        tail: Where the arrow begins, or the box's left side.
        head: Where the arrow ends, or the box's right side.
        label: The first line; it begins with how the row travels, if anything does.
        note: The second line, if any.
        locked: It has a padlock, open or closed.
        x: Where the text begins, including any padlock.
        line: The vertical position of the arrow, or of the lower side of a box.
        classes: Its classes in the style sheet.
        text: The evidence in a sentence.
    """

    number: int
    row: Row
    shape: str
    top: float
    height: float
    tail: float
    head: float
    label: str
    note: str
    locked: bool
    x: float
    line: float
    classes: str
    text: str

    @property
    def label_x(self) -> float:
        """Where the label begins, after a padlock."""
        return self.x + (_PADLOCK if self.locked else 0)

    @property
    def middle(self) -> float:
        """The middle between both ends."""
        return (self.tail + self.head) / 2

    @property
    def way(self) -> int:
        """1 to the right, -1 to the left."""
        return 1 if self.head >= self.tail else -1


@dataclass(frozen=True, slots=True)
class Drawing:
    """The whole picture."""

    columns: tuple[Column, ...]
    marks: tuple[Mark, ...]
    height: float


def drawing(interaction: Interaction) -> Drawing:
    """Return the layout of an interaction."""
    columns = _columns(interaction.lanes)
    places = {column.lane.who: column.x for column in columns}
    marks: list[Mark] = []
    top: float = _HEAD
    for number, row in enumerate(interaction.rows, 1):
        mark = _event if _on_a_lane(row) else _arrow
        marks.append(mark(number, row, top, places))
        top += marks[-1].height
    return Drawing(columns, tuple(marks), top + _PAD)


def _columns(lanes: tuple[Lane, ...]) -> tuple[Column, ...]:
    apart = (WIDTH - 2 * _EDGE) / (len(lanes) - 1)
    return tuple(Column(lane, _EDGE + number * apart) for number, lane in enumerate(lanes))


def _on_a_lane(row: Row) -> bool:
    return row.first.source == row.first.target or row.first.kind == "readable"


def _arrow(number: int, row: Row, top: float, places: dict[Who, float]) -> Mark:
    """An arrow below its words, with the reply's arrow below it."""
    first = row.first
    how = _how(row)
    locked = bool(how and first.channel)
    before = _PADLOCK if locked else 0
    tail, head = places[first.source], places[first.target]
    room = WIDTH - 2 * _SIDE - before
    label, note = (
        _fitting(how + row.label, room / _LETTER / _BOLD),
        _fitting(first.note, (room + before) / _SMALL_LETTER),
    )
    bold = _BOLD if first.alarm else 1
    width = max(before + len(label) * _LETTER * bold, len(note) * _SMALL_LETTER)
    line = top + (32 if note else 19)
    classes = ["d-arrow", f"d-{first.kind}", *([f"d-{first.channel}"] if first.channel else [])]
    classes += [f"d-{name}" for name in ("data", "alarm", "failed") if getattr(first, name)]
    return Mark(
        number=number,
        row=row,
        shape="arrow",
        top=top,
        height=line - top + (24 if row.reply else 13),
        tail=tail,
        head=head,
        label=label,
        note=note,
        locked=locked,
        x=_beginning(min(tail, head), max(tail, head), width),
        line=line,
        classes=" ".join(classes),
        text=f"{row.label}. {first.text}",
    )


def _event(number: int, row: Row, top: float, places: dict[Who, float]) -> Mark:
    """A box on a lane; if it concerns the path, between two lanes."""
    first = row.first
    room = WIDTH - 2 * _SIDE - 2 * _PAD - (2 * _PAD if first.alarm else 0)
    label, note = _fitting(row.label, room / _LETTER / _BOLD), _fitting(first.note, room / _SMALL_LETTER)
    glyph = 14 if first.alarm else 0
    bold = _BOLD if first.alarm else 1
    width = max(len(label) * _LETTER * bold + glyph, len(note) * _SMALL_LETTER) + 2 * _PAD
    middle = (places[first.source] + places[first.target]) / 2
    left = max(float(_SIDE), min(middle - width / 2, WIDTH - _SIDE - width))
    tall = 36 if note else 22
    return Mark(
        number=number,
        row=row,
        shape="box",
        top=top,
        height=tall + 10,
        tail=left,
        head=left + width,
        label=label,
        note=note,
        locked=False,
        x=left + _PAD + glyph,
        line=top + 3 + tall,
        classes=" ".join(["d-event", f"d-{first.kind}", *(["d-alarm"] if first.alarm else [])]),
        text=f"{row.label}. {first.text}",
    )


def _beginning(left: float, right: float, width: float) -> float:
    """Where words of this width begin: at the arrow's left end, or centred on it if they are wider than it."""
    begin = left + _PAD if width <= right - left - _PAD else (left + right - width) / 2
    return max(float(_SIDE), min(begin, WIDTH - _SIDE - width))


def _how(row: Row) -> str:
    """How a row travels, in a word or two before its label; empty if nothing does."""
    first = row.first
    word = {"clear": "clear", "tls": "TLS"}.get(first.channel or "", "") if first.kind != "handshake" else ""
    words = f"{word} {'data' if first.data else ''}".strip()
    return f"{words}: " if words else ""


def _fitting(text: str, most: float) -> str:
    """The text, or its beginning and its last words: these say how much it was, and whether anyone can read it."""
    letters = int(most)
    if len(text) <= letters:
        return text
    end = text[-min(letters // 2, _LAST) :].partition(" ")[2]
    return f"{text[: letters - len(end) - 2]}… {end}" if end else f"{text[: letters - 1]}…"
