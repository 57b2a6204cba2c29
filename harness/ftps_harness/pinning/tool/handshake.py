"""TLS over our own connection, unverified: it only reads the server's certificate."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from OpenSSL import SSL

from ftps_harness.pinning.tool import certificate
from ftps_harness.pinning.tool.wire import CHUNK, MOST, Unfetched
from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from ftps_harness.pinning.tool.target import Target
    from ftps_harness.pinning.tool.wire import Wire

Done = TypeVar("Done")


class Tls:
    """Our own TLS over a `Wire`, unverified."""

    def __init__(self, wire: Wire, target: Target) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        # Accept everything that the server has; lftp decides later whether to trust it.
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
        """The next bytes inside TLS; empty at the end."""
        try:
            data: bytes = self._until_done(lambda: self._tls.recv(CHUNK), what)
        except SSL.ZeroReturnError:
            return b""
        return data

    def send(self, data: bytes) -> None:
        """Send bytes inside TLS."""
        self._tls.sendall(data)
        self._flush()

    def close(self) -> None:
        """Send close_notify."""
        self._tls.shutdown()
        self._flush()

    @property
    def version(self) -> str:
        """The negotiated version."""
        return str(self._tls.get_protocol_version_name())

    @property
    def signed(self) -> bool:
        """Whether the key exchange needs the server's signature."""
        cipher = self._tls.get_cipher_name() or ""
        return cipher.startswith("TLS_") or "DHE" in cipher

    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates in the order in which the server sent them."""
        found = self._tls.get_peer_cert_chain() or []
        if not found:
            raise Unfetched(f"{self._target}: the server sent no certificate")
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
                if self._wire.taken > MOST:
                    raise Unfetched(f"{self._target}: the server sent too much data before the {what}") from None
                data = self._wire.receive(what)
                if not data:
                    raise Unfetched(f"{self._target}: the server closed the connection before the {what}") from None
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
                data = self._tls.bio_read(CHUNK)
            except SSL.WantReadError:
                return
            self._wire.send(data, "end of the TLS handshake")


def _reason(error: SSL.Error) -> str:
    """OpenSSL's message, without source locations."""
    reasons = [each[-1] for each in error.args[0]] if error.args and isinstance(error.args[0], list) else []
    return harmless("; ".join(filter(None, reasons)) or type(error).__name__)
