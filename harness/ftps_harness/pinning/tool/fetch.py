"""The single connection to the server: greeting, AUTH TLS, handshake, the certificates, QUIT. It never logs in.

One deadline covers everything, including the name lookup; a byte now and then does not extend it. The handshake is not
verified: it only reads the server's certificate, and that certificate gets pinned (TOFU).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from OpenSSL import SSL

from ftps_harness.pinning.tool.handshake import Tls
from ftps_harness.pinning.tool.target import PORTS
from ftps_harness.pinning.tool.wire import Deadline, Unfetched, Wire, connected

if TYPE_CHECKING:
    from cryptography import x509

    from ftps_harness.pinning.tool.target import Target


@dataclass(frozen=True, slots=True)
class Fetched:
    """The certificates that a server presented.

    Attributes:
        target: The server, with the protocol that it spoke.
        chain: The certificates in the order sent, the leaf first.
        tls: The protocol version, such as ``TLSv1.3``.
        signed: The server had to sign with its key: TLS 1.3, or a key exchange with (EC)DHE.
        address: The address that the name resolved to.
    """

    target: Target
    chain: tuple[x509.Certificate, ...]
    tls: str
    signed: bool
    address: str

    @property
    def leaf(self) -> x509.Certificate:
        """The server's own certificate."""
        return self.chain[0]


def fetch(target: Target, timeout: float) -> Fetched:
    """Fetch the certificate that a server presents.

    Args:
        target: The server.
        timeout: Overall time limit, in seconds.

    Raises:
        Unfetched: It cannot be reached, is not an FTPS server, or is too slow.
    """
    deadline = Deadline(target, timeout)
    with connected(target, deadline) as connection:
        wire = Wire(connection, target, deadline)
        if target.port == PORTS["implicit"] and not wire.speaks_first():
            target = replace(target, protocol="implicit")
        if target.protocol == "explicit":
            _ask_for_tls(wire, target)
        tls = Tls(wire, target)
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


def _ask_for_tls(wire: Wire, target: Target) -> None:
    try:
        wire.expect_greeting(wire.receive)
    except Unfetched as error:
        if not wire.taken:
            raise Unfetched(
                f"{error}\nAn implicit FTPS server is silent at first too: if it is one, add --implicit"
            ) from error
        raise
    wire.send(b"AUTH TLS\r\n", "answer to AUTH TLS")
    code, line = wire.reply("answer to AUTH TLS", wire.receive)
    if code != 234:
        raise Unfetched(
            f"{target}: the server refuses AUTH TLS ({line}), so there is no certificate to pin, and a login would "
            f"be sent in clear. Nothing was written"
        )
    wire.nothing_more()
