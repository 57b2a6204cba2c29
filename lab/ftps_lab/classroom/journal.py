"""The teacher's log: a line for each session, and every capture by an attacker as it happens.

The lines are in `docker compose logs`, the events in the teacher's window. Each control connection gets its own record,
which ends with its last connection, so records do not accumulate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from ftps_lab.classroom.events import Event
from ftps_lab.recorder import ConnectionLog, Recorder
from ftps_lab.testimony import FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ftps_lab.daemons import DaemonServer
    from ftps_lab.recorder import Address
    from ftps_lab.servers import FtpsServer
    from ftps_lab.testimony import Connection, Credential, Testimony, Transfer

_SHOWN = 40
"""Maximum bytes shown of a captured file."""


@dataclass(frozen=True, slots=True)
class Journal:
    """The destination for reports about a host's sessions.

    Attributes:
        host: The host's name in compose.yaml.
        say: Receives each line, in the server's thread.
        on_event: Receives each event, in the server's thread.
        user_of: Returns the user who owns a connection, by its peer; empty if unknown.
        unseen: Clients that are not reported: the host itself, for its health check.
        names: The users that a login can belong to; any other name that is typed does not form its own group.
        is_checker: Whether an address is the checker's, which inspects hosts before it judges.
    """

    host: str
    say: Callable[[str], None]
    on_event: Callable[[Event], None] = lambda _event: None
    user_of: Callable[[Address], str] = lambda _peer: ""
    unseen: frozenset[str] = frozenset()
    names: frozenset[str] = field(default_factory=frozenset)
    is_checker: Callable[[str], bool] = lambda _peer: False

    def sees(self, peer: str) -> bool:
        """Whether a client's sessions are reported."""
        return peer not in self.unseen and not self.is_checker(peer)

    def event(self, who: str, peer: str, channel: Literal["", "clear", "tls"], what: str, captured: str = "") -> None:
        """Report an event that happens now."""
        self.on_event(
            Event(at=time.time(), host=self.host, learner=who, peer=peer, channel=channel, what=what, captured=captured)
        )


class Session(Recorder):
    """The record of one session; as soon as the session begins, it creates the next session's record.

    Args:
        server: The server of the session.
        journal: The destination for reports.
    """

    def __init__(self, server: FtpsServer, journal: Journal) -> None:
        super().__init__(server.spec.answers_as)
        self._server = server
        self._journal = journal
        self._user = ""

    def opened(self, kind: Literal["control", "data"], peer: Address, attack: str = "none") -> ConnectionLog:
        """Start a new session at each control connection; connections are accepted one after the other."""
        if kind == "control":
            self._server.record()  # also of the genuine server behind an attacker
            self._server.recorder = Session(self._server, self._journal)
            if self._journal.sees(peer[0]):
                self._user = self._journal.user_of(peer)
        connection = super().opened(kind, peer, attack).connection
        return _Log(self, connection)

    @property
    def peer(self) -> str:
        """The client's address."""
        return self.connections[0].peer[0]

    def captured(self, credential: Credential) -> None:
        """Report a password that an attacker got or could read."""
        if not self._journal.sees(self.peer):
            return
        password = _shown(credential.password)
        if self.role == "impostor":
            self._journal.say(f"{self.peer} CAPTURED: user {_shown(credential.user)}, password {password}")
            if credential.user != "anonymous":  # lftp's text for this user is not a password
                self._event(credential.channel, "password captured", password)
        elif credential.channel == "clear" and credential.user != "anonymous":
            self._journal.say(f"{self.peer} password {password} IN CLEAR: anyone on the path can read it")
            self._event("clear", "password readable", password)

    def let_in(self) -> None:
        """Report that the last login was accepted."""
        if self._journal.sees(self.peer):
            self._event(self.credentials[-1].channel, "logged in")

    def connection_closed(self) -> None:
        """End the session with its last connection."""
        super().connection_closed()
        if self._open == 0 and self._journal.sees(self.peer):
            testimony = self.testimony()
            for line in session_lines(testimony):
                self._journal.say(line)
            if testimony.commands:
                channel, what = summary(testimony)
                self._event(channel, what)

    def _event(self, channel: Literal["", "clear", "tls"], what: str, captured: str = "") -> None:
        who = self._user or login_of(self.credentials, self._journal.names)
        self._journal.event(who, self.peer, channel, what, captured)


