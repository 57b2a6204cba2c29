"""Who said what to whom, in order: the recorded testimony as arrows between lanes. Pure.

Nothing here knows what a scenario expects. Each arrow repeats one thing that a witness recorded, and names the witness;
the picture and the list beside it are both made of these arrows, so that they cannot differ.
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

MAJOR: Final = frozenset({"AUTH", "USER", "PASS", "PROT", "CCC", *TRANSFERS})
"""Commands that a picture shows one by one; others are folded where several follow each other."""

MASK: Final = "•••"
"""What stands where a password was said."""

_SHORTEST_SECRET = 4
"""Letters. A shorter password is part of many words; it is masked only where it stands alone, in PASS."""

READABLE: Final = "password readable"
"""What makes a password stand out, in the picture and in the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One thing that happened.

    Attributes:
        kind: What it is.
        source: Whose doing; the same as `target` where it happened on one lane.
        target: Whom it reached.
        label: A few words for the picture.
        text: What else is known of it, a sentence or two; foreign text in it is harmless.
        evidence: What of the testimony it repeats.
        witness: Who recorded it.
        at: Seconds since the record began; None where nobody knows.
        connection: On which, such as ``control connection 1``; empty where it is about none.
        data: That is a data connection.
        channel: How it travelled; None where nothing travelled.
        reply: The code of the reply; empty without one.
        note: A second line of the label.
        alarm: Something that a client should fear.
        failed: It came to nothing.
        minor: It may be folded with its like.
        several: How to count several of its like: ``3 × RETR``.
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
        """What it shares with those that it can be folded with."""
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
        """When it was, for a person; empty where nobody knows."""
        return "" if self.at is None else f"{self.at * 1000:.0f} ms" if self.at < 1 else f"{self.at:.3f} s"


@dataclass(frozen=True, slots=True)
class Lane:
    """Who is there.

    Attributes:
        name: In a word.
        about: Which one, in a few more.
    """

    who: Who
    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Row:
    """One arrow, or several of a kind that are counted."""

    arrows: tuple[Arrow, ...]

    @property
    def first(self) -> Arrow:
        """The one that is drawn."""
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
        """The reply's code, where all of them had the same."""
        replies = {arrow.reply for arrow in self.arrows}
        return self.first.reply if len(replies) == 1 else ""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One run of lftp: who was there, and what happened, in order."""

    lanes: tuple[Lane, ...]
    rows: tuple[Row, ...]

    @property
    def arrows(self) -> tuple[Arrow, ...]:
        """Each of them, also those that are folded."""
        return tuple(arrow for row in self.rows for arrow in row.arrows)


SHOWN_ALIKE: Final = 2
"""So many of a kind are drawn, and the others counted in one row."""


def folded(arrows: Iterable[Arrow]) -> tuple[Row, ...]:
    """Arrows in the order of time as rows: a session of any length has a bounded number of them.

    Minor ones that follow each other are counted together, lane by lane; then, of any kind that comes often, the first
    are kept and the rest is counted where it began.
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
    """Foreign text as it may be shown: on one line, harmless, and without the passwords of the run.

    Args:
        passwords: What was sent as one.
    """

    def __init__(self, passwords: Iterable[str]) -> None:
        long = {password for password in passwords if len(password) >= _SHORTEST_SECRET}
        self._secrets = sorted(long, key=lambda secret: (-len(secret), secret))

    def __call__(self, text: str, most: int = 400) -> str:
        """The text."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        line = harmless(text).replace("\n", "\\n")
        return line if len(line) <= most else f"{line[:most]}… ({len(line)} letters)"
