"""TLS sessions in memory, with the raw bytes that a relay would record."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.wire import tls as wiretls

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@dataclass
class Tapped:
    """A TLS client and server in memory, and the bytes between them."""

    client: ssl.SSLObject
    server: ssl.SSLObject
    pipes: tuple[ssl.MemoryBIO, ssl.MemoryBIO, ssl.MemoryBIO, ssl.MemoryBIO]
    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)
    marks: list[tuple[int, int]] = field(default_factory=list)

    def carry(self) -> None:
        client_in, client_out, server_in, server_out = self.pipes
        if sent := client_out.read():
            self.up += sent
            self.marks.append((len(self.up), len(self.down)))
            server_in.write(sent)
        sent = server_out.read()
        self.down += sent
        client_in.write(sent)

    def handshake(self, *, until_client: bool = False) -> None:
        """Complete the handshake; with `until_client`, the server does not read the client's last message."""
        done: set[Any] = set()
        for _ in range(8):
            for end in (self.client, self.server):
                if end in done or (until_client and self.client in done):
                    continue
                try:
                    end.do_handshake()
                    done.add(end)
                except ssl.SSLWantReadError:
                    pass
            if until_client and self.client in done:
                self.up += self.pipes[1].read()
                self.marks.append((len(self.up), len(self.down)))
                return
            self.carry()

    def send(self, end: ssl.SSLObject, data: bytes) -> None:
        end.write(data)
        self.carry()

    def seen(self) -> wiretls.Seen:
        def heard_before(offset: int) -> int:
            return next((down for up, down in self.marks if up >= offset), len(self.down))

        return wiretls.read(bytes(self.up), bytes(self.down), heard_before)


def server_context(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context and its certificate's fingerprint."""
    certificate = issue({"x": CertificateSpec()})["x"]
    path = folder / "both.pem"
    path.write_bytes(certificate.key_pem + certificate.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, certificate.sha256


def pair(server: ssl.SSLContext, version: ssl.TLSVersion, session: Any = None, context: Any = None) -> Tapped:
    if context is None:
        context = client_context(version)
    a, b, c, d = (ssl.MemoryBIO() for _ in range(4))
    client = context.wrap_bio(a, b, server_hostname="localhost", session=session)
    return Tapped(client, server.wrap_bio(c, d, server_side=True), (a, b, c, d))


def client_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context
