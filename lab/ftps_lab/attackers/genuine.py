"""How an attacker in the middle reaches the genuine server: one control connection in TLS for each victim.

An attacker gets a `Genuine` from the `FtpsServer` behind it, never an address from outside: it cannot be pointed at
anything but the lab's own server, and it hangs up if the server does not show that server's certificate.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from ftps_lab.attackers.endpoint import Endpoint, How, Owner
from ftps_lab.errors import LabError
from ftps_lab.wire.memory_tls import MemoryTls, new_context

if TYPE_CHECKING:
    from collections.abc import Generator

    from ftps_lab.wire.addresses import Address


@dataclass(frozen=True, slots=True)
class Genuine:
    """The genuine server's address, protocol and certificates.

    Attributes:
        address: Its control port, on loopback or in the lab's own network.
        protocol: How TLS begins on it.
        certificates: SHA-256 fingerprints of every leaf it has ever had, upper case with colons, because it may rotate
            while an attacker connects.
    """

    address: Address
    protocol: Literal["explicit", "implicit"]
    certificates: set[str]

    def connect(self, ioloop: Any, owner: Owner, port: int) -> Endpoint:
        """Open a data connection to it."""
        return Endpoint(ioloop, _connecting((self.address[0], port)), owner, connecting=True)

    def secure(self, end: Endpoint) -> None:
        """Start TLS on a data connection. The FTP client is always the TLS client, even in active mode."""
        end.start_tls(_PinnedTls(end.raw, self.certificates))


class Reply(NamedTuple):
    """One reply (RFC 959 section 4.2), with all its lines as received."""

    code: int
    lines: tuple[bytes, ...]


class Victim(Protocol):
    """The client on whose behalf an `Upstream` talks to the genuine server."""

    def greeted(self, reply: Reply) -> None:
        """The genuine server has sent its 220."""

    def replied(self, reply: Reply) -> None:
        """The genuine server has replied to a command from the victim."""

    def abandoned(self) -> None:
        """The genuine server has closed."""


class Upstream:
    """A control connection to the genuine server: first TLS and PROT P, then the victim's commands."""

    def __init__(self, ioloop: Any, genuine: Genuine, victim: Victim) -> None:
        self._genuine = genuine
        self._victim = victim
        self._heard = b""
        self._lines: list[bytes] = []
        self._waiting: deque[bytes] = deque()
        self._dialogue: Generator[None, Reply, None] | None = self._opening()
        next(self._dialogue)
        raw = _connecting(genuine.address)
        tls = _PinnedTls(raw, genuine.certificates) if genuine.protocol == "implicit" else None
        self._raw = raw
        self._end = Endpoint(ioloop, raw, self, tls=tls, connecting=True)

    @property
    def host(self) -> str:
        """The attacker's own address on this side."""
        return str(self._raw.getsockname()[0])

    def say(self, line: bytes) -> None:
        """Send a command once TLS is up."""
        if self._dialogue is not None:
            self._waiting.append(line)
        else:
            self._end.send(line + b"\r\n")

    def protect(self) -> None:
        """Send PROT P again: the genuine server forgets it together with the login."""
        self._dialogue = self._protecting()
        next(self._dialogue)

    def close(self) -> None:
        """Hang up; repeatable."""
        self._end.close()

    def received(self, _end: Endpoint, data: bytes) -> None:
        """Split the bytes into lines, and the lines into replies."""
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._lines.append(line.removesuffix(b"\r"))
            if (reply := _reply(self._lines)) is not None:
                self._lines = []
                self._answer(reply)

    def ended(self, _end: Endpoint, _how: How) -> None:
        """Notify the victim."""
        self._victim.abandoned()

    def opened(self, _end: Endpoint) -> None:
        """Nothing to do: the genuine server's greeting comes first."""

    def drained(self, _end: Endpoint) -> None:
        """Nothing to do: commands are short."""

    def closed(self, _end: Endpoint) -> None:
        """Notify the victim, unless it already knows."""
        self._victim.abandoned()

    def _answer(self, reply: Reply) -> None:
        if self._dialogue is None:
            self._victim.replied(reply)
            return
        with contextlib.suppress(StopIteration):
            self._dialogue.send(reply)
            return
        self._dialogue = None
        while self._waiting:
            self.say(self._waiting.popleft())

    def _opening(self) -> Generator[None, Reply, None]:
        """The attacker's own commands; each `yield` waits for a reply."""
        self._victim.greeted((yield))
        if self._genuine.protocol == "explicit":
            self._end.send(b"AUTH TLS\r\n")
            _expect((yield), 234)
            self._end.start_tls(_PinnedTls(self._raw, self._genuine.certificates))
        yield from self._protecting()

    def _protecting(self) -> Generator[None, Reply, None]:
        for command in (b"PBSZ 0", b"PROT P"):
            self._end.send(command + b"\r\n")
            _expect((yield), 200)


class _PinnedTls(MemoryTls):
    """The client's side of TLS with a server that must show one of these certificates."""

    def __init__(self, raw: Any, certificates: set[str]) -> None:
        super().__init__(_client_context(), raw)
        self._certificates = certificates
        self.set_connect_state()

    def handshake_ended(self, error: str) -> None:
        """Check the certificate before anything is sent.

        Raises:
            LabError: The certificate is not the genuine server's.
        """
        if error:
            return
        shown = self.get_peer_certificate(as_cryptography=True)
        if shown is None or shown.fingerprint(hashes.SHA256()).hex(":").upper() not in self._certificates:
            raise LabError("the lab's attacker reached a server outside the lab; please report this bug")


@cache
def _client_context() -> SSL.Context:
    """A context for any version and any key: the fingerprint identifies the server."""
    context = new_context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    return context


def _connecting(address: Address) -> socket.socket:
    raw = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    raw.setblocking(False)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.connect_ex(address)
    return raw


def _reply(lines: list[bytes]) -> Reply | None:
    """The reply that these lines form, or None if more lines must follow."""
    code = lines[0][:3]
    if not code.isdigit():
        raise LabError(f"the genuine server sent an invalid FTP reply: {lines[0]!r}")
    complete = lines[0][3:4] != b"-" or (len(lines) > 1 and lines[-1][:4] == code + b" ")
    return Reply(int(code), tuple(lines)) if complete else None


def _expect(reply: Reply, code: int) -> None:
    if reply.code != code:
        raise LabError(f"the genuine server answered {reply.lines[0]!r} to the lab's attacker, not {code}")
