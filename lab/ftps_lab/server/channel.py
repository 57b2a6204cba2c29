"""TLS over the tap for pyftpdlib's handlers, in the place of its TLS on a file descriptor."""

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
    """TLS over the tap, in the place of pyftpdlib's TLS on a file descriptor."""

    socket: Any
    ioloop: Any
    lab_log: ConnectionLog
    lab_hold_tickets = False
    _ssl_accepting: bool
    _wanted_io_events: int

    def secure(self, identity: Identity) -> None:
        """Begin the server's side of a handshake; the rest is driven by pyftpdlib's event loop."""
        self._ssl_requested = True
        self._ssl_accepting = True
        self.socket = TappedTls(
            identity.context, self.socket, self.lab_log, identity.certificate, hold_tickets=self.lab_hold_tickets
        )
        self.socket.set_accept_state()

    def end(self) -> None:
        """Close at once, without a TLS shutdown, which would wait for a client that does not read; repeatable."""
        self._error = True
        self.close()  # type: ignore[attr-defined]  # pyftpdlib's, by the order of bases, like what super() is here

    def handle_write_event(self) -> None:
        """Encrypted bytes that the socket did not take go first."""
        if isinstance(self.socket, TappedTls):
            self.socket.flush()
        super().handle_write_event()  # type: ignore[misc]

    def writable(self) -> bool:
        """Also while encrypted bytes wait."""
        return self._lab_unsent or bool(super().writable())  # type: ignore[misc]

    def initiate_send(self) -> None:
        """Ask for a write event while encrypted bytes wait, even when there is nothing else to send.

        pyftpdlib changes the events here behind the back of its own bookkeeping, and later changes would be lost.
        """
        before = self._wanted_io_events
        super().initiate_send()  # type: ignore[misc]
        if self._wanted_io_events != before:
            self._current_io_events = self._wanted_io_events
        if self._lab_unsent:
            self._lab_ask_to_write()

    def modify_ioloop_events(self, events: int, logdebug: bool = False) -> None:
        """During a handshake only what it waits for: a socket that is always writable would keep the loop spinning."""
        if self._ssl_accepting:
            events = self.ioloop.READ | (self.ioloop.WRITE if self._lab_unsent else 0)
        super().modify_ioloop_events(events, logdebug)  # type: ignore[misc]

    def handle_ssl_established(self) -> None:
        """From now on what the transfer waits for."""
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
