"""What the witnesses recorded of one run, without raw bytes and output: small enough to keep for a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from ftps_harness.verdict.observations import WireAccount
    from ftps_lab.interface import ServerSpec
    from ftps_lab.testimony import Testimony

_MOST: Final = 5000
"""Maximum number of items in a testimony that is kept: `ftps-lab verify` keeps one for each of its trials."""


class Ended(Protocol):
    """A finished program."""

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None if a signal ended it."""

    @property
    def signal(self) -> int | None:
        """The signal that ended it."""

    @property
    def timed_out(self) -> bool:
        """Whether it was killed at its time limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One run of a client.

    Attributes:
        testimony: The server's testimony.
        exposure: What an on-path attacker could read.
        program: The client's name; empty if none ran.
        ending: How it ended, in words.
        reasons: The reasons that it gave for a refusal.
        message: What it said about that.
        spec: The server's declared spec, with the certificates that its handshakes can show.
        host: The host that the user typed.
        date: The date by the client's clock when it was started; None if unknown.
        secrets: Texts that a report must not contain, besides the passwords in the testimony.
    """

    testimony: Testimony
    exposure: WireAccount
    program: str
    ending: str
    reasons: frozenset[str] = frozenset()
    message: str = ""
    spec: ServerSpec | None = None
    host: str = ""
    date: datetime | None = None
    secrets: Collection[str] = ()

    @property
    def is_long(self) -> bool:
        """Whether it has too many items to be kept."""
        return _items(self.testimony) > _MOST


def ending(run: Ended) -> str:
    """How a program ended, in words: ``ends with exit code 0``."""
    if run.timed_out:
        return "is killed at its time limit"
    return f"is killed by signal {run.signal}" if run.signal is not None else f"ends with exit code {run.exit_code}"


def _items(seen: Testimony) -> int:
    own = (seen.connections, seen.handshakes, seen.alerts, seen.commands, seen.credentials, seen.transfers)
    return sum(map(len, own)) + (_items(seen.behind) if seen.behind is not None else 0)
