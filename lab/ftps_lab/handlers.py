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
    from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP, PassiveDTP
    from pyftpdlib.log import logger

if TYPE_CHECKING:
    from ftps_lab.recorder import ConnectionLog, Recorder

_LISTINGS = frozenset({"LIST", "NLST", "MLSD"})


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
    ioloop: Any
    lab_log: ConnectionLog
    _closed: bool
    _ssl_accepting: bool
    _wanted_io_events: int

    def secure(self, identity: Identity) -> None:
        """Begin the server's side of a handshake; the rest is driven by pyftpdlib's event loop."""
        self._ssl_requested = True
        self._ssl_accepting = True
        data = isinstance(self, DTPHandler)
        self.socket = TappedTls(identity.context, self.socket, self.lab_log, identity.certificate, hold_tickets=data)
        self.socket.set_accept_state()

    def end(self) -> None:
        """Close at once, without a TLS shutdown, which would wait for a client that does not read; repeatable."""
        self._error = True
        self.close()  # type: ignore[attr-defined]  # pyftpdlib's, by the order of bases, like what super() is here

    def handle_write_event(self) -> None:
        """Encrypted bytes that the socket did not take go first."""
        if isinstance(self.socket, TappedTls):
            self.socket.flush()
        if self._lab_unsent:
            self._lab_ask_to_write()
        else:
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

    def modify_ioloop_events(self, events: int, logdebug: bool = False) -> None:  # noqa: FBT001, FBT002 - pyftpdlib's
        """During a handshake only what it waits for: a socket that is always writable would keep the loop spinning."""
        if self._ssl_accepting:
            events = self.ioloop.READ | (self.ioloop.WRITE if self._lab_unsent else 0)
        super().modify_ioloop_events(events, logdebug)  # type: ignore[misc]

    def handle_ssl_established(self) -> None:
        """From now on what the transfer waits for."""
        super().handle_ssl_established()  # type: ignore[misc]
        self.modify_ioloop_events(self._wanted_io_events)

    @property
    def _lab_unsent(self) -> bool:
        return isinstance(self.socket, TappedTls) and self.socket.unsent

    def _lab_ask_to_write(self) -> None:
        self._ssl_want_write = True
        self.modify_ioloop_events(self._wanted_io_events | self.ioloop.WRITE)


class RecordingData(DTPHandler):  # type: ignore[misc]  # pyftpdlib ships no types
    """A data connection: hashes what passes and tells the record when it ends."""

    def __init__(self, sock: Any, cmd_channel: Any) -> None:
        self._lab_hash = hashlib.sha256()
        self.lab_size = 0
        recorder, peer = cmd_channel.lab_recorder, cmd_channel.lab_data_peer
        self._lab_raw = TappedSocket(sock, recorder.tap("data", peer))
        self.lab_log = recorder.opened("data", peer)
        super().__init__(self._lab_raw, cmd_channel)

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

    def handle_close(self) -> None:
        """The client has closed; after a reset the end of an upload may be missing, so it is not complete."""
        if self.receive and self._lab_raw.was_reset:
            self.lab_fail("426 Connection reset; transfer aborted.")
        else:
            super().handle_close()

    def lab_fail(self, reply: str) -> None:
        """Close, and answer whoever asked for a transfer."""
        if self.cmd is not None and not self._resp:
            self._resp = (reply, logger.debug)
        self.close()

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
        self.lab_size += len(data)

    def _lab_transfer(self) -> Transfer:
        control = self.cmd_channel
        tls = isinstance(self.socket, TappedTls)
        name = control.lab_listing
        if self.file_obj is not None:
            name = os.path.relpath(self.file_obj.name, control.authorizer.get_home_dir(control.username))
        return Transfer(
            connection=self.lab_log.number,
            control=control.lab_log.number,
            verb=self.cmd,
            name=name,
            direction="upload" if self.receive else "download",
            size=self.lab_size,
            sha256=self._lab_hash.hexdigest(),
            channel="tls" if tls else "clear",
            certificate=control.data_identity.certificate if tls else "",
            completed=bool(self.transfer_finished),
        )


class LabData(TappedTlsMixin, TLS_DTPHandler, RecordingData):  # type: ignore[misc]
    """A data connection that is put into TLS when PROT P was accepted."""

    def secure_connection(self, _context: SSL.Context) -> None:
        """Pyftpdlib calls this from its constructor with the control connection's context."""
        if not self._closed:  # the client was there
            self.secure(self.cmd_channel.data_identity)

    def handle_failed_ssl_handshake(self) -> None:
        """Answer 522 (RFC 4217 section 10.2), but only to a command: pyftpdlib answers also what nobody asked."""
        self.lab_fail("522 SSL handshake failed.")

    def handle_error(self) -> None:
        """A TLS stream that breaks has an answer too: pyftpdlib's silence would leave the client waiting."""
        if self.cmd is not None and not self._resp:
            self._resp = ("426 Connection error; transfer aborted.", logger.debug)
        super().handle_error()

    def close(self) -> None:
        """A transfer that did not work ends at once: no client reads the rest of it."""
        if not self.transfer_finished:
            self._error = True
        super().close()


