"""The events that hosts report to the teacher's window: one line of JSON each, in one file per host."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_ENDS_IN = ".events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that a host saw.

    Attributes:
        at: Seconds since 1970.
        host: The host's name in compose.yaml.
        learner: The user of the class's container, else the user of the login; empty if neither is known.
        peer: The client's address.
        channel: How the control connection travelled at this moment; empty until that is known.
        what: What happened, in a few words.
        captured: The password that leaked; empty if none did.
    """

    at: float
    host: str
    learner: str
    peer: str
    channel: Literal["", "clear", "tls"]
    what: str
    captured: str = ""

    @property
    def who(self) -> str:
        """The learner, or the client's address if the learner is unknown."""
        return self.learner or self.peer


def append(folder: Path, event: Event) -> None:
    """Add an event to its host's file.

    Raises:
        OSError: The file cannot be written.
    """
    with (folder / f"{event.host}{_ENDS_IN}").open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(event)) + "\n")


def read(folder: Path) -> list[Event]:
    """All events of all hosts, in the order in which they happened. An unfinished line is left out."""
    found: list[Event] = []
    for path in folder.glob(f"*{_ENDS_IN}"):
        lines = path.read_text("utf-8").splitlines(keepends=True)
        found += [Event(**json.loads(line)) for line in lines if line.endswith("\n")]
    return sorted(found, key=lambda event: event.at)


def by_learner(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of each learner, in order."""
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(event.who, []).append(event)
    return found
