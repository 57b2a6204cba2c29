"""Sessions that break off at any byte leave nothing behind in an attacker, and its testimony says how far they got.

The tests try every byte of a session in clear and some bytes of one in TLS. With FTPS_LAB_LONG=1 in the environment
they try every byte, each with FIN and with RST (4 minutes).
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import ATTACKS_IN_TLS, EXPLICIT_ATTACKS, HELLO, IN_THE_MIDDLE, prove_sessions_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import Address, Lab

    from ftps_lab.servers import FtpsServer

LONG = bool(os.environ.get("FTPS_LAB_LONG"))


class BrokenOffError(Exception):
    """The session's byte budget is spent."""


class Session:
    """A whole session that breaks off after a number of bytes, on all connections, by FIN or by RST.

    Attributes:
        sent: How many bytes it has sent so far.
        last: Commands that were sent completely.
    """

    def __init__(self, lab: Lab, server: FtpsServer, *, budget: int, tls: bool) -> None:
        self._lab = lab
        self._budget = budget
        self._tls = tls
        self._context = lab.trusting(verify=False)
        attack = server.spec.attacker
        self._data_in_tls = tls and (attack is None or attack.data_tls != "nobody")
        self._server = server
        self._socks: list[socket.socket] = []
        self.sent = 0
        self.last: list[str] = []

    def run(self) -> None:
        """Run to the end, or until the budget is spent."""
        with contextlib.suppress(BrokenOffError, ConnectionError):
            self._control = self._open((self._server.host, self._server.port))
            if self._tls and self._server.spec.protocol == "implicit":
                self._control.start_tls()
            self._control.reply()
            if self._tls and self._server.spec.protocol == "explicit":
                self._say("AUTH TLS")
                self._control.start_tls()
            for line in self._lines():
                self._say(line)

    def leave(self, *, reset: bool) -> None:
        """End all connections at once."""
        for sock in self._socks:
            self._lab.close_with_reset(sock) if reset else sock.close()

    def _lines(self) -> Iterator[str]:
        yield from ("USER anna", f"PASS {self._lab.password}", "TYPE I")
        if self._tls:
            yield from ("PBSZ 0", "PROT P")
        for transfer in ("STOR up", "RETR three"):
            yield "PASV"
            self._transfer(transfer)
        yield "QUIT"

    def _transfer(self, line: str) -> None:
        numbers = self._reply[self._reply.index(b"(") + 1 : self._reply.index(b")")].split(b",")
        data = self._open(("127.0.0.1", int(numbers[4]) * 256 + int(numbers[5])))
        self._say(line)
        if self._data_in_tls:
            data.start_tls()
        if line.startswith("STOR"):
            data.send(b"abc")
        elif self._server.spec.attack == "clear-data":
            data.send(HELLO)
            assert data.first() == b"-"
        else:
            assert data.rest() == b"abc"
        self._socks.remove(data.sock)
        data.sock.close()
        self._control.reply()

    def _say(self, line: str) -> None:
        self._control.send(f"{line}\r\n".encode())
        self.last.append(line.split(maxsplit=1)[0])
        self._reply = self._control.reply()

    def _open(self, address: Address) -> _Channel:
        sock = socket.create_connection(address, 5)
        self._socks.append(sock)
        return _Channel(self, sock)

    def spend(self, sock: socket.socket, data: bytes) -> None:
        """Send as much as the budget allows."""
        part = data[: self._budget - self.sent]
        sock.sendall(part)
        self.sent += len(part)
        if len(part) < len(data):
            raise BrokenOffError

    @property
    def context(self) -> ssl.SSLContext:
        return self._context


class _Channel:
    """One connection of a session, in clear or in TLS."""

    def __init__(self, session: Session, sock: socket.socket) -> None:
        self.sock = sock
        self._session = session
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._heard = b""

    def start_tls(self) -> None:
        """Start TLS and discard everything received before it."""
        self._heard = b""
        self._tls = self._session.context.wrap_bio(self._incoming, self._outgoing)
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
                break
            self._flush()
            self._take()
        self._flush()

    def send(self, data: bytes) -> None:
        if self._tls is None:
            self._session.spend(self.sock, data)
        else:
            self._tls.write(data)
            self._flush()

    def reply(self) -> bytes:
        """Read one single-line reply."""
        while b"\r\n" not in self._heard:
            self._hear()
        line, self._heard = self._heard.split(b"\r\n", 1)
        return line

    def first(self) -> bytes:
        """Read the first byte of forged content; a client that reads on waits a second for the end."""
        self._hear()
        return self._heard[:1]

    def rest(self) -> bytes:
        """Read until the end."""
        with contextlib.suppress(EOFError):
            while True:
                self._hear()
        return self._heard

    def _hear(self) -> None:
        if self._tls is None:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self._heard += data
            return
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                if not (data := self._tls.read(65536)):
                    raise EOFError
                self._heard += data
                return
            self._take()

    def _take(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionAbortedError
        self._incoming.write(data)

    def _flush(self) -> None:
        self._session.spend(self.sock, self._outgoing.read())


def break_off(lab: Lab, server: FtpsServer, budget: int, *, tls: bool, reset: bool) -> Session:
    """Run one session that ends early, and check its testimony."""
    server.record()
    session = Session(lab, server, budget=budget, tls=tls)
    session.run()
    session.leave(reset=reset)
    testimony = lab.testimony(server)
    assert [c.kind for c in testimony.connections].count("control") == 1
    verbs = [command.verb for command in testimony.commands]
    assert verbs == (session.last[: len(verbs)] if reset else session.last), budget
    assert len({handshake.connection for handshake in testimony.handshakes}) == len(testimony.handshakes)
    assert testimony.logged_in or "TYPE" not in session.last
    if server.spec.attack in IN_THE_MIDDLE:
        assert testimony.behind is not None
        assert testimony.behind.logged_in or not testimony.logged_in
    return session


def break_everywhere(lab: Lab, server: FtpsServer, step: int, *, tls: bool) -> None:
    """Break off every `step` bytes, with FIN, RST or both; then check that nothing is left and a client is served."""
    whole = break_off(lab, server, 1 << 20, tls=tls, reset=False)
    assert whole.last[-1] == "QUIT"
    files, threads = lab.open_files(), threading.active_count()
    for budget in range(0, whole.sent, step):
        both = LONG or (step == 1 and server.spec.attack == "intercept")
        resets = (False, True) if both else (budget // step % 2 == 0,)
        for reset in resets:
            broken = break_off(lab, server, budget, tls=tls, reset=reset)
            assert broken.sent <= budget
            assert "QUIT" not in broken.last
    assert (lab.open_files(), threading.active_count()) == (files, threads)
    prove_sessions_over(lab, server)


@pytest.mark.long
@pytest.mark.parametrize("attack", EXPLICIT_ATTACKS)
def test_cleartext_session_cut_at_any_byte_leaves_nothing_open(lab: Lab, attack: str) -> None:
    """Login, upload, download and QUIT, cut after each byte: the testimony holds the commands sent until then."""
    break_everywhere(lab, lab.serve(attack=attack), 1, tls=False)


@pytest.mark.long
@pytest.mark.parametrize(("attack", "protocol"), ATTACKS_IN_TLS)
def test_tls_session_cut_at_any_byte_leaves_nothing_open(lab: Lab, attack: str, protocol: str) -> None:
    """The same in TLS, cut in the middle of handshakes and records."""
    step = 1 if LONG else 23 if attack == "intercept" else 37
    break_everywhere(lab, lab.serve(protocol, attack=attack), step, tls=True)
