"""A server's growing testimony: one line for each new event, for a class to watch. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_lab.testimony import Command, Connection, Credential, Handshake, Testimony, Transfer

_SHOWN: Final = frozenset({"AUTH", "USER", "PROT", "CCC"})
"""Commands that a class should see; a password and a transfer have lines of their own."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The number of events of each kind that were reported."""

    connections: int = 0
    handshakes: int = 0
    commands: int = 0
    credentials: int = 0
    transfers: int = 0


class Events:
    """Finds the new events in a growing testimony."""

    def __init__(self) -> None:
        self._seen = _Seen()

    def forget(self) -> None:
        """Start over with a new testimony."""
        self._seen = _Seen()

    def new(self, testimony: Testimony) -> Iterator[str]:
        """A line for each event since the last call; a file still in transfer appears in a later call."""
        impostor = testimony.role == "impostor"
        done = []
        for each in testimony.transfers:
            if not each.completed:
                break
            done.append(each)
        seen, self._seen = (
            self._seen,
            _Seen(
                len(testimony.connections),
                len(testimony.handshakes),
                len(testimony.commands),
                len(testimony.credentials),
                len(done),
            ),
        )
        yield from (_connection(each) for each in testimony.connections[seen.connections :] if each.kind == "control")
        yield from (_handshake(each) for each in testimony.handshakes[seen.handshakes :])
        yield from (_command(each) for each in testimony.commands[seen.commands :] if each.verb in _SHOWN)
        for credential in testimony.credentials[seen.credentials :]:
            yield from _credential(credential, impostor=impostor)
        yield from (_transfer(each) for each in done[seen.transfers :])


def _command(command: Command) -> str:
    reply = "no reply" if command.reply is None else str(command.reply)
    said = harmless(f"{command.verb} {command.argument}".rstrip())
    return _line(command.connection, f"{_channel(command.channel)}: {said} -> {reply}")


def _line(number: int, what: str) -> str:
    return f"  [{number}] {what}"


def _channel(channel: str) -> str:
    return "in TLS" if channel == "tls" else "IN CLEAR"


def _connection(connection: Connection) -> str:
    attack = "" if connection.attack == "none" else f"; the client meets the attack {connection.attack}"
    return _line(connection.number, f"connected, from port {connection.peer[1]}{attack}")


def _handshake(handshake: Handshake) -> str:
    if not handshake.completed:
        return _line(handshake.connection, f"TLS handshake failed: {harmless(handshake.error)}")
    return _line(handshake.connection, f"{handshake.version}, for {harmless(handshake.server_name or 'no name')}")


def _credential(credential: Credential, *, impostor: bool) -> Iterator[str]:
    user, password = harmless(credential.user), harmless(credential.password or "(unknown)")
    if impostor:
        yield _line(credential.connection, f"CAPTURED password {password} of user {user}")
    if credential.channel == "clear":
        yield _line(credential.connection, f"readable on the wire: password {password} of user {user}")
    answer = "logged in" if credential.accepted else "refused"
    yield _line(credential.connection, f"{user} is {answer}")


def _transfer(transfer: Transfer) -> str:
    readable = "" if transfer.channel == "tls" else ", readable on the wire"
    name = harmless(transfer.name or transfer.verb)
    return _line(transfer.connection, f"{transfer.direction} {name}, {transfer.size} bytes{readable}")
