"""What the teacher reads in `docker compose logs`: a line for each session, and at once what an attacker captured.

Each control connection gets a record of its own, which ends with its last connection: nothing piles up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ftps_lab.recorder import ConnectionLog, Recorder
from ftps_lab.testimony import FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ftps_lab.daemons import DaemonServer
    from ftps_lab.recorder import Address
    from ftps_lab.servers import FtpsServer
    from ftps_lab.testimony import Connection, Credential, Testimony, Transfer

_SHOWN = 40
"""Bytes of a captured file that are shown."""


class Session(Recorder):
    """The record of one session, and, as soon as that begins, the maker of the next one's.

    Args:
        server: Whose sessions.
        say: Is given each line, in the server's thread.
        unseen: Clients that nothing is said of: the host itself, which asks about its own health.
    """

    def __init__(self, server: FtpsServer, say: Callable[[str], None], unseen: frozenset[str] = frozenset()) -> None:
        super().__init__(server.spec.answers_as)
        self._server = server
        self._say = say
        self._unseen = unseen

    def opened(self, kind: Literal["control", "data"], peer: Address, attack: str = "none") -> ConnectionLog:
        """Connections are accepted one after the other: the next control connection is another session."""
        if kind == "control":
            self._server.record()  # also of the genuine server behind an attacker
            self._server.recorder = Session(self._server, self._say, self._unseen)
        connection = super().opened(kind, peer, attack).connection
        return _Log(self, connection)

    def captured(self, credential: Credential) -> None:
        """A password came to somebody who must not have it."""
        peer = self.connections[0].peer[0]
        if peer in self._unseen:
            return
        if self.role == "impostor":
            self._say(f"{peer} CAPTURED: user {_shown(credential.user)}, password {_shown(credential.password)}")
        elif credential.channel == "clear" and credential.user != "anonymous":
            self._say(f"{peer} password {_shown(credential.password)} IN CLEAR: anybody on the way has read it")

    def connection_closed(self) -> None:
        """With the last one the session is over."""
        super().connection_closed()
        if self._open == 0 and self.connections[0].peer[0] not in self._unseen:
            for line in session_lines(self.testimony()):
                self._say(line)


def tell_of_a_daemon(server: DaemonServer, say: Callable[[str], None], unseen: frozenset[str]) -> None:
    """The sessions of a daemon, which are known when none is open: its log and what the relay saw belong together."""
    testimony = server.testimony()
    if not testimony.connections:
        return
    server.record()
    for session in sessions(testimony):
        if session.connections[0].peer[0] not in unseen:
            for line in session_lines(session):
                say(line)


class _Log(ConnectionLog):
    """Tells the session of a password as soon as it arrives."""

    def __init__(self, session: Session, connection: Connection) -> None:
        super().__init__(session, connection)
        self._session = session

    def credential(self, credential: Credential) -> None:
        super().credential(credential)
        self._session.captured(credential)


def sessions(testimony: Testimony) -> Iterator[Testimony]:
    """What belongs to each control connection."""
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
    """One session in a line, and a line more for each file that an attacker holds.

    Nothing of one in which not a word was said: whoever knocks on a port makes no session.
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
        return f"left without a login{', after the TLS handshake' if in_tls else ''}"
    last = testimony.credentials[-1]
    how = "over TLS" if last.channel == "tls" else "IN CLEAR"
    return f"{_shown(last.user)} {'logged in' if last.accepted else 'was refused'} {how}"


def _transfer(transfer: Transfer) -> str:
    words = [transfer.verb, _shown(transfer.name), f"{transfer.size} B"]
    words += ["IN CLEAR"] if transfer.channel == "clear" else []
    words += [] if transfer.completed else ["broken off"]
    return " ".join(word for word in words if word)


def _shown(text: str | None) -> str:
    """Foreign text that can do nothing to the teacher's terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text or ""
    )
