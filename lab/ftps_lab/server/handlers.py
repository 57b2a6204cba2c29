"""pyftpdlib's control connections, made to witness: what arrives, and on which channel; what they serve, and to whom.

pyftpdlib does the protocol. Here it gets the tap beneath it, its own TLS identity for each server, implicit FTPS, and
a record of what happens. Method names such as `ftp_USER` and `handle_ssl_established` are pyftpdlib's.
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
"""Between two bytes of a greeting that is sent in pieces."""

_OPENERS = frozenset({"PASV", "EPSV", "PORT", "EPRT"})


class Doorman:
    """The authorizer: the right password for any user, or for one alone; anonymous with any (RFC 1635)."""

    def __init__(self, root: str, password: str, user: str | None = None) -> None:
        self._root = root
        self._password = password
        self._user = user

    def validate_authentication(self, username: str, password: str, handler: Any) -> None:
        """Raises AuthenticationFailed unless user and password are right."""
        if username == "anonymous":
            return
        if password != self._password or self._user not in {None, username} or not handler.lab_in_utf8:
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


class RecordingControl(FTPHandler):  # type: ignore[misc]
    """A control connection: every command with its channel, every password, every reply's code."""

    banner = "ftps-lab ready."
    abstracted_fs = LabFilesystem
    use_sendfile = False  # it would send past the tap
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
    """Which attacker this is, for the record: it stands with the class that acts, not with what was asked for."""
    lab_data_peer = ("", 0)
    lab_obeyed: int | None = None
    """The command that replies are to, where that need not be the newest."""
    lab_in_utf8 = True
    """Everything that was said since USER was in UTF-8."""
    _lab_dropped = b""
    _lab_pieces = b""
    """What is left of the greeting to be sent byte by byte."""
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
        """Something arrived: a command, or TLS where FTP in clear is spoken.

        Whoever types ``ftps://`` for a port of explicit FTPS begins with a ClientHello. It is recorded as a handshake
        that failed, and nothing on this connection is a command any more. The client learns it from the greeting.
        """
        if not self._lab_met_tls and not self._lab_begins_tls():
            super().handle_read()
        elif self.recv(65536) and not self._lab_met_tls:
            self._lab_met_tls = True
            self.lab_log.handshake(Handshake(self.lab_log.number, False, "", "", None, "", TLS_IN_CLEAR))

    def _lab_begins_tls(self) -> bool:
        """Whether a client begins TLS, unasked, where a command could begin."""
        in_clear = isinstance(self.socket, TappedSocket) and not self.ac_in_buffer and not self._in_buffer
        return in_clear and self.socket.peek() == HANDSHAKE

    def decode(self, line: bytes) -> str:
        """A command as text, without a loss: UTF-8 (RFC 2640 section 2.2), else Latin-1, as old clients have it.

        The server's own user and password are in UTF-8: the same letters in Latin-1 are other ones.
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
        """Part of a line. pyftpdlib drops one that is too long, and whoever sent it has sent it."""
        line = b"".join((*self._in_buffer, data))
        super().collect_incoming_data(data)
        if not self._in_buffer:
            self._lab_dropped += line[: CAPTURED - len(self._lab_dropped)]

    def _lab_record_rest(self) -> None:
        """What an impostor was told in TLS and is no command: a line that was too long, or that has no end."""
        rest = b"".join((self._lab_dropped, *self._in_buffer, self.ac_in_buffer))
        self._lab_dropped, self._in_buffer, self.ac_in_buffer = b"", [], b""
        if rest and self.lab_recorder.role == "impostor" and self._ssl_established:
            self.lab_log.command(Command(self.lab_log.number, "", rest[:CAPTURED].decode("latin-1"), "tls"))

    def handle(self) -> None:
        """A client is here, and nothing stands between it and the greeting."""
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
        """Send a reply. What is left of the greeting goes first: the client did not wait for its end."""
        if self._lab_pieces:
            rest, self._lab_pieces = self._lab_pieces, b""
            AsyncChat.push(self, rest)
        super().push(data)

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
            self.respond("501 No file has such a name.")  # the operating system's calls would raise
        elif cmd in TRANSFERS and self.authenticated and not self._lab_data_expected:
            self.respond("425 Use PASV or PORT first.")  # pyftpdlib would answer 150 and wait for ever
        else:
            super().pre_process_command(line, cmd, arg)

    def respond(self, resp: str, *args: Any, **kwargs: Any) -> None:
        """Record the code of the reply."""
        if resp[:3] == "220" and not self.lab_log.connection.greeted:
            self.lab_log.greeted()
        elif resp[:3].isdigit():
            self.lab_log.replied(int(resp[:3]), self.lab_obeyed, resp[4:].partition("\r\n")[0])
        super().respond(resp, *args, **kwargs)

    def ftp_MFMT(self, path: str, timeval: str) -> None:  # noqa: N802 - pyftpdlib's name
        """Set a file's time (draft-somers-ftp-mfxx-04), which lftp asks for after each upload.

        pyftpdlib 2.2.0 asks `datetime.utcfromtimestamp`, which is deprecated from Python 3.12 on: under ``-W error``
        every upload would end in an error of the server.
        """
        try:
            moment = datetime.strptime(timeval, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            self.fs.utime(path, moment.timestamp())
        except (ValueError, OSError) as error:
            self.respond(f"550 {error}.")
        else:
            self.respond(f"213 Modify={timeval}; {self.fs.fs2ftp(path)}.")

    def on_login(self, username: str) -> None:
        """The password was right."""
        self.lab_log.let_in()
        super().on_login(username)

    @property
    def _lab_data_expected(self) -> bool:
        ways = (self.data_channel, self._dtp_acceptor, self._dtp_connector)
        return any(way is not None and not way._closed for way in ways)  # noqa: SLF001 - pyftpdlib's

    def lab_data_ended(self) -> None:
        """The wait for a data connection has ended: forget what waited, and answer if nothing came of it."""
        if self._closed:
            return
        self._dtp_acceptor = self._dtp_connector = None
        if self.data_channel is not None and self.data_channel._closed:  # noqa: SLF001 - pyftpdlib's, like the queues
            self.data_channel = None  # the client reset it before it was ours
        if self.data_channel is None and self._lab_drop_queued():
            self.respond("425 Can't open data connection.")

    def _lab_drop_queued(self) -> bool:
        """Forget a transfer whose data connection never came, and close its file, which pyftpdlib does not."""
        files = [queue[at] for queue, at in ((self._out_dtp_queue, 2), (self._in_dtp_queue, 0)) if queue is not None]
        self._out_dtp_queue = self._in_dtp_queue = None
        for file in files:
            if file is not None:
                file.close()
        return bool(files)

    def handle_auth_failed(self, msg: str, _password: str) -> None:
        """Answer at once: pyftpdlib slows down guessing by a timer, which outlives a connection that has closed."""
        self.username = ""
        self.attempted_logins += 1
        self.respond(f"530 {msg}")
        if self.attempted_logins >= self.max_login_attempts:
            self.close_when_done()

    def handle_close(self) -> None:
        """The client has closed: take what it had sent on the data connection before, then close.

        A client that closes both at once has sent it, and the event loop may come to this connection first.
        """
        if not self._closed:
            if self._dtp_acceptor is not None:
                read_now(self._dtp_acceptor)
            if self.data_channel is not None and self.data_channel.receive:
                self.data_channel.lab_hear_out()
        super().handle_close()

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
        self._lab_record_rest()
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
            self.lab_greet()


CONTROLS: dict[str, type[RecordingControl]] = {
    "plain": PlainControl,
    "explicit": ExplicitControl,
    "implicit": ImplicitControl,
}


def reply_of(code: int, text: str) -> str:
    """A reply as it is sent, of several lines where the text has them.

    RFC 959 section 4.2: the last line alone begins with the code and a space; a line in between that begins with a
    number gets blanks in front.
    """
    *between, last = text.split("\n")
    if not between:
        return f"{code} {last}\r\n"
    padded = [f"  {line}" if line[:3].isdigit() else line for line in between[1:]]
    return "\r\n".join((f"{code}-{between[0]}", *padded, f"{code} {last}\r\n"))


def root_path(root: os.PathLike[str] | str) -> str:
    """The server's root the way pyftpdlib compares paths: absolute, without symbolic links."""
    return os.path.realpath(root)
