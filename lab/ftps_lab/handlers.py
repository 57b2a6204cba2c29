"""pyftpdlib's handlers, made to witness: what arrives on the control and data connections, and on which channel.

pyftpdlib does the protocol. Here it gets the tap beneath it, its own TLS identity for each server, implicit FTPS, and
a record of what happens. Method names such as `ftp_USER` and `handle_ssl_established` are pyftpdlib's.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from OpenSSL import SSL

from ftps_lab.tap import TappedSocket, TappedTls
from ftps_lab.testimony import Channel, Command, Credential, Transfer

with warnings.catch_warnings():
    # asyncore and asynchat are deprecated in Python 3.11; from 3.12 on pyftpdlib brings them itself.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.exceptions import AuthenticationFailed
    from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_DTPHandler, TLS_FTPHandler

if TYPE_CHECKING:
    from ftps_lab.recorder import ConnectionLog, Recorder

_TRANSFERS = frozenset({"LIST", "NLST", "MLSD", "RETR", "STOR", "APPE", "STOU"})


@dataclass(frozen=True, slots=True)
class Identity:
    """One server's TLS: a context, and the SHA-256 fingerprint of the leaf that it shows."""

    context: SSL.Context
    certificate: str


class Doorman:
    """The authorizer: any user with the right password, and anonymous with any (RFC 1635)."""

    def __init__(self, root: str, password: str) -> None:
        self._root = root
        self._password = password

    def validate_authentication(self, username: str, password: str, _handler: Any) -> None:
        """Raises AuthenticationFailed unless the password is right."""
        if username != "anonymous" and password != self._password:
            raise AuthenticationFailed("Login incorrect.")

    def get_home_dir(self, _username: str) -> str:
        """Everybody sees the same root."""
        return self._root

    def get_msg_login(self, _username: str) -> str:
        """The text of the 230 reply."""
        return "Logged in."

    def get_msg_quit(self, _username: str) -> str:
        """The text of the 221 reply."""
        return "Goodbye."

    def has_perm(self, _username: str, _perm: str, _path: str | None = None) -> bool:
        """Everything is allowed: the lab is about trust, not about permissions."""
        return True

    def get_perms(self, _username: str) -> str:
        """All of pyftpdlib's permission letters."""
        return "elradfmwMT"

    def impersonate_user(self, _username: str, _password: str) -> None:
        """Files belong to whoever runs the lab."""

    def terminate_impersonation(self, _username: str) -> None:
        """Nothing to undo."""


class TappedTlsMixin:
    """TLS over the tap, in the place of pyftpdlib's TLS on a file descriptor."""

    socket: Any
    lab_log: ConnectionLog
    _closed: bool

    def secure(self, identity: Identity) -> None:
        """Begin the server's side of a handshake; the rest is driven by pyftpdlib's event loop."""
        self._ssl_requested = True
        self._ssl_accepting = True
        data = isinstance(self, DTPHandler)
        self.socket = TappedTls(identity.context, self.socket, self.lab_log, identity.certificate, hold_tickets=data)
        self.socket.set_accept_state()

    def handle_write_event(self) -> None:
        """Encrypted bytes that the socket did not take go first."""
        if isinstance(self.socket, TappedTls):
            self.socket.flush()
        super().handle_write_event()  # type: ignore[misc]  # SSLConnectionMixin's, by the order of bases

    def writable(self) -> bool:
        """Also while encrypted bytes wait."""
        waiting = isinstance(self.socket, TappedTls) and self.socket.unsent
        return waiting or bool(super().writable())  # type: ignore[misc]

    def send(self, data: bytes) -> int:
        """Ask for a write event while encrypted bytes wait, even when there is nothing else to send."""
        sent: int = super().send(data)  # type: ignore[misc]
        if isinstance(self.socket, TappedTls) and self.socket.unsent:
            self._ssl_want_write = True
        return sent


class RecordingData(DTPHandler):  # type: ignore[misc]  # pyftpdlib ships no types
    """A data connection: hashes what passes and tells the record when it ends."""

    def __init__(self, sock: Any, cmd_channel: Any) -> None:
        self._lab_hash = hashlib.sha256()
        self._lab_size = 0
        self._lab_tls = False
        peer = sock.getpeername()[:2]
        recorder = cmd_channel.lab_recorder
        tapped = TappedSocket(sock, recorder.tap("data", peer))
        self.lab_log = recorder.opened("data", peer)
        super().__init__(tapped, cmd_channel)

    def send(self, data: bytes) -> int:
        """What was taken is content that left."""
        sent: int = super().send(data)
        self._lab_count(data[:sent])
        return sent

    def recv(self, size: int) -> bytes:
        """What arrived is content."""
        data: bytes = super().recv(size)
        self._lab_count(data)
        return data

    def close(self) -> None:
        """Close, then record, once."""
        if isinstance(self.socket, TappedTls):
            self.socket.abandoned()
        if not self._closed and self.cmd is not None:
            self.lab_log.transfer(self._lab_transfer())
        super().close()
        self.lab_log.closed()

    def _lab_count(self, data: bytes) -> None:
        self._lab_hash.update(data)
        self._lab_size += len(data)

    def _lab_transfer(self) -> Transfer:
        control = self.cmd_channel
        tls = isinstance(self.socket, TappedTls)
        return Transfer(
            connection=self.lab_log.number,
            control=control.lab_log.number,
            verb=self.cmd,
            name=control.lab_transfer_argument,
            direction="upload" if self.receive else "download",
            size=self._lab_size,
            sha256=self._lab_hash.hexdigest(),
            channel="tls" if tls else "clear",
            certificate=control.data_identity.certificate if tls else "",
            completed=bool(self.transfer_finished),
        )


