"""pyftpdlib's control connections as a witness: what arrives, on which channel, what they serve, and to whom.

pyftpdlib implements the protocol. This module adds the tap beneath it, a TLS identity for each server, implicit FTPS,
and a record of what happens. Method names such as `ftp_USER` and `handle_ssl_established` are pyftpdlib's.
"""

from __future__ import annotations

import os
import sys
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from OpenSSL import SSL

from ftps_lab.processes import among_arguments
from ftps_lab.server.channel import Identity, TappedTlsMixin
from ftps_lab.server.data import Active, LabData, Passive, RecordingData, read_now
from ftps_lab.server.filesystem import LabFilesystem
from ftps_lab.testimony import CAPTURED, LISTINGS, TLS_IN_CLEAR, TRANSFERS, Channel, Command, Credential, Handshake
from ftps_lab.wire.tap import TappedSocket, TappedTls
from ftps_lab.wire.tls import HANDSHAKE

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # as in ftps_lab.server.data
    from pyftpdlib.exceptions import AuthenticationFailed
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import AsyncChat

if TYPE_CHECKING:
    from ftps_lab.recorder import Recorder

_PIECE_SECONDS = 0.002
"""Delay between two bytes of a greeting that is sent in pieces."""

_OPENERS = frozenset({"PASV", "EPSV", "PORT", "EPRT"})


class Doorman:
    """The authorizer: it admits any user, or only one, with the right password, and anonymous with any (RFC 1635)."""

    def __init__(self, root: str, password: str, user: str | None = None) -> None:
        self._root = root
        self._password = password
        self._user = user

    def validate_authentication(self, username: str, password: str, handler: Any) -> None:
        """Raise AuthenticationFailed unless user and password are right."""
        if username == "anonymous":
            return
        if password != self._password or self._user not in {None, username} or not handler.lab_in_utf8:
            raise AuthenticationFailed("Login incorrect.")

    def get_home_dir(self, _username: str) -> str:
        """The root, which is the same for all users."""
        return self._root

    def get_msg_login(self, _username: str) -> str:
        """The text of the 230 reply."""
        return "Logged in."

    def get_msg_quit(self, _username: str) -> str:
        """The text of the 221 reply."""
        return "Goodbye."

    def has_perm(self, _username: str, _perm: str, _path: str | None = None) -> bool:
        """Always: the lab is about trust, not about permissions."""
        return True

    def get_perms(self, _username: str) -> str:
        """All of pyftpdlib's permission letters."""
        return "elradfmwMT"

    def impersonate_user(self, _username: str, _password: str) -> None:
        """Nothing to do: files belong to the user who runs the lab."""

    def terminate_impersonation(self, _username: str) -> None:
        """Nothing to undo."""


