"""The events in a daemon's log, the same types for every daemon, and the sessions built from them. Pure.

Each daemon's module turns its own lines into these events. An event carries the address by which the daemon knows the
client: the relay gave every control connection its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftps_lab.testimony import TRANSFERS
from ftps_lab.wire import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Began:
    """The daemon accepted a control connection."""

    address: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A command."""

    address: str
    verb: str
    argument: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply to the newest command, or the greeting."""

    address: str
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Secured:
    """The daemon finished a TLS handshake."""

    address: str
    version: str
    cipher: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The newest transfer: the file's path as the client sees it, and the bytes of content."""

    address: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Strange:
    """A line in an unknown format."""

    text: str


Event = Began | Asked | Answered | Secured | Moved | Strange


@dataclass(slots=True)
class Exchange:
    """One command and its results; `port` is a transfer's passive port, `at` the command's position in the log."""

    verb: str
    argument: str
    replies: list[tuple[int, str]] = field(default_factory=list)
    secured: Secured | None = None
    moved: Moved | None = None
    port: int | None = None
    at: int = 0

    @property
    def reply(self) -> int | None:
        """The first reply's code."""
        return self.replies[0][0] if self.replies else None

    @property
    def final(self) -> int | None:
        """The last reply's code, if it is final."""
        return self.replies[-1][0] if self.replies and self.replies[-1][0] >= 200 else None

    @property
    def completed(self) -> bool:
        """The daemon reports a complete transfer. Pure-FTPd also does so after its 426, in reply to ABOR."""
        return self.final in {226, 250} and all(code < 400 for code, _ in self.replies)

    @property
    def answers(self) -> int:
        """The number of commands that the replies can belong to.

        Pure-FTPd does not log an ABOR that ends a transfer; its replies are then 426 and 226, or another 150.
        """
        codes = [code for code, _ in self.replies]
        broken_off = self.transferred and (not {226, 250} & set(codes) or max(codes) >= 400)
        return 2 if broken_off and len(codes) > 1 else 1

    @property
    def transferred(self) -> bool:
        """The daemon had a data connection for it: it replied 1xx, counted bytes, or finished."""
        if self.verb not in TRANSFERS:
            return False
        codes = {code for code, _ in self.replies}
        return self.moved is not None or bool(codes & {125, 150, 226, 250, 426}) or self.secured is not None

    @property
    def announced(self) -> int | None:
        """The passive port in its reply."""
        for code, text in self.replies:
            if code == 227 and (address := addresses.of_227(text)) is not None:
                return address[1]
            if code == 229 and (port := addresses.of_229(text)) is not None:
                return port
        return None


@dataclass(slots=True)
class Session:
    """Everything that the log says about one control connection."""

    address: str
    greeting: int | None = None
    secured: Secured | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def sessions(events: Iterable[Event]) -> tuple[dict[str, Session], list[str]]:
    """The sessions by address, and the unknown lines."""
    found: dict[str, Session] = {}
    strange: list[str] = []
    for at, event in enumerate(events):
        if isinstance(event, Strange):
            strange.append(event.text)
            continue
        session = found.setdefault(event.address, Session(event.address))
        _take(session, event, at)
    for session in found.values():
        _give_ports(session)
    return found, strange


def _take(session: Session, event: Began | Asked | Answered | Secured | Moved, at: int) -> None:
    newest = session.exchanges[-1] if session.exchanges else None
    match event:
        case Asked(_, verb, argument):
            session.exchanges.append(Exchange(verb, argument, at=at))
        case Answered(_, code, text):
            if newest is not None:
                newest.replies.append((code, text))
            elif session.greeting is None:
                session.greeting = code
            else:
                session.problems.append(f"the daemon's log has a reply {code} without a command before it")
        case Secured() if newest is not None and newest.verb in TRANSFERS:
            newest.secured = event
        case Secured() if session.secured is None:
            session.secured = event
        case Secured():
            session.problems.append("the daemon's log has a TLS handshake that belongs to no command")
        case Moved():
            if newest is None or newest.verb not in TRANSFERS or newest.moved is not None:
                session.problems.append("the daemon's log has a transfer without a command for it")
            else:
                newest.moved = event


def _give_ports(session: Session) -> None:
    """Give each transfer the passive port that was announced last before it."""
    port: int | None = None
    for exchange in session.exchanges:
        if exchange.announced is not None:
            port = exchange.announced
        elif exchange.verb in TRANSFERS:
            exchange.port, port = port, None
