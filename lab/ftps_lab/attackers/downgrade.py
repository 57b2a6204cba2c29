"""On-path attackers that spoil a genuine server's TLS: none of them needs a key or a certificate.

Each is the genuine server's control connection with one answer changed, which is all that an attacker who can change
bytes in transit needs. `attack_reply` and `attack_how` are attributes of the subclass that is made for each server.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from ftps_lab.server.data import RecordingData
from ftps_lab.server.handlers import ExplicitControl, ImplicitControl
from ftps_lab.testimony import Handshake, Transfer
from ftps_lab.wire import tls

if TYPE_CHECKING:
    from ftps_lab.server.channel import Identity

_HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
"""A fatal alert handshake_failure(40) in a record of its own (RFC 8446 section 6.2)."""

REFUSAL_IN_CLEAR = "454 TLS is not available at the moment.\r\n"

FORGED = b"-rw-r--r--   1 nobody   nobody         20 Jan  1 00:00 forged-by-the-attacker\r\n"
"""What an attacker sends in clear instead of a listing or a file."""

INJECTED = (
    "200 Forged before TLS.",
    "331 Forged before TLS.",
    "230 Forged before TLS.",
    "200 Forged before TLS.",
    "534 Forged before TLS: no protection of the data channel.",
)
"""Replies sent in clear right after the 234 to AUTH, in the same segment. A client that keeps them takes the last ones
for the replies to PBSZ and PROT, and then transfers in clear over an otherwise intact control connection."""


_PATIENCE = 1.0
"""Seconds that a client has to start a TLS handshake on a data connection, and to finish it."""


def _failed(connection: int, identity: Identity, error: str) -> Handshake:
    """A handshake that the attacker broke."""
    return Handshake(connection, False, "", "", None, identity.certificate, error)


class AuthRefused(ExplicitControl):
    """Refuses AUTH; the rest of the server works, and waits for a password in clear."""

    lab_attack = "refuse-auth"
    attack_reply: ClassVar[int]

    def ftp_AUTH(self, _line: str) -> None:  # noqa: N802 - pyftpdlib's name, as below
        """Refuse; 421 also closes the connection (RFC 959 section 4.2)."""
        self.lab_log.did(str(self.attack_reply))
        self.respond(f"{self.attack_reply} AUTH is refused.")
        if self.attack_reply == 421:
            self.close_when_done()


class DroppedAtAuth(ExplicitControl):
    """Closes the connection on AUTH."""

    lab_attack = "drop-at-auth"

    def ftp_AUTH(self, _line: str) -> None:  # noqa: N802
        """Close without a reply."""
        self.lab_log.did(self.lab_attack)
        self.end()


class HandshakeBroken(ExplicitControl):
    """Accepts AUTH, then answers the client's first TLS record with something other than a handshake."""

    lab_attack = "break-handshake"
    attack_how: ClassVar[str]
    _lab_awaited = _lab_broken = False

    def secure_connection(self, _context: Any) -> None:
        """After the 234: wait for the ClientHello; something else may already have arrived instead."""
        self._lab_awaited = True
        if self.ac_in_buffer:
            self.ac_in_buffer = b""
            self._lab_break()

    def handle_read(self) -> None:
        """The ClientHello arrived. After a text the client may continue in clear; its alerts are skipped."""
        if self._lab_awaited or (self._lab_broken and self.socket.peek() in tls.TYPES):
            if self.recv(65536) and self._lab_awaited:
                self._lab_break()
        else:
            super().handle_read()

    def close(self) -> None:
        """Record a handshake that never began as failed."""
        if self._lab_awaited:
            self._lab_record_failure("closed before the handshake was finished")
        super().close()

    def _lab_break(self) -> None:
        self.lab_log.did(self.attack_how)
        if self.attack_how == "text":
            self.push(REFUSAL_IN_CLEAR)
            self._lab_record_failure("the attacker answered the ClientHello with text in clear")
        elif self.attack_how == "alert":
            with contextlib.suppress(OSError):  # the client is already gone
                self.socket.send(_HANDSHAKE_FAILURE)
            self.lab_log.alert("sent", "fatal", "handshake_failure")
            self._lab_record_failure("the attacker answered the ClientHello with a fatal alert")
        else:
            self._lab_record_failure("the attacker closed the connection after the ClientHello")
        if self.attack_how != "text":
            self.end()

    def _lab_record_failure(self, error: str) -> None:
        self._lab_awaited, self._lab_broken = False, True
        self.lab_log.handshake(_failed(self.lab_log.number, self.identity, error))


