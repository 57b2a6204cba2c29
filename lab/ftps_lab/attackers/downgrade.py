"""Attackers who sit on the path to a genuine server and spoil its TLS: none of them needs a key or a certificate.

Each is the genuine server's control connection with one answer changed, which is what somebody who can change bytes on
the way to it amounts to. `attack_reply` and `attack_how` are attributes of the subclass that is made for each server.
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
"""What an attacker sends in clear in the place of a listing or of a file."""

INJECTED = (
    "200 Forged before TLS.",
    "331 Forged before TLS.",
    "230 Forged before TLS.",
    "200 Forged before TLS.",
    "534 Forged before TLS: no protection of the data channel.",
)
"""Replies sent in clear behind the 234 to AUTH, in one segment with it. Whoever keeps them takes the last ones for the
replies to PBSZ and PROT, and goes on to transfer in clear on a control connection that is in order."""


_PATIENCE = 1.0
"""Seconds that a client has for beginning a TLS handshake on a data connection, and for ending it."""


def _failed(connection: int, identity: Identity, error: str) -> Handshake:
    """A handshake that the attacker broke."""
    return Handshake(connection, False, "", "", None, identity.certificate, error)


class AuthRefused(ExplicitControl):
    """AUTH is refused; the rest of the server is in order, and waits for a password in clear."""

    lab_attack = "refuse-auth"
    attack_reply: ClassVar[int]

    def ftp_AUTH(self, _line: str) -> None:  # noqa: N802 - pyftpdlib's name, as below
        """Refuse; 421 also closes the connection, as RFC 959 section 4.2 has it."""
        self.lab_log.did(str(self.attack_reply))
        self.respond(f"{self.attack_reply} AUTH is refused.")
        if self.attack_reply == 421:
            self.close_when_done()


class DroppedAtAuth(ExplicitControl):
    """Whoever says AUTH is cut off."""

    lab_attack = "drop-at-auth"

    def ftp_AUTH(self, _line: str) -> None:  # noqa: N802
        """Close without an answer."""
        self.lab_log.did(self.lab_attack)
        self.end()


class HandshakeBroken(ExplicitControl):
    """AUTH is accepted, and the client's first TLS record answered with something that is no handshake."""

    lab_attack = "break-handshake"
    attack_how: ClassVar[str]
    _lab_awaited = _lab_broken = False

    def secure_connection(self, _context: Any) -> None:
        """After the 234: wait for the ClientHello, in whose place something may have come already."""
        self._lab_awaited = True
        if self.ac_in_buffer:
            self.ac_in_buffer = b""
            self._lab_break()

    def handle_read(self) -> None:
        """The ClientHello arrived. Behind a text the client may go on in clear; its alerts are passed over."""
        if self._lab_awaited or (self._lab_broken and self.socket.peek() in tls.TYPES):
            if self.recv(65536) and self._lab_awaited:
                self._lab_break()
        else:
            super().handle_read()

    def close(self) -> None:
        """A handshake that never began has failed."""
        if self._lab_awaited:
            self._lab_tell("closed before the handshake was finished")
        super().close()

    def _lab_break(self) -> None:
        self.lab_log.did(self.attack_how)
        if self.attack_how == "text":
            self.push(REFUSAL_IN_CLEAR)
            self._lab_tell("the attacker answered the ClientHello with text in clear")
        elif self.attack_how == "alert":
            with contextlib.suppress(OSError):  # the client is gone already
                self.socket.send(_HANDSHAKE_FAILURE)
            self.lab_log.alert("sent", "fatal", "handshake_failure")
            self._lab_tell("the attacker answered the ClientHello with a fatal alert")
        else:
            self._lab_tell("the attacker closed the connection after the ClientHello")
        if self.attack_how != "text":
            self.end()

    def _lab_tell(self, error: str) -> None:
        self._lab_awaited, self._lab_broken = False, True
        self.lab_log.handshake(_failed(self.lab_log.number, self.identity, error))