def report_daemon_sessions(server: DaemonServer, journal: Journal) -> None:
    """Report a daemon's sessions. They are known once none is open, when its log and the relay's record match up."""
    testimony = server.testimony()
    if not testimony.connections:
        return
    server.record()
    for session in sessions(testimony):
        peer = session.connections[0].peer[0]
        if journal.sees(peer):
            for line in session_lines(session):
                journal.say(line)
            if session.commands:
                journal.event(login_of(session.credentials, journal.names), peer, *summary(session), _in_clear(session))


class _Log(ConnectionLog):
    """Passes each password to the session as soon as it arrives."""

    def __init__(self, session: Session, connection: Connection) -> None:
        super().__init__(session, connection)
        self._session = session

    def credential(self, credential: Credential) -> None:
        super().credential(credential)
        self._session.captured(credential)

    def let_in(self) -> None:
        super().let_in()
        self._session.let_in()


def login_of(credentials: Sequence[Credential], names: frozenset[str]) -> str:
    """The user of the last login, if it is one of these names; else empty."""
    user = credentials[-1].user if credentials else ""
    return user if user in names else ""


def summary(testimony: Testimony) -> tuple[Literal["", "clear", "tls"], str]:
    """How a session travelled and how it ended, in a few words."""
    in_tls = any(handshake.completed for handshake in testimony.handshakes)
    if not testimony.credentials:
        refused = any(command.verb == "AUTH" and (command.reply or 0) >= 400 for command in testimony.commands)
        return "tls" if in_tls else "", "left: no TLS offered" if refused else "left before the login"
    last = testimony.credentials[-1]
    if not last.accepted:
        return last.channel, "login refused"
    files = [transfer for transfer in testimony.transfers if transfer.verb in FILES]
    return last.channel, f"done, {len(files)} file{'s' * (len(files) != 1)}"


def _in_clear(testimony: Testimony) -> str:
    """The password that travelled in clear; empty if none did."""
    return next((each.password or "" for each in testimony.credentials if each.channel == "clear"), "")


def sessions(testimony: Testimony) -> Iterator[Testimony]:
    """The part of the testimony that belongs to each control connection."""
    for connection in testimony.connections:
        if connection.kind == "control":
            own = connection.number
            yield replace(
                testimony,
                connections=(connection,),
                handshakes=tuple(each for each in testimony.handshakes if each.connection == own),
                commands=tuple(each for each in testimony.commands if each.connection == own),
                credentials=tuple(each for each in testimony.credentials if each.connection == own),
                transfers=tuple(each for each in testimony.transfers if each.control == own),
            )


def session_lines(testimony: Testimony) -> Iterator[str]:
    """One line for a session, and another for each file that an attacker captured.

    No lines for a connection without commands: a bare connection to the port is not a session.
    """
    if not testimony.commands:
        return
    peer = testimony.connections[0].peer[0]
    yield f"{peer} {'; '.join([_login(testimony), *map(_transfer, testimony.transfers)])}"
    for transfer in testimony.transfers:
        if transfer.captured and transfer.verb in FILES:
            content = transfer.captured[:_SHOWN].decode("utf-8", "backslashreplace").strip()
            yield f"{peer} CAPTURED: {_shown(transfer.name)}: {_shown(content)}"


def _login(testimony: Testimony) -> str:
    if not testimony.credentials:
        in_tls = any(handshake.completed for handshake in testimony.handshakes)
        return f"left without logging in{', after the TLS handshake' if in_tls else ''}"
    last = testimony.credentials[-1]
    how = "over TLS" if last.channel == "tls" else "IN CLEAR"
    return f"{_shown(last.user)} {'logged in' if last.accepted else 'was refused'} {how}"


def _transfer(transfer: Transfer) -> str:
    words = [transfer.verb, _shown(transfer.name), f"{transfer.size} B"]
    words += ["IN CLEAR"] if transfer.channel == "clear" else []
    words += [] if transfer.completed else ["incomplete"]
    return " ".join(word for word in words if word)


def _shown(text: str | None) -> str:
    """The text with everything escaped that could affect the teacher's terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text or ""
    )