class Passive(PassiveDTP):  # type: ignore[misc]
    """Waits for a data connection, and remembers where it came from."""

    def handle_accepted(self, sock: Any, addr: Any) -> None:
        """Remember the address: the socket forgets it when the client has reset already."""
        self.cmd_channel.lab_data_peer = addr[:2]
        super().handle_accepted(sock, addr)


class Active(ActiveDTP):  # type: ignore[misc]
    """Opens a data connection, and lets go of it."""

    def __init__(self, ip: str, port: int, cmd_channel: Any) -> None:
        cmd_channel.lab_data_peer = (ip, port)
        super().__init__(ip, port, cmd_channel)

    def handle_connect(self) -> None:
        """The connection has a new owner now.

        pyftpdlib keeps this one too and closes it much later, with a descriptor that may be another connection's by
        then, which the event loop would forget for ever.
        """
        super().handle_connect()
        self.cmd_channel._dtp_connector = None  # noqa: SLF001 - see above


class RecordingControl(FTPHandler):  # type: ignore[misc]
    """A control connection: every command with its channel, every password, every reply's code."""

    banner = "ftps-lab ready."
    use_sendfile = False  # it would send past the tap
    passive_dtp = Passive
    active_dtp = Active
    lab_recorder: Recorder
    lab_data_peer = ("", 0)
    _ssl_established = False

    def __init__(self, conn: Any, server: Any, ioloop: Any = None) -> None:
        self.lab_recorder = server.lab_recorder()
        self.lab_user = ""
        self.lab_listing = ""
        peer = server.lab_peer
        tapped = TappedSocket(conn, self.lab_recorder.tap("control", peer))
        self.lab_log = self.lab_recorder.opened("control", peer)
        super().__init__(tapped, server, ioloop)

    @property
    def lab_channel(self) -> Channel:
        """The channel that a command arrives on right now."""
        return "tls" if self._ssl_established else "clear"

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        """Record first: also what is refused was sent."""
        shown = "" if cmd == "PASS" else arg
        self.lab_log.command(Command(self.lab_log.number, cmd, shown, self.lab_channel))
        if cmd == "USER":
            self.lab_user = arg
        elif cmd == "PASS":
            number = self.lab_log.number
            self.lab_log.credential(Credential(number, self.lab_user, arg, self.lab_channel, accepted=False))
        elif cmd in _LISTINGS:
            self.lab_listing = arg
        if "\0" in line:
            self.respond("501 No file has such a name.")  # the operating system's calls would raise
        else:
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

    def handle_auth_failed(self, _msg: str, _password: str) -> None:
        """Answer at once: pyftpdlib slows down guessing by a timer, which outlives a connection that has closed."""
        self.username = ""
        self.attempted_logins += 1
        self.respond("530 Login incorrect.")
        if self.attempted_logins >= self.max_login_attempts:
            self.close_when_done()

    def handle_close(self) -> None:
        """The client has closed: take what it had sent on the data connection before, then close.

        A client that closes both at once has sent it, and the event loop may come to this connection first.
        """
        self._lab_hear(self._dtp_acceptor)
        data, heard = self.data_channel, -1
        while data is not None and data.receive and heard < data.lab_size:
            heard = data.lab_size
            self._lab_hear(data)
        super().handle_close()

    @staticmethod
    def _lab_hear(channel: Any) -> None:
        if channel is not None:
            try:
                channel.handle_read_event()
            except Exception:  # noqa: BLE001 - as pyftpdlib's event loop does
                channel.handle_error()

    def log(self, msg: str, logfun: Any = None) -> None:
        """Pyftpdlib's log lines repeat what the record holds."""

    def log_exception(self, instance: Any) -> None:
        """A broken TLS stream is the client's doing; anything else is an error of the server."""
        error = sys.exc_info()[1]
        if isinstance(error, (SSL.Error, ConnectionError)):
            getattr(instance, "lab_log", self.lab_log).failed(f"{type(error).__name__}: {error}")
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
        """Pyftpdlib calls this after its 234 to AUTH.

        What came behind AUTH in the same segment came in clear. pyftpdlib would obey it, as if it were in TLS
        (CVE-2011-0411 is about the same in SMTP); here it ends the connection like anything else that is no handshake.
        """
        self.secure(self.identity)
        if self.ac_in_buffer:
            self.lab_log.failed(f"{len(self.ac_in_buffer)} bytes in clear in the place of a TLS handshake")
            self.ac_in_buffer = b""
            self.handle_failed_ssl_handshake()

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
