"""pyftpdlib's data connections as a witness: they record what passes, on which channel, and how it ends."""

from __future__ import annotations

import hashlib
import os
import warnings
from typing import TYPE_CHECKING, Any

from ftps_lab.server.channel import TappedTlsMixin
from ftps_lab.testimony import CAPTURED, Transfer
from ftps_lab.wire.tap import UNREAD_READS, TappedSocket, TappedTls
from ftps_lab.wire.tls import is_client_hello

with warnings.catch_warnings():
    # asyncore and asynchat are deprecated in Python 3.11; from 3.12 on pyftpdlib ships its own.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.handlers import DTPHandler, TLS_DTPHandler
    from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP, PassiveDTP
    from pyftpdlib.log import logger

if TYPE_CHECKING:
    from OpenSSL import SSL


_HEAD = 6
"""Bytes needed to recognize a ClientHello: the record's header and the message's type."""


def read_now(channel: Any) -> None:
    """Do what pyftpdlib's event loop does when there is something to read."""
    if not channel._closed:  # noqa: SLF001 - pyftpdlib's
        try:
            channel.handle_read_event()
        except Exception:  # noqa: BLE001 - as the event loop does
            channel.handle_error()


class RecordingData(DTPHandler):  # type: ignore[misc]  # pyftpdlib ships no types
    """A data connection that hashes its content and records its end."""

    cmd: str | None
    receive: bool
    transfer_finished: bool
    _closed: bool
    _resp: tuple[Any, ...]

    def __init__(self, sock: Any, cmd_channel: Any) -> None:
        self._lab_hash = hashlib.sha256()
        self._lab_head = b""
        self._lab_captured = b""
        self._lab_impostor = cmd_channel.lab_recorder.role == "impostor"
        self.lab_size = 0
        recorder, peer = cmd_channel.lab_recorder, cmd_channel.lab_data_peer
        self._lab_raw = TappedSocket(sock, recorder.tap("data", peer))
        self.lab_log = recorder.opened("data", peer)
        super().__init__(self._lab_raw, cmd_channel)

    def send(self, data: bytes) -> int:
        """Send, and count the bytes that the socket accepted as sent content."""
        sent: int = super().send(data)
        self._lab_count(data[:sent])
        return sent

    def recv(self, size: int) -> bytes:
        """Receive, and count the bytes as received content."""
        data: bytes = super().recv(size)
        self._lab_count(data)
        return data

    def handle_close(self) -> None:
        """The client has closed; after a reset an upload counts as incomplete, because its end may be missing."""
        if self.receive and self._lab_raw.was_reset:
            self.lab_fail("426 Connection reset; transfer aborted.")
        else:
            super().handle_close()

    def lab_hear_out(self) -> None:
        """Read what has already arrived."""
        for _ in range(UNREAD_READS):
            heard = self._lab_raw.received
            read_now(self)
            if self._lab_raw.received == heard:
                break

    def lab_fail(self, reply: str) -> None:
        """Close, and reply if a transfer was requested."""
        if self.cmd is not None and not self._resp:
            self._resp = (reply, logger.debug)
        self.close()

    def close(self) -> None:
        """Close, then record, once."""
        if isinstance(self.socket, TappedTls):
            self.socket.abandoned()
        if not self._closed and self.cmd is not None:
            self.lab_log.transfer(self._lab_transfer(self.cmd))
        super().close()
        self.lab_log.closed()

    def _lab_count(self, data: bytes) -> None:
        if len(self._lab_head) < _HEAD:
            self._lab_head += data[:_HEAD]
        if self._lab_impostor and self.receive and len(self._lab_captured) < CAPTURED:
            self._lab_captured += data[: CAPTURED - len(self._lab_captured)]
        self._lab_hash.update(data)
        self.lab_size += len(data)

    def _lab_transfer(self, verb: str) -> Transfer:
        control = self.cmd_channel
        tls = isinstance(self.socket, TappedTls)
        name = control.lab_listing
        if self.file_obj is not None:
            name = os.path.relpath(self.file_obj.name, control.authorizer.get_home_dir(control.username))
        hello = self.receive and not tls and is_client_hello(self._lab_head, self.lab_size)
        return Transfer(
            connection=self.lab_log.number,
            control=control.lab_log.number,
            verb=verb,
            name=name,
            direction="upload" if self.receive else "download",
            size=0 if hello else self.lab_size,
            sha256=hashlib.sha256().hexdigest() if hello else self._lab_hash.hexdigest(),
            channel="tls" if tls else "clear",
            certificate=control.data_identity.certificate if tls else "",
            completed=bool(self.transfer_finished),
            captured=b"" if hello else self._lab_captured,
        )


class LabData(TappedTlsMixin, TLS_DTPHandler, RecordingData):  # type: ignore[misc]
    """A data connection that uses TLS after PROT P."""

    lab_hold_tickets = True

    def secure_connection(self, _context: SSL.Context) -> None:
        """Start TLS; pyftpdlib calls this from its constructor with the control connection's context."""
        if not self._closed:  # the client is still connected
            self.secure(self.cmd_channel.data_identity)

    def handle_failed_ssl_handshake(self) -> None:
        """Reply 522 (RFC 4217 section 10.2), but only to a command: pyftpdlib would reply without one."""
        self.lab_fail("522 SSL handshake failed.")

    def handle_error(self) -> None:
        """Reply when a TLS stream breaks: pyftpdlib sends nothing, which would leave the client waiting."""
        if self.cmd is not None and not self._resp:
            self._resp = ("426 Connection error; transfer aborted.", logger.debug)
        super().handle_error()

    def close(self) -> None:
        """Close a failed transfer at once: no client reads the rest of it."""
        if not self.transfer_finished:
            self._error = True
        super().close()


class Passive(PassiveDTP):  # type: ignore[misc]
    """Waits for a data connection, and keeps the peer's address."""

    def handle_accepted(self, sock: Any, addr: Any) -> None:
        """Keep the address: the socket no longer has it once the client has reset the connection."""
        control = self.cmd_channel
        control.lab_data_peer = addr[:2]
        super().handle_accepted(sock, addr)
        if self._closed:
            control.lab_data_ended()


class Active(ActiveDTP):  # type: ignore[misc]
    """Opens a data connection, then hands over its descriptor."""

    def __init__(self, ip: str, port: int, cmd_channel: Any) -> None:
        cmd_channel.lab_data_peer = (ip, port)
        super().__init__(ip, port, cmd_channel)

    def handle_connect(self) -> None:
        """Give up the descriptor: the connection now has another owner.

        pyftpdlib's class keeps using the descriptor and closes it much later, when it may belong to another connection,
        which the event loop would then lose for good.
        """
        super().handle_connect()
        self._closed = True
        self.cmd_channel.lab_data_ended()
