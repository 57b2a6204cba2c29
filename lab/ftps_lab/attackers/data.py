"""A data connection through an attacker: from the victim to the attacker, and from there to the genuine server."""

from __future__ import annotations

import hashlib
import socket
from typing import TYPE_CHECKING, Any

from ftps_lab.attackers.endpoint import Endpoint, How
from ftps_lab.testimony import CAPTURED, UPLOADS, Transfer
from ftps_lab.wire.tap import UNREAD_READS, TappedSocket, TappedTls

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_lab.recorder import ConnectionLog
    from ftps_lab.wire.addresses import Address


class Listener:
    """Waits for one data connection."""

    def __init__(self, ioloop: Any, host: str, called: Callable[[socket.socket, Address], None]) -> None:
        self._ioloop = ioloop
        self._called = called
        self._socket = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setblocking(False)
        self._fileno = self._socket.fileno()
        self.address: Address = self._socket.getsockname()[:2]
        self._closed = False
        ioloop.register(self._fileno, self, ioloop.READ)

    def close(self) -> None:
        """Stop waiting; repeatable."""
        if not self._closed:
            self._closed = True
            self._ioloop.unregister(self._fileno)
            self._socket.close()

    def hear_out(self) -> None:
        """Accept a connection that is already waiting."""
        if not self._closed:
            self.handle_read_event()

    def readable(self) -> bool:
        """Always: the event loop watches this socket only for reading."""
        return True

    def writable(self) -> bool:
        """Never: nothing is written to this socket."""
        return False

    def handle_read_event(self) -> None:
        """Accept the connection that has arrived."""
        try:
            sock, peer = self._socket.accept()
        except OSError:  # gone already
            return
        self.close()
        sock.setblocking(False)
        self._called(sock, peer[:2])

    handle_close = close