class RecordingControl(FTPHandler):  # type: ignore[misc]
    """A control connection that records each command with its channel, each password and each reply code."""

    banner = "ftps-lab ready."
    abstracted_fs = LabFilesystem
    use_sendfile = False  # it would bypass the tap
    passive_dtp = Passive
    active_dtp = Active
    ac_in_buffer: bytes
    _in_buffer: list[bytes]
    data_channel: Any
    _closed: bool
    _dtp_acceptor: Any
    _dtp_connector: Any
    _in_dtp_queue: Any
    _out_dtp_queue: Any
    lab_recorder: Recorder
    greeting: ClassVar[str] = ""
    greeting_in_pieces: ClassVar[bool] = False
    lab_attack: ClassVar[str] = "none"
    """The attack that this class carries out, for the record: set by the class that acts, not by what was requested."""
    lab_data_peer = ("", 0)
    lab_obeyed: int | None = None
    """The command that replies belong to, if it may not be the newest."""
    lab_in_utf8 = True
    """Everything received since USER was in UTF-8."""
    _lab_dropped = b""
    _lab_pieces = b""
    """The part of the greeting still to be sent, byte by byte."""
    _ssl_established = False
    _lab_met_tls = False

    def __init__(self, conn: Any, server: Any, ioloop: Any = None) -> None:
        self.lab_recorder = server.lab_recorder()
        self.lab_user = ""
        self.lab_listing = ""
        peer = server.lab_peer
        tapped = TappedSocket(conn, self.lab_recorder.tap("control", peer))
        self.lab_log = self.lab_recorder.opened("control", peer, self.lab_attack)
        super().__init__(tapped, server, ioloop)

    def handle_read(self) -> None:
        """Read a command, or detect TLS where clear-text FTP is expected.

        With ``ftps://`` on a port of explicit FTPS, a client starts with a ClientHello. It is recorded as a failed
        handshake, and nothing later on this connection counts as a command. The client learns this from the greeting.
        """
        if not self._lab_met_tls and not self._lab_begins_tls():
            super().handle_read()
        elif self.recv(65536) and not self._lab_met_tls:
            self._lab_met_tls = True
            self.lab_log.handshake(Handshake(self.lab_log.number, False, "", "", None, "", TLS_IN_CLEAR))

    def _lab_begins_tls(self) -> bool:
        """Whether the client starts TLS, unsolicited, where a command could start."""
        in_clear = isinstance(self.socket, TappedSocket) and not self.ac_in_buffer and not self._in_buffer
        return in_clear and self.socket.peek() == HANDSHAKE

    def decode(self, line: bytes) -> str:
        """Decode a command without loss: as UTF-8 (RFC 2640 section 2.2), or else as Latin-1, which old clients send.

        The server's own user and password are in UTF-8: the same characters in Latin-1 do not match.
        """
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = line.decode("latin-1")
            self.lab_in_utf8 = False
        else:
            self.lab_in_utf8 = self.lab_in_utf8 or line[:5].upper() == b"USER "
        return text

    def collect_incoming_data(self, data: bytes) -> None:
        """Collect part of a line. pyftpdlib drops a line that is too long, but it was sent, so it is recorded."""
        line = b"".join((*self._in_buffer, data))
        super().collect_incoming_data(data)
        if not self._in_buffer:
            self._lab_dropped += line[: CAPTURED - len(self._lab_dropped)]

    def _lab_record_rest(self) -> None:
        """Record what an impostor received in TLS that is not a command: a line too long or without an end."""
        rest = b"".join((self._lab_dropped, *self._in_buffer, self.ac_in_buffer))
        self._lab_dropped, self._in_buffer, self.ac_in_buffer = b"", [], b""
        if rest and self.lab_recorder.role == "impostor" and self._ssl_established:
            self.lab_log.command(Command(self.lab_log.number, "", rest[:CAPTURED].decode("latin-1"), "tls"))

    def handle(self) -> None:
        """A client has connected, and the greeting can be sent at once."""
        self.lab_greet()

    def lab_greet(self) -> None:
        """Send the 220."""
        self.on_connect()
        if not self._closed:
            self.lab_log.greeted()
            reply = reply_of(220, self.greeting or self.banner).encode(self.encoding)
            if self.greeting_in_pieces:
                self._lab_pieces = reply
                self._lab_send_piece()
            else:
                AsyncChat.push(self, reply)

    def _lab_send_piece(self) -> None:
        if not self._closed and self._lab_pieces:
            piece, self._lab_pieces = self._lab_pieces[:1], self._lab_pieces[1:]
            AsyncChat.push(self, piece)
            self.ioloop.call_later(_PIECE_SECONDS, self._lab_send_piece, _errback=self.handle_error)

    def push(self, data: str) -> None:
        """Send a reply, after the rest of the greeting if the client did not wait for its end."""
        if self._lab_pieces:
            rest, self._lab_pieces = self._lab_pieces, b""
            AsyncChat.push(self, rest)
        super().push(data)

    @property
    def lab_channel(self) -> Channel:
        """The channel that commands currently arrive on."""
        return "tls" if self._ssl_established else "clear"

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        """Record the command first: even a refused command was sent."""
        shown = "" if cmd == "PASS" else arg
        self.lab_log.command(Command(self.lab_log.number, cmd, shown, self.lab_channel))
        if cmd == "USER":
            self.lab_user = arg
        elif cmd == "PASS":
            number, seen = self.lab_log.number, among_arguments(arg)
            self.lab_log.credential(Credential(number, self.lab_user, arg, self.lab_channel, False, seen))
        elif cmd in LISTINGS:
            self.lab_listing = arg
        if not self._closed:
            self._lab_obey(line, cmd, arg)

    def _lab_obey(self, line: str, cmd: str, arg: str) -> None:
        if cmd in TRANSFERS | _OPENERS:
            self._lab_drop_queued()
        if "\0" in line:
            self.respond("501 Invalid file name.")  # the system calls would raise
        elif cmd in TRANSFERS and self.authenticated and not self._lab_data_expected:
            self.respond("425 Use PASV or PORT first.")  # pyftpdlib would answer 150 and wait for ever
        else:
            super().pre_process_command(line, cmd, arg)

    def respond(self, resp: str, *args: Any, **kwargs: Any) -> None:
        """Send a reply and record its code."""
        if resp[:3] == "220" and not self.lab_log.connection.greeted:
            self.lab_log.greeted()
        elif resp[:3].isdigit():
            self.lab_log.replied(int(resp[:3]), self.lab_obeyed, resp[4:].partition("\r\n")[0])
        super().respond(resp, *args, **kwargs)

    def ftp_MFMT(self, path: str, timeval: str) -> None:  # noqa: N802 - pyftpdlib's name
        """Set a file's time (draft-somers-ftp-mfxx-04), as lftp requests after each upload.

        pyftpdlib 2.2.0 calls `datetime.utcfromtimestamp`, which is deprecated from Python 3.12 on: under ``-W error``
        every upload would end in a server error.
        """
        try:
            moment = datetime.strptime(timeval, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            self.fs.utime(path, moment.timestamp())
        except (ValueError, OSError) as error:
            self.respond(f"550 {error}.")
        else:
            self.respond(f"213 Modify={timeval}; {self.fs.fs2ftp(path)}.")

    def on_login(self, username: str) -> None:
        """Record a successful login."""
        self.lab_log.let_in()
        super().on_login(username)

    @property
    def _lab_data_expected(self) -> bool:
        ways = (self.data_channel, self._dtp_acceptor, self._dtp_connector)
        return any(way is not None and not way._closed for way in ways)  # noqa: SLF001 - pyftpdlib's

    def lab_data_ended(self) -> None:
        """The wait for a data connection has ended: drop the queued transfer, and reply if none took place."""
        if self._closed:
            return
        self._dtp_acceptor = self._dtp_connector = None
        if self.data_channel is not None and self.data_channel._closed:  # noqa: SLF001 - pyftpdlib's, like the queues
            self.data_channel = None  # the client reset it before we took it over
        if self.data_channel is None and self._lab_drop_queued():
            self.respond("425 Can't open data connection.")

    def _lab_drop_queued(self) -> bool:
        """Drop a transfer whose data connection never arrived, and close its file, which pyftpdlib leaves open."""
        files = [queue[at] for queue, at in ((self._out_dtp_queue, 2), (self._in_dtp_queue, 0)) if queue is not None]
        self._out_dtp_queue = self._in_dtp_queue = None
        for file in files:
            if file is not None:
                file.close()
        return bool(files)

    def handle_auth_failed(self, msg: str, _password: str) -> None:
        """Reply at once: pyftpdlib slows down guessing with a timer, which outlives a closed connection."""
        self.username = ""
        self.attempted_logins += 1
        self.respond(f"530 {msg}")
        if self.attempted_logins >= self.max_login_attempts:
            self.close_when_done()

    def handle_close(self) -> None:
        """The client has closed: read what it sent on the data connection earlier, then close.

        If a client closes both connections at once, the event loop may serve this one before it reads the data.
        """
        if not self._closed:
            if self._dtp_acceptor is not None:
                read_now(self._dtp_acceptor)
            if self.data_channel is not None and self.data_channel.receive:
                self.data_channel.lab_hear_out()
        super().handle_close()

    def log(self, msg: str, logfun: Any = None) -> None:
        """Discard pyftpdlib's log lines, which repeat what the record holds."""

    def log_exception(self, instance: Any) -> None:
        """Record a broken TLS stream, which the client caused; anything else is a server error."""
        error = sys.exc_info()[1]
        if isinstance(error, (SSL.Error, ConnectionError)):
            getattr(instance, "lab_log", self.lab_log).failed(f"{type(error).__name__}: {error}")
        else:
            super().log_exception(instance)

    def close(self) -> None:
        """Close, then record the end."""
        if isinstance(self.socket, TappedTls):
            self.socket.abandoned()
        super().close()
        self.lab_log.closed()


class PlainControl(RecordingControl):
    """Plain FTP: AUTH is an unknown command and gets 500."""

    dtp_handler = RecordingData


class ExplicitControl(TappedTlsMixin, TLS_FTPHandler, RecordingControl):  # type: ignore[misc]
    """Explicit FTPS (RFC 4217): AUTH TLS on the ordinary port.

    The identities are attributes of a subclass made for each server, so that two servers never share one. A control
    connection keeps the identities that were in force when it was accepted, as in a forking daemon.
    """

    dtp_handler = LabData
    identity: ClassVar[Identity]
    data_identity: ClassVar[Identity]

    def secure_connection(self, _context: SSL.Context) -> None:
        """Start TLS; pyftpdlib calls this after its 234 to AUTH.

        Anything that followed AUTH in the same segment arrived in clear. pyftpdlib would execute it as if it had
        arrived in TLS (CVE-2011-0411 is the same flaw in SMTP); here it ends the connection, like anything else that
        is not a handshake.
        """
        self.secure(self.identity)
        if self.ac_in_buffer:
            self.lab_log.failed(f"{len(self.ac_in_buffer)} bytes in clear instead of a TLS handshake")
            self.ac_in_buffer = b""
            self.handle_failed_ssl_handshake()

    def close(self) -> None:
        """Close; pyftpdlib's TLS handler bypasses our `close` while the TLS shutdown is still in progress."""
        self._lab_record_rest()
        super().close()
        if self._closed:
            self.lab_log.closed()


class ImplicitControl(ExplicitControl):
    """Implicit FTPS (never standardised; RFC 4217 appendix A): TLS first, the greeting inside."""

    _lab_greeted = False

    def handle(self) -> None:
        """Start the handshake instead of greeting."""
        self.secure(self.identity)

    def handle_ssl_established(self) -> None:
        """Greet once the handshake is complete."""
        super().handle_ssl_established()
        if not self._lab_greeted:
            self._lab_greeted = True
            self.lab_greet()


CONTROLS: dict[str, type[RecordingControl]] = {
    "plain": PlainControl,
    "explicit": ExplicitControl,
    "implicit": ImplicitControl,
}


def reply_of(code: int, text: str) -> str:
    """A reply as sent, with several lines if the text has several.

    RFC 959 section 4.2: only the last line starts with the code and a space; an inner line that starts with a number
    is indented with blanks.
    """
    *between, last = text.split("\n")
    if not between:
        return f"{code} {last}\r\n"
    padded = [f"  {line}" if line[:3].isdigit() else line for line in between[1:]]
    return "\r\n".join((f"{code}-{between[0]}", *padded, f"{code} {last}\r\n"))


def root_path(root: os.PathLike[str] | str) -> str:
    """The server's root in the form that pyftpdlib compares: absolute, without symbolic links."""
    return os.path.realpath(root)