class LabData(TappedTlsMixin, TLS_DTPHandler, RecordingData):  # type: ignore[misc]
    """A data connection that is put into TLS when PROT P was accepted."""

    def secure_connection(self, _context: SSL.Context) -> None:
        """Pyftpdlib calls this from its constructor with the control connection's context."""
        self.secure(self.cmd_channel.data_identity)


class RecordingControl(FTPHandler):  # type: ignore[misc]
    """A control connection: every command with its channel, every password, every reply's code."""

    banner = "ftps-lab ready."
    use_sendfile = False  # it would send past the tap
    auth_failed_timeout = 0  # pyftpdlib's 3 s slow down guessing; nobody guesses here
    lab_recorder: Recorder

    def __init__(self, conn: Any, server: Any, ioloop: Any = None) -> None:
        self.lab_recorder = server.lab_recorder()
        self.lab_user = ""
        self.lab_transfer_argument = ""
        peer = conn.getpeername()[:2]
        tapped = TappedSocket(conn, self.lab_recorder.tap("control", peer))
        self.lab_log = self.lab_recorder.opened("control", peer)
        super().__init__(tapped, server, ioloop)

    @property
    def lab_channel(self) -> Channel:
        """The channel that a command arrives on right now."""
        return "tls" if isinstance(self.socket, TappedTls) else "clear"

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        """Record first: also what is refused was sent."""
        shown = "" if cmd == "PASS" else arg
        self.lab_log.command(Command(self.lab_log.number, cmd, shown, self.lab_channel))
        if cmd == "USER":
            self.lab_user = arg
        elif cmd == "PASS":
            number = self.lab_log.number
            self.lab_log.credential(Credential(number, self.lab_user, arg, self.lab_channel, accepted=False))
        elif cmd in _TRANSFERS:
            self.lab_transfer_argument = arg
        super().pre_process_command(line, cmd, arg)

    def respond(self, resp: str, *args: Any, **kwargs: Any) -> None:
        """Record the code of the reply."""
        if resp[:3] == "220":
            self.lab_log.greeted()
        elif resp[:3].isdigit():
            self.lab_log.replied(int(resp[:3]))
        super().respond(resp, *args, **kwargs)

    def on_login(self, username: str) -> None:
        """The password was right."""
        self.lab_log.let_in()
        super().on_login(username)

    def log(self, msg: str, logfun: Any = None) -> None:
        """Pyftpdlib's log lines repeat what the record holds."""

    def log_exception(self, instance: Any) -> None:
        """A broken TLS stream is the client's doing; anything else is an error of the server."""
        error = sys.exc_info()[1]
        if isinstance(error, (SSL.Error, ConnectionError)):
            instance.lab_log.failed(f"{type(error).__name__}: {error}")
        else:
            super().log_exception(instance)

    def close(self) -> None:
        """Close, then tell the record."""
        if isinstance(self.socket, TappedTls):
            self.socket.abandoned()
        super().close()
        self.lab_log.closed()


class PlainControl(RecordingControl):
    """Plain FTP: AUTH is an unknown command, answered 500."""

    dtp_handler = RecordingData


class ExplicitControl(TappedTlsMixin, TLS_FTPHandler, RecordingControl):  # type: ignore[misc]
    """Explicit FTPS (RFC 4217): AUTH TLS on the ordinary port.

    The identities are attributes of a subclass made for each server, so that two servers never share one; a control
    connection keeps the identities that were in force when it was accepted, as a forking daemon's does.
    """

    dtp_handler = LabData
    identity: ClassVar[Identity]
    data_identity: ClassVar[Identity]

    def secure_connection(self, _context: SSL.Context) -> None:
        """Pyftpdlib calls this after its 234 to AUTH."""
        self.secure(self.identity)

    def close(self) -> None:
        """Pyftpdlib's TLS handler calls FTPHandler.close past ours when the TLS shutdown is still under way."""
        super().close()
        if self._closed:
            self.lab_log.closed()


class ImplicitControl(ExplicitControl):
    """Implicit FTPS (never standardised; RFC 4217 appendix A): TLS first, the greeting inside."""

    _lab_greeted = False

    def handle(self) -> None:
        """In the place of the greeting: begin the handshake."""
        self.secure(self.identity)

    def handle_ssl_established(self) -> None:
        """Greet when the handshake is done."""
        super().handle_ssl_established()
        if not self._lab_greeted:
            self._lab_greeted = True
            super().handle()


CONTROLS: dict[str, type[RecordingControl]] = {
    "plain": PlainControl,
    "explicit": ExplicitControl,
    "implicit": ImplicitControl,
}


def root_path(root: os.PathLike[str] | str) -> str:
    """The server's root the way pyftpdlib compares paths: absolute, without symbolic links."""
    return os.path.realpath(root)
