"""The one connection to the server: greeting, AUTH TLS, handshake, the certificates, QUIT. No login, ever.

One deadline covers all of it, the lookup of the name too: a byte now and then does not extend it. The handshake is
not verified: whoever answers is only looked at, and what was seen is what gets pinned (TOFU).
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from OpenSSL import SSL

from ftps_harness.errors import HarnessError
from ftps_harness.pinning.tool import certificate
from ftps_harness.pinning.tool.target import PORTS
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from ftps_harness.pinning.tool.target import Target

_MOST_TEXT: Final = 64 << 10
"""Bytes of replies."""
_MOST_TLS: Final = 512 << 10
"""Bytes of the handshake; OpenSSL itself takes chains of up to 100 KiB."""
_PATIENCE: Final = 1.0
"""Seconds of silence on port 990 until the server is taken for one of implicit FTPS."""
_CHUNK: Final = 16 << 10
_SHOWN: Final = 80
"""Characters of a reply that a message quotes."""

_FINAL: Final = re.compile(rb"[0-9]{3}(?: |$)")
_REPLY: Final = re.compile(rb"([0-9]{3})([ -]|$)")


Done = TypeVar("Done")


class Unfetched(HarnessError):  # noqa: N818 - the server's fault
    """No certificate could be had: why, and from whom."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server showed.

    Attributes:
        target: The server, with the protocol that it spoke.
        chain: As it was sent, the leaf first.
        tls: The protocol version, such as ``TLSv1.3``.
        signed: The server had to sign with its key: TLS 1.3, or a key exchange with (EC)DHE.
        address: Where the name led.
    """

    target: Target
    chain: tuple[x509.Certificate, ...]
    tls: str
    signed: bool
    address: str

    @property
    def leaf(self) -> x509.Certificate:
        """The server's own."""
        return self.chain[0]


def fetch(target: Target, timeout: float) -> Fetched:
    """Look at the certificate that a server shows.

    Args:
        target: The server.
        timeout: Seconds for all of it.

    Raises:
        Unfetched: It cannot be reached, is no FTPS server, or is too slow.
    """
    deadline = _Deadline(target, timeout)
    with _connected(target, deadline) as connection:
        wire = _Wire(connection, target, deadline)
        if target.port == PORTS["implicit"] and not wire.speaks_first():
            target = replace(target, protocol="implicit")
        if target.protocol == "explicit":
            _ask_for_tls(wire, target)
        tls = _Tls(wire, target)
        tls.shake_hands()
        if target.protocol == "implicit":
            wire.expect_greeting(tls.receive)  # proves that it is FTP
        chain = tls.chain()
        version, signed = tls.version, tls.signed
        address = connection.getpeername()[0]
        with contextlib.suppress(OSError, SSL.Error, Unfetched):
            tls.send(b"QUIT\r\n")
            tls.close()
    return Fetched(target, chain, version, signed, address)


@dataclass(slots=True)
class _Deadline:
    """The end of it all, on the monotonic clock."""

    target: Target
    timeout: float
    end: float = 0.0

    def __post_init__(self) -> None:
        self.end = time.monotonic() + self.timeout

    def left(self, waited_for: str) -> float:
        """Seconds that are left.

        Raises:
            Unfetched: None are.
        """
        left = self.end - time.monotonic()
        if left <= 0:
            raise Unfetched(f"{self.target}: no {waited_for} within {self.timeout:g} s; --timeout gives it longer")
        return left


def _connected(target: Target, deadline: _Deadline) -> socket.socket:
    """A connection to the first of the host's addresses that takes one."""
    problem: OSError | None = None
    for family, address in _addresses(target, deadline):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(deadline.left("connection"))
            connection.connect(address)
        except OSError as error:
            connection.close()
            problem = error
        except BaseException:
            connection.close()
            raise
        else:
            connection.setblocking(False)
            return connection
    deadline.left("connection")
    assert problem is not None  # there is at least one address
    raise Unfetched(f"{target}: cannot connect: {problem.strerror or problem}")


