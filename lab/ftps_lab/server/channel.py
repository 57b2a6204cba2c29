"""TLS over the tap for pyftpdlib's handlers, instead of pyftpdlib's TLS on a file descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftps_lab.wire.tap import TappedTls

if TYPE_CHECKING:
    from OpenSSL import SSL

    from ftps_lab.recorder import ConnectionLog


@dataclass(frozen=True, slots=True)
class Identity:
    """One server's TLS: a context, and the SHA-256 fingerprint of the leaf that it shows."""

    context: SSL.Context
    certificate: str


class TappedTlsMixin:
    """TLS over the tap, instead of pyftpdlib's TLS on a file descriptor."""

    socket: Any
    ioloop: Any
    lab_log: ConnectionLog
    lab_hold_tickets = False
    _ssl_accepting: bool
    _wanted_io_events: int

    def secure(self, identity: Identity) -> None:
        """Start the server's side of a handshake; pyftpdlib's event loop drives the rest."""
        self._ssl_requested = True
        self._ssl_accepting = True
        self.socket = TappedTls(
            identity.context, self.socket, self.lab_log, identity.certificate, hold_tickets=self.lab_hold_tickets
        )
        self.socket.set_accept_state()

    def end(self) -> None:
        """Close at once, without a TLS shutdown, which would wait for a client that does not read; repeatable."""
        self._error = True
        self.close()  # type: ignore[attr-defined]  # pyftpdlib's, by the order of bases, as is super() below

    def handle_write_event(self) -> None:
        """Send encrypted bytes first that the socket did not accept earlier."""
        if isinstance(self.socket, TappedTls):
            self.socket.flush()
        super().handle_write_event()  # type: ignore[misc]

    def writable(self) -> bool:
        """Whether to write; also true while encrypted bytes are waiting."""
        return self._lab_unsent or bool(super().writable())  # type: ignore[misc]

    def initiate_send(self) -> None:
        """Request a write event while encrypted bytes are waiting, even when there is nothing else to send.

        pyftpdlib changes the events here without updating its own bookkeeping, so later changes would be lost.
        """
        before = self._wanted_io_events
        super().initiate_send()  # type: ignore[misc]
        if self._wanted_io_events != before:
            self._current_io_events = self._wanted_io_events
        if self._lab_unsent:
            self._lab_ask_to_write()

    def modify_ioloop_events(self, events: int, logdebug: bool = False) -> None:
        """Request only what a handshake in progress waits for: a socket that is always writable would spin the loop."""
        if self._ssl_accepting:
            events = self.ioloop.READ | (self.ioloop.WRITE if self._lab_unsent else 0)
        super().modify_ioloop_events(events, logdebug)  # type: ignore[misc]

    def handle_ssl_established(self) -> None:
        """Switch to the events that the transfer waits for."""
        super().handle_ssl_established()  # type: ignore[misc]
        if self._lab_unsent:
            self._lab_ask_to_write()
        else:
            self.modify_ioloop_events(self._wanted_io_events)

    @property
    def _lab_unsent(self) -> bool:
        return isinstance(self.socket, TappedTls) and self.socket.unsent

    def _lab_ask_to_write(self) -> None:
        self._ssl_want_write = True
        self.modify_ioloop_events(self._wanted_io_events | self.ioloop.WRITE)
