"""Collects what a server witnesses as it happens, and returns it as frozen `Testimony` and `Wire`.

One `Recorder` covers the time between two moments, such as a step of a scenario. Every connection is bound at
acceptance to the current recorder, so a late connection never leaks into the next record. The server's thread writes;
the caller reads after `FtpsServer.settle`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import Literal

from ftps_lab.testimony import (
    Alert,
    Command,
    Connection,
    Credential,
    Handshake,
    Testimony,
    Transfer,
    Wire,
    WireRecord,
)

Address = tuple[str, int]


@dataclass(slots=True)
class Tap:
    """The growing raw bytes of one connection; `ftps_lab.wire.tap` fills it, unless nobody asks for them."""

    kind: Literal["control", "data"]
    peer: Address
    to_server: bytearray = field(default_factory=bytearray)
    to_client: bytearray = field(default_factory=bytearray)
    secret: bytes = b""
    kept: bool = True


class ConnectionLog:
    """The log of one connection."""

    def __init__(self, recorder: Recorder, connection: Connection) -> None:
        self._recorder = recorder
        self.connection = connection
        self.certificate = ""
        self._open = True

    @property
    def number(self) -> int:
        """The connection's number within its record."""
        return self.connection.number

    def greeted(self) -> None:
        """Note that the 220 was sent."""
        self._update(replace(self.connection, greeted=True, greeted_at=self._recorder.now))

    def failed(self, error: str) -> None:
        """Note that the client caused an error on this connection."""
        self._update(replace(self.connection, error=error))

    def did(self, effect: str) -> None:
        """Note that the attack took effect on this connection."""
        first = self.connection.attacked_at
        at = self._recorder.now if first is None else first
        self._update(replace(self.connection, attack_effect=effect, attacked_at=at))

    def handshake(self, handshake: Handshake) -> None:
        """Note that a TLS handshake ended."""
        self._recorder.handshakes.append(replace(handshake, at=self._recorder.now))

    def alert(self, direction: Literal["sent", "received"], level: str, description: str) -> None:
        """Note that a TLS alert passed."""
        self._recorder.alerts.append(Alert(self.number, direction, level, description, self._recorder.now))

    def command(self, command: Command) -> None:
        """Note that a command arrived."""
        self._recorder.commands.append(replace(command, at=self._recorder.now))

    @property
    def last_command(self) -> int:
        """The index of the record's newest command, for `replied`."""
        return len(self._recorder.commands) - 1

    def replied(self, code: int, index: int | None = None, text: str = "") -> None:
        """Note the first reply to a command: the newest one of this connection, or the one at `index`."""
        commands = self._recorder.commands
        where = [index] if index is not None else range(len(commands) - 1, -1, -1)
        for at in where:
            if commands[at].connection == self.number:
                if commands[at].reply is None:
                    now = self._recorder.now
                    commands[at] = replace(commands[at], reply=code, reply_at=now, reply_text=text)
                return

    def credential(self, credential: Credential) -> None:
        """Note that a password arrived."""
        self._recorder.credentials.append(replace(credential, at=self._recorder.now))

    def let_in(self) -> None:
        """Note that the newest password of this connection was accepted."""
        credentials = self._recorder.credentials
        for index in range(len(credentials) - 1, -1, -1):
            if credentials[index].connection == self.number:
                credentials[index] = replace(credentials[index], accepted=True)
                return

    def transfer(self, transfer: Transfer) -> None:
        """Note that a transfer ended."""
        self._recorder.transfers.append(replace(transfer, at=self._recorder.now))

    def closed(self) -> None:
        """Note that the connection is gone; repeatable."""
        if self._open:
            self._open = False
            self._update(replace(self.connection, closed_at=self._recorder.now))
            self._recorder.connection_closed()

    def _update(self, connection: Connection) -> None:
        self.connection = connection
        self._recorder.connections[connection.number - 1] = connection


class Recorder:
    """The record of one server between two moments.

    Args:
        role: Whose record it is.
        began: Its start by the monotonic clock, to share times with another record; None for now.
        keeps_wire: Whether to keep the raw bytes of connections, which takes time and memory.
    """

    def __init__(
        self, role: Literal["genuine", "impostor"], began: float | None = None, *, keeps_wire: bool = True
    ) -> None:
        self.role = role
        self._keeps_wire = keeps_wire
        self.connections: list[Connection] = []
        self.handshakes: list[Handshake] = []
        self.alerts: list[Alert] = []
        self.commands: list[Command] = []
        self.credentials: list[Credential] = []
        self.transfers: list[Transfer] = []
        self.taps: list[Tap] = []
        self.began = time.monotonic() if began is None else began
        self._open = 0
        self._idle = threading.Condition()

    @property
    def now(self) -> float:
        """Seconds since the record began."""
        return time.monotonic() - self.began

    def tap(self, kind: Literal["control", "data"], peer: Address) -> Tap:
        """Create a tap on a connection."""
        tap = Tap(kind, peer, kept=self._keeps_wire)
        if tap.kept:
            self.taps.append(tap)
        return tap

    def opened(self, kind: Literal["control", "data"], peer: Address, attack: str = "none") -> ConnectionLog:
        """Note that a connection was accepted, or opened in active mode; by an attacker, if one is named."""
        connection = Connection(len(self.connections) + 1, kind, peer, self.now, attack=attack)
        self.connections.append(connection)
        with self._idle:
            self._open += 1
        return ConnectionLog(self, connection)

    def connection_closed(self) -> None:
        """Note that a connection was closed."""
        with self._idle:
            self._open -= 1
            self._idle.notify_all()

    def wait_closed(self, timeout: float) -> bool:
        """Wait until no connection is open; False if that takes longer than `timeout` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, timeout)

    def testimony(self) -> Testimony:
        """The testimony so far."""
        return Testimony(
            role=self.role,
            connections=tuple(self.connections),
            handshakes=tuple(self.handshakes),
            alerts=tuple(self.alerts),
            commands=tuple(self.commands),
            credentials=tuple(self.credentials),
            transfers=tuple(self.transfers),
        )

    def wire(self) -> Wire:
        """The raw bytes so far."""
        return Wire(
            tuple(
                WireRecord(tap.kind, tap.peer, bytes(tap.to_server), bytes(tap.to_client), tap.secret)
                for tap in self.taps
            )
        )