def _addresses(target: Target, deadline: _Deadline) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Look the name up in a thread: the system's resolver knows no deadline."""
    found: list[object] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(deadline.left("address"))
    if not found:
        deadline.left("address")
        raise Unfetched(f"{target}: the name could not be looked up")
    if isinstance(found[0], BaseException):
        why = getattr(found[0], "strerror", None) or found[0]
        raise Unfetched(f"{target}: the name cannot be looked up: {why}")
    return [(each[0], each[4]) for each in found]  # type: ignore[index]  # as getaddrinfo gives them


class _Wire:
    """A socket with a deadline, and a bound on what it takes from the server."""

    def __init__(self, connection: socket.socket, target: Target, deadline: _Deadline) -> None:
        self._socket = connection
        self._target = target
        self._deadline = deadline
        self._text = b""
        self.taken = 0

    def speaks_first(self) -> bool:
        """Whether the server says something, as one of explicit FTPS does, without having heard anything."""
        wait = min(_PATIENCE, self._deadline.left("greeting") / 2)
        return bool(select.select([self._socket], [], [], wait)[0])

    def receive(self, what: str) -> bytes:
        """The next bytes; none at the end."""
        while True:
            readable, _, _ = select.select([self._socket], [], [], self._deadline.left(what))
            if not readable:
                continue
            try:
                data = self._socket.recv(_CHUNK)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Unfetched(f"{self._target}: the connection broke: {error.strerror or error}") from error
            self.taken += len(data)
            return data

    def send(self, data: bytes, what: str) -> None:
        """Send all of it."""
        while data:
            _, writable, _ = select.select([], [self._socket], [], self._deadline.left(what))
            if writable:
                try:
                    data = data[self._socket.send(data) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise Unfetched(f"{self._target}: the connection broke: {error.strerror or error}") from error

    def reply(self, what: str, receive: Callable[[str], bytes]) -> tuple[int, str]:
        """One reply of possibly several lines (RFC 959 section 4.2): its code, and its last line to quote."""
        code = b""
        while True:
            line, end, rest = self._text.partition(b"\n")
            if end:
                self._text = rest
                line = line.rstrip(b"\r")
                if not code:
                    match = _REPLY.match(line)
                    if match is None:
                        raise self._not_ftp(line)
                    code = match[1]
                if _FINAL.match(line) and line[:3] == code:
                    return int(code), _quoted(line)
                continue
            if len(self._text) > _MOST_TEXT or self.taken > _MOST_TEXT + _MOST_TLS:
                raise Unfetched(f"{self._target}: the {what} is longer than {_MOST_TEXT >> 10} KiB")
            data = receive(what)
            if not data:
                if self._text:
                    raise self._not_ftp(self._text)
                raise Unfetched(f"{self._target}: the server closed the connection; there was no {what}")
            self._text += data

    def expect_greeting(self, receive: Callable[[str], bytes]) -> None:
        """Take the greeting; 120 says that another one follows (RFC 959 section 5.4)."""
        code = 120
        while code == 120:
            code, line = self.reply("greeting", receive)
            if self.taken > _MOST_TEXT + _MOST_TLS:
                raise Unfetched(f"{self._target}: the greeting does not end")
        if code != 220:
            raise Unfetched(f"{self._target}: the server does not serve: it said {line}")

    def nothing_more(self) -> None:
        """What came in clear behind the answer to AUTH was not sent by the TLS server: somebody injected it."""
        if self._text:
            raise Unfetched(f"{self._target}: more than one answer to AUTH TLS came in clear: {_quoted(self._text)}")

    def _not_ftp(self, line: bytes) -> Unfetched:
        hint = "; it may be implicit FTPS (--implicit)" if line.startswith((b"\x15", b"\x16")) else ""
        return Unfetched(f"{self._target}: not an FTP server: it said {_quoted(line)}{hint}")


def _ask_for_tls(wire: _Wire, target: Target) -> None:
    try:
        wire.expect_greeting(wire.receive)
    except Unfetched as error:
        if not wire.taken:
            raise Unfetched(f"{error}\nAn implicit FTPS server waits too: then add --implicit") from error
        raise
    wire.send(b"AUTH TLS\r\n", "answer to AUTH TLS")
    code, line = wire.reply("answer to AUTH TLS", wire.receive)
    if code != 234:
        raise Unfetched(
            f"{target}: the server refuses AUTH TLS ({line}): there is no certificate to pin, and a login would go out "
            "in clear. Nothing was written"
        )
    wire.nothing_more()


class _Tls:
    """TLS of ours over a `_Wire`, unverified."""

    def __init__(self, wire: _Wire, target: Target) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        # Whatever the server has is to be seen; whether lftp likes it is lftp's business.
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()
        if not target.is_address:
            self._tls.set_tlsext_host_name(target.host.encode("ascii"))
        self._wire = wire
        self._target = target

    def shake_hands(self) -> None:
        """Complete the handshake."""
        self._until_done(self._tls.do_handshake, "end of the TLS handshake")

    def receive(self, what: str) -> bytes:
        """The next bytes inside TLS; none at the end."""
        try:
            data: bytes = self._until_done(lambda: self._tls.recv(_CHUNK), what)
        except SSL.ZeroReturnError:
            return b""
        return data

    def send(self, data: bytes) -> None:
        """Send bytes inside TLS."""
        self._tls.sendall(data)
        self._flush()

    def close(self) -> None:
        """Say that nothing follows."""
        self._tls.shutdown()
        self._flush()

    @property
    def version(self) -> str:
        """The version that was agreed upon."""
        return str(self._tls.get_protocol_version_name())

    @property
    def signed(self) -> bool:
        """Whether the key exchange needs a signature of the server."""
        cipher = self._tls.get_cipher_name() or ""
        return cipher.startswith("TLS_") or "DHE" in cipher

    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates in the order in which they were sent."""
        found = self._tls.get_peer_cert_chain() or []
        if not found:
            raise Unfetched(f"{self._target}: the server showed no certificate")
        try:
            chain = tuple(each.to_cryptography() for each in found)
            certificate.require_readable(chain[0])
        except ValueError as error:
            raise Unfetched(
                f"{self._target}: the server's certificate cannot be read: {harmless(str(error))}"
            ) from error

        return chain

    def _until_done(self, action: Callable[[], Done], what: str) -> Done:
        while True:
            try:
                done = action()
            except SSL.WantReadError:
                self._flush()
                if self._wire.taken > _MOST_TEXT + _MOST_TLS:
                    raise Unfetched(f"{self._target}: too much was sent before the {what}") from None
                data = self._wire.receive(what)
                if not data:
                    raise Unfetched(f"{self._target}: the connection was closed before the {what}") from None
                self._tls.bio_write(data)
            except SSL.ZeroReturnError:
                raise
            except SSL.Error as error:
                with contextlib.suppress(OSError, Unfetched):
                    self._flush()
                raise Unfetched(f"{self._target}: TLS failed: {_reason(error)}") from error
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        while True:
            try:
                data = self._tls.bio_read(_CHUNK)
            except SSL.WantReadError:
                return
            self._wire.send(data, "end of the TLS handshake")


def _reason(error: SSL.Error) -> str:
    """OpenSSL's own words, without its places in the source."""
    reasons = [each[-1] for each in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    return harmless("; ".join(filter(None, reasons)) or type(error).__name__)


def _quoted(line: bytes) -> str:
    """The beginning of what a server said, on one line."""
    text = harmless(line[: _SHOWN * 4]).replace("\n", "\\n")
    return f"“{text[:_SHOWN]}”" if text else "an empty line"