class InjectedBeforeTls(ExplicitControl):
    """Sends its own replies in clear right after the 234 to AUTH: STARTTLS injection (CVE-2011-0411)."""

    lab_attack = "inject-before-tls"

    def respond(self, resp: str, *args: Any, **kwargs: Any) -> None:
        """Append `INJECTED` to the reply to AUTH, in the same segment."""
        if resp.startswith("234 "):  # RFC 4217 section 4: only AUTH gets this reply
            self.lab_log.did(self.lab_attack)
            resp = "\r\n".join((resp, *INJECTED))
        super().respond(resp, *args, **kwargs)


class _ProtRefused:
    """Refuses PROT, as RFC 4217 section 9 allows: the data channel stays in clear."""

    lab_attack = "refuse-prot"
    attack_reply: ClassVar[int]
    lab_log: Any
    respond: Any
    close_when_done: Any

    def ftp_PROT(self, _line: str) -> None:  # noqa: N802
        """Refuse; 421 also closes the connection."""
        self.lab_log.did(str(self.attack_reply))
        self.respond(f"{self.attack_reply} PROT is refused.")
        if self.attack_reply == 421:
            self.close_when_done()


class ProtRefused(_ProtRefused, ExplicitControl):
    """Explicit FTPS."""


class ProtRefusedImplicit(_ProtRefused, ImplicitControl):
    """Implicit FTPS."""


class ClearData(RecordingData):
    """A data connection in clear although PROT P was accepted: a download gets the attacker's bytes, an upload none.

    A TLS handshake from the client is not content; anything else is.
    """

    _lab_refused = _lab_done = False

    def readable(self) -> bool:
        """Read even before a transfer command: pyftpdlib closes a plain data connection whose client speaks first."""
        return not self._closed

    def handle_read_event(self) -> None:
        """Receive content as usual; answer a handshake in clear."""
        begins = not self.receive or not self.lab_size
        if self._lab_refused or (begins and self._lab_raw.peek() == tls.HANDSHAKE):
            self._lab_refuse()
        elif not self.receive:
            self.handle_close()  # data that no transfer expects, or the client has left
        else:
            super().handle_read()

    def handle_close(self) -> None:
        """The client has closed: an upload that it wanted in TLS never arrived."""
        if not self._initialized:
            self.close()  # no transfer was requested, so no reply is due
        elif self._lab_refused and self.receive:
            self.lab_fail("426 No TLS here; transfer aborted.")
        else:
            super().handle_close()

    def close_when_done(self) -> None:
        """Send the attacker's bytes once the client's handshake has arrived, and let the client close first.

        If the 226 were sent earlier, lftp's message would depend on a race between its two connections. If a client
        sends no handshake, or keeps reading, the connection closes a little later.
        """
        self._lab_done = True
        self.modify_ioloop_events(self.ioloop.READ | (self.ioloop.WRITE if self._lab_refused else 0))
        self.call_later(_PATIENCE, self._lab_end)

    def enable_receiving(self, *args: Any) -> None:
        """Start an upload; the client may already have started its handshake."""
        super().enable_receiving(*args)
        if self._lab_refused:
            self._lab_answer()

    def _lab_end(self) -> None:
        super().close_when_done()
        self.modify_ioloop_events(self.ioloop.READ | self.ioloop.WRITE)

    def _lab_answer(self) -> None:
        with contextlib.suppress(OSError):  # the client is gone: the next read reports it
            self._lab_raw.send(FORGED)

    def _lab_refuse(self) -> None:
        try:
            heard = self._lab_raw.recv(65536)
        except OSError:
            heard = b""
        if not heard:
            self.handle_close()
        elif not self._lab_refused:
            self._lab_refused = True
            error = "the attacker answered the ClientHello in clear"
            self.lab_log.handshake(_failed(self.lab_log.number, self.cmd_channel.data_identity, error))
            if self.receive:
                self._lab_answer()
            elif self._lab_done:
                self.modify_ioloop_events(self.ioloop.READ | self.ioloop.WRITE)

    def _lab_transfer(self, verb: str) -> Transfer:
        self.lab_log.did("clear-data")
        made = super()._lab_transfer(verb)
        return replace(made, forged=made.direction == "download")


class _DataInClear:
    """Accepts PROT P but leaves the data connections in clear."""

    lab_attack = "clear-data"
    dtp_handler = ClearData

    def push_dtp_data(self, data: Any, isproducer: bool = False, file: Any = None, cmd: Any = None) -> None:
        """Send the attacker's bytes instead of the requested content, which an on-path attacker cannot know."""
        del data, isproducer
        if file is not None:
            file.close()
        super().push_dtp_data(FORGED, isproducer=False, file=None, cmd=cmd)  # type: ignore[misc]


class DataInClear(_DataInClear, ExplicitControl):
    """Explicit FTPS."""


class DataInClearImplicit(_DataInClear, ImplicitControl):
    """Implicit FTPS."""
