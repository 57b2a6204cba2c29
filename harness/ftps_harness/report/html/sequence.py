"""The recorded testimony as arrows between lanes: who said what to whom, in order. Pure.

Scenario expectations play no part here. Each arrow repeats one item that a witness recorded, and names the witness; the
picture and the list next to it are both built from these arrows, so they cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ftps_harness.report.plain import harmless
from ftps_lab.testimony import TRANSFERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftps_lab.testimony import Alert, Channel, Command, Connection, Credential, Handshake, Transfer

    Evidence = Alert | Command | Connection | Credential | Handshake | Transfer

Who = Literal["client", "attacker", "server"]

Kind = Literal[
    "connect", "command", "password", "handshake", "alert", "transfer", "closed",  # between two lanes
    "attack", "captured", "readable", "ending", "elsewhere", "nobody",  # on one lane, or over all of them
]  # fmt: skip

MAJOR: Final = frozenset({"AUTH", "USER", "PASS", "PROT", "CCC", "QUIT", *TRANSFERS})
"""Commands that a picture shows individually; others are folded if several follow each other."""

MASK: Final = "•••"
"""Replaces a password."""

_SHORTEST_SECRET = 4
"""Characters. A shorter password occurs in many words, so it is masked only as the argument of PASS."""

READABLE: Final = "password readable"
"""The label that makes a readable password stand out, in the picture and in the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One thing that happened.

    Attributes:
        kind: The kind of event.
        source: The party that acted; the same as `target` if it happened on one lane.
        target: The party that it reached.
        label: A few words for the picture.
        text: The details in a sentence or two; foreign text in it is harmless.
        evidence: The items of the testimony that it repeats.
        witness: The witness that recorded it.
        at: Seconds since the record began; None if unknown.
        connection: Its connection, such as ``control connection 1``; empty if it concerns none.
        data: Whether that is a data connection.
        channel: How it travelled; None if nothing travelled.
        reply: The code of the reply; empty without one.
        note: A second line of the label.
        alarm: Something that a client should fear.
        failed: It failed.
        minor: It may be folded with similar arrows.
        several: How to count several similar arrows: ``3 × RETR``.
    """

    kind: Kind
    source: Who
    target: Who
    label: str
    text: str
    witness: str
    evidence: tuple[Evidence, ...] = ()
    at: float | None = None
    connection: str = ""
    data: bool = False
    channel: Channel | None = None
    reply: str = ""
    note: str = ""
    alarm: bool = False
    failed: bool = False
    minor: bool = False
    several: str = ""

    @property
    def like(self) -> tuple[object, ...]:
        """The properties shared by arrows that can be folded together."""
        what = "" if self.minor else self.several or self.label
        return (
            self.kind if not self.minor else "minor",
            self.source,
            self.target,
            what,
            self.channel,
            self.data,
            self.alarm,
            self.failed,
        )

    @property
    def time(self) -> str:
        """Its time for a reader; empty if unknown."""
        return "" if self.at is None else f"{self.at * 1000:.0f} ms" if self.at < 1 else f"{self.at:.3f} s"


@dataclass(frozen=True, slots=True)
class Lane:
    """One party.

    Attributes:
        name: Its name, in a word.
        about: A short description.
    """

    who: Who
    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Row:
    """One arrow, or several of the same kind with a count."""

    arrows: tuple[Arrow, ...]

    @property
    def first(self) -> Arrow:
        """The arrow that is drawn."""
        return self.arrows[0]

    @property
    def label(self) -> str:
        """A few words for the picture."""
        if len(self.arrows) == 1:
            return self.first.label
        if not self.first.minor:
            return f"{len(self.arrows)} × {self.first.several or self.first.label}"
        names = list(dict.fromkeys(arrow.several for arrow in self.arrows))
        rest = ", …" if len(names) > 4 else ""
        return f"{len(self.arrows)} × {', '.join(names[:4])}{rest}"

    @property
    def reply(self) -> str:
        """The reply's code, if all have the same."""
        replies = {arrow.reply for arrow in self.arrows}
        return self.first.reply if len(replies) == 1 else ""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One run of lftp: the parties, and what happened, in order."""

    lanes: tuple[Lane, ...]
    rows: tuple[Row, ...]

    @property
    def arrows(self) -> tuple[Arrow, ...]:
        """All arrows, including folded ones."""
        return tuple(arrow for row in self.rows for arrow in row.arrows)


SHOWN_ALIKE: Final = 2
"""How many rows of each kind are drawn; the others are counted in one more row."""


def folded(arrows: Iterable[Arrow]) -> tuple[Row, ...]:
    """Turn arrows in time order into rows; their number is bounded for a session of any length.

    Consecutive minor arrows are counted together, lane by lane; then, for each frequent kind, the first are kept and
    the rest are counted in one row where they begin.
    """
    runs: list[list[list[Arrow]]] = []
    for arrow in arrows:
        if not arrow.minor:
            runs.append([[arrow]])
        elif runs and runs[-1][0][0].minor:
            alike = next((group for group in runs[-1] if group[0].like == arrow.like), None)
            if alike is None:
                runs[-1].append([arrow])
            else:
                alike.append(arrow)
        else:
            runs.append([[arrow]])
    counts: dict[tuple[object, ...], list[list[Arrow]]] = {}
    rows: list[list[Arrow]] = []
    for group in (group for run in runs for group in run):
        seen = counts.setdefault(group[0].like, [])
        if len(seen) > SHOWN_ALIKE:
            seen[-1].extend(group)
        else:
            seen.append(group)
            rows.append(group)
    return tuple(Row(tuple(group)) for group in rows)


class Wording:
    """Makes foreign text safe to show: on one line, harmless, and without the run's passwords.

    Args:
        passwords: Everything that was sent as a password.
    """

    def __init__(self, passwords: Iterable[str]) -> None:
        long = {password for password in passwords if len(password) >= _SHORTEST_SECRET}
        self._secrets = sorted(long, key=lambda secret: (-len(secret), secret))

    def __call__(self, text: str, most: int = 400) -> str:
        """Return the safe text."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        line = harmless(text).replace("\n", "\\n")
        return line if len(line) <= most else f"{line[:most]}… ({len(line)} characters)"