class _Content:
    """Content received from one end."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0
        self.captured = b""
        self.whole = False

    def add(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        if len(self.captured) < CAPTURED:
            self.captured += data[: CAPTURED - len(self.captured)]

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class DataRelay:
    """The two ends of one data connection, and the transfer on it as the attacker saw it.

    Attributes:
        client: The victim's end; None until it exists.
        upstream: The genuine server's end; None until it exists.
    """

    def __init__(self, control: Any, listener: Listener) -> None:
        self._control = control
        self._listener = listener
        self._in_tls = False
        self._verb = self._name = ""
        self._code: int | None = None
        self._sent, self._fetched = _Content(), _Content()
        self._begun = self._gone = self._recorded = False
        self._log: ConnectionLog | None = None
        self.client: Endpoint | None = None
        self.upstream: Endpoint | None = None

    def dial_client(self, where: Address) -> Endpoint:
        """Connect to the victim, as active mode requires."""
        sock = socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.connect_ex(where)
        return self.end_of_client(sock, where, connecting=True)

    def end_of_client(self, sock: socket.socket, peer: Address, *, connecting: bool = False) -> Endpoint:
        """Wrap the victim's socket: with a tap, and in TLS after PROT P."""
        control = self._control
        raw = TappedSocket(sock, control.lab_recorder.tap("data", peer))
        self._log = control.lab_recorder.opened("data", peer)
        self._in_tls = bool(control._prot)  # noqa: SLF001 - pyftpdlib's: PROT P was accepted
        tls = None
        if self._in_tls:
            identity = control.data_identity
            tls = TappedTls(identity.context, raw, self._log, identity.certificate, hold_tickets=True)
            tls.set_accept_state()
        return Endpoint(control.ioloop, raw, self, tls=tls, connecting=connecting)

    def join(self, client: Endpoint, upstream: Endpoint) -> None:
        """Join both ends. TLS with the genuine server waits for the victim's: if that fails, so does the transfer."""
        self.client, self.upstream = client, upstream
        if client.open:
            self._control.genuine.secure(upstream)

    def opened(self, end: Endpoint) -> None:
        """Start TLS with the genuine server once the victim's handshake is complete."""
        if end is self.client and self.upstream is not None:
            self._control.genuine.secure(self.upstream)

    def asked(self, verb: str, name: str) -> bool:
        """Whether this connection carries this transfer: it carries one only, though others may have been refused."""
        if self._begun or self._recorded:
            return False
        self._verb, self._name, self._code = verb, name, None
        return True

    def begins(self) -> None:
        """The genuine server has announced the transfer (1xx)."""
        self._begun = True

    def answered(self, code: int) -> None:
        """The final reply to the transfer has arrived."""
        self._code = code
        self._record()

    def superseded(self) -> None:
        """The victim asked for another data connection: drop this one unless its transfer has started."""
        self._listener.close()
        if not self._begun:
            self._abort()

    def let_go(self) -> bool:
        """The victim's control connection is gone: forward what has arrived and close whatever is no longer needed.

        Returns:
            Whether the genuine server still owes the final reply to the transfer.
        """
        self._listener.hear_out()
        self._listener.close()
        if self._is_upload and self.client is not None:
            self.client.hear_out(UNREAD_READS)
        source = self.client if self._is_upload else self.upstream
        if self._code == 226 or (source is not None and source.heard_all):  # the rest is already on its way
            return bool(self._verb) and self._code is None
        self._abort()
        self.answered(self._code or 426)
        return False

    def received(self, end: Endpoint, data: bytes) -> None:
        """Count the bytes and forward them to the other side."""
        self._content(end).add(data)
        other = self._other(end)
        if other is not None:
            other.send(data)
            end.pause(other.full)

    def drained(self, end: Endpoint) -> None:
        """Resume the other end: there is room again."""
        other = self._other(end)
        if other is not None:
            other.pause(False)

    def ended(self, end: Endpoint, how: How) -> None:
        """One side has ended its stream: end the other the same way, and close the end that content came from."""
        content, other, is_client = self._content(end), self._other(end), end is self.client
        is_source = is_client == self._is_upload
        if is_source and content.whole:
            return  # it already delivered its last byte, so losing it now means nothing
        content.whole |= how != "reset"
        if other is not None:
            other.end(how if other.open or is_client else "reset")
        if is_source or not is_client:
            end.end("closed")

    def closed(self, end: Endpoint) -> None:
        """The socket of one end is gone: abort the other unless the stream had ended."""
        if end is self.client:
            self._gone = True
            self._record()
        other = self._other(end)
        if other is not None and not end.heard_all:
            other.abort()

    def _abort(self) -> None:
        for end in (self.client, self.upstream):
            if end is not None:
                end.abort()

    @property
    def _is_upload(self) -> bool:
        return self._verb in UPLOADS

    def _other(self, end: Endpoint) -> Endpoint | None:
        return self.upstream if end is self.client else self.client

    def _content(self, end: Endpoint) -> _Content:
        return self._sent if end is self.client else self._fetched

    def _record(self) -> None:
        """Record the transfer once the victim's connection is gone and the final reply has arrived."""
        if self._log is None or self._recorded or not self._gone or (self._verb and self._code is None):
            return
        self._recorded = True
        content = self._sent if self._is_upload else self._fetched
        if self._begun:
            self._log.transfer(self._transfer(self._log.number, content))
        self._log.closed()

    def _transfer(self, number: int, content: _Content) -> Transfer:
        control = self._control
        taken = self._is_upload or (self.client is not None and self.client.said_all)
        return Transfer(
            connection=number,
            control=control.lab_log.number,
            verb=self._verb,
            name=self._name,
            direction="upload" if self._is_upload else "download",
            size=content.size,
            sha256=content.sha256,
            channel="tls" if self._in_tls else "clear",
            certificate=control.data_identity.certificate if self._in_tls else "",
            completed=content.whole and taken and (self._code or 0) < 300,
            captured=content.captured,
        )