class InjectedBeforeTls(ExplicitControl):
    """Replies of the attacker's in clear, right behind the 234 to AUTH: injection into STARTTLS (CVE-2011-0411)."""

    lab_attack = "inject-before-tls"

    def respond(self, resp: str, *args: Any, **kwargs: Any) -> None:
        """Behind the reply to AUTH, add `INJECTED` to the same segment."""
        if resp.startswith("234 "):  # RFC 4217 section 4: nothing else is answered so
            self.lab_log.did(self.lab_attack)
            resp = "\r\n".join((resp, *INJECTED))
        super().respond(resp, *args, **kwargs)


class _ProtRefused:
    """PROT is refused, as RFC 4217 section 9 lets a server do: the data channel stays in clear."""

    lab_attack = "refuse-prot"
    attack_reply: ClassVar[int]
    lab_log: Any
    respond: Any
    close_when_done: Any

    def ftp_PROT(self, _line: str) -> None:  # noqa: N802
        """Refuse; 421 closes here as well."""
        self.lab_log.did(str(self.attack_reply))
        self.respond(f"{self.attack_reply} PROT is refused.")
        if self.attack_reply == 421:
            self.close_when_done()


class ProtRefused(_ProtRefused, ExplicitControl):
    """Explicit FTPS."""


class ProtRefusedImplicit(_ProtRefused, ImplicitControl):
    """Implicit FTPS."""


class ClearData(RecordingData):
    """A data connection in clear though PROT P was accepted: the attacker's own bytes to a download, none to an upload.

    A TLS handshake of the client's is no content; whatever else comes is.
    """

    _lab_refused = _lab_done = False

    def readable(self) -> bool:
        """Also before a transfer was asked for: pyftpdlib closes a plain data connection whose client speaks first."""
        return not self._closed

    def handle_read_event(self) -> None:
        """Content is taken like any, a handshake answered in clear."""
        begins = not self.receive or not self.lab_size
        if self._lab_refused or (begins and self._lab_raw.peek() == tls.HANDSHAKE):
            self._lab_refuse()
        elif not self.receive:
            self.handle_close()  # a client that has nothing to say here, and says it, or leaves
        else:
            super().handle_read()

    def handle_close(self) -> None:
        """The client has closed: an upload that it wanted in TLS did not come."""
        if not self._initialized:
            self.close()  # nobody asked for a transfer, nobody waits for an answer
        elif self._lab_refused and self.receive:
            self.lab_fail("426 No TLS here; transfer aborted.")
        else:
            super().handle_close()

    def close_when_done(self) -> None:
        """The attacker's bytes go out when the client's handshake was heard, and the client closes first.

        Were the 226 on its way before, what lftp says would be a race between its two connections. A client that sends
        no handshake, or reads on, gets its end a little later.
        """
        self._lab_done = True
        self.modify_ioloop_events(self.ioloop.READ | (self.ioloop.WRITE if self._lab_refused else 0))
        self.call_later(_PATIENCE, self._lab_end)

    def enable_receiving(self, *args: Any) -> None:
        """An upload begins; the client may have begun its handshake before."""
        super().enable_receiving(*args)
        if self._lab_refused:
            self._lab_answer()

    def _lab_end(self) -> None:
        super().close_when_done()
        self.modify_ioloop_events(self.ioloop.READ | self.ioloop.WRITE)

    def _lab_answer(self) -> None:
        with contextlib.suppress(OSError):  # the client is gone: reading says so
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
    """PROT P is accepted, and the data connections are in clear all the same."""

    lab_attack = "clear-data"
    dtp_handler = ClearData

    def push_dtp_data(self, data: Any, isproducer: bool = False, file: Any = None, cmd: Any = None) -> None:
        """The attacker's bytes in the place of what the client asked for, which nobody on the path can know."""
        del data, isproducer
        if file is not None:
            file.close()
        super().push_dtp_data(FORGED, isproducer=False, file=None, cmd=cmd)  # type: ignore[misc]


class DataInClear(_DataInClear, ExplicitControl):
    """Explicit FTPS."""


class DataInClearImplicit(_DataInClear, ImplicitControl):
    """Implicit FTPS."""
