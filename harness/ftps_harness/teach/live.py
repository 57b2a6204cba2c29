"""A server's growing testimony: one line for each new event, for a class to watch. Pure."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_lab.testimony import Command, Connection, Credential, Handshake, Testimony, Transfer

_SHOWN: Final = frozenset({"AUTH", "USER", "PROT", "CCC"})
"""Commands that a class should see; a password and a transfer have lines of their own."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The number of events of each kind that were reported."""

    connections: int = 0
    handshakes: int = 0
    alerts: int = 0
    commands: int = 0
    credentials: int = 0
    transfers: int = 0
    left: frozenset[int] = frozenset()
    """The numbers of the control connections whose end was reported, or needs no report."""


class Events:
    """Finds the new events in a growing testimony."""

    def __init__(self) -> None:
        self._seen = _Seen()

    def forget(self) -> None:
        """Start over with a new testimony."""
        self._seen = _Seen()

    def new(self, testimony: Testimony) -> Iterator[str]:
        """A line for each event since the last call, in the order of their times.

        A file still in transfer appears in a later call.
        """
        done = tuple(itertools.takewhile(lambda each: each.completed, testimony.transfers))
        left = [each for each in testimony.connections if each.kind == "control" and each.closed_at is not None]
        seen, self._seen = (
            self._seen,
            _Seen(
                len(testimony.connections),
                len(testimony.handshakes),
                len(testimony.alerts),
                len(testimony.commands),
                len(testimony.credentials),
                len(done),
                frozenset(each.number for each in left),
            ),
        )
        current = replace(testimony, transfers=done)
        events = [*_exchanges(current, seen), *_results(current, seen, left)]
        return (line for _, line in sorted(events, key=lambda event: event[0]))


def _exchanges(testimony: Testimony, seen: _Seen) -> Iterator[tuple[float, str]]:
    """The time and the line of each new connection, command, handshake and alert."""
    for connection in testimony.connections[seen.connections :]:
        if connection.kind == "control":
            yield connection.opened, _connection(connection)
    for command in testimony.commands[seen.commands :]:
        if command.verb in _SHOWN:
            yield _time(command.at), _command(command)
    for handshake in testimony.handshakes[seen.handshakes :]:
        yield _time(handshake.at), _handshake(handshake)
    for alert in testimony.alerts[seen.alerts :]:
        if alert.direction == "received" and alert.description != "close_notify":
            yield _time(alert.at), _line(alert.connection, f"TLS alert from the client: {harmless(alert.description)}")


def _results(testimony: Testimony, seen: _Seen, left: Iterable[Connection]) -> Iterator[tuple[float, str]]:
    """The time and the line of each new login, transfer, and end of a connection without a login."""
    for credential in testimony.credentials[seen.credentials :]:
        for line in _credential(credential, impostor=testimony.role == "impostor"):
            yield _time(credential.at), line
    for transfer in testimony.transfers[seen.transfers :]:
        yield _time(transfer.at), _transfer(transfer)
    logins = {credential.connection for credential in testimony.credentials}
    for connection in left:
        if connection.number not in {*seen.left, *logins}:
            yield _time(connection.closed_at), _line(connection.number, "left without sending a password")


def _time(at: float | None) -> float:
    """The time of an event for sorting; a daemon's log has none, so its events keep their order at the end."""
    return math.inf if at is None else at


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
