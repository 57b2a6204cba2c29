"""One end of a relay on its own: what has arrived reaches its owner, however it arrived."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from ftps_lab.attackers import endpoint
from ftps_lab.server.tls import server_context
from ftps_lab.wire.memory_tls import MemoryTls

if TYPE_CHECKING:
    from ftps_lab.certificates import Certificate


class Loop:
    """Stands for the event loop, which these tests do not need: they call the end themselves."""

    READ, WRITE = 1, 4

    def register(self, *_: object) -> None: ...

    def modify(self, *_: object) -> None: ...

    def unregister(self, *_: object) -> None: ...


class Owner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.content = b""
        self.how = ""

    def opened(self, _end: endpoint.Endpoint) -> None: ...

    def received(self, _end: endpoint.Endpoint, data: bytes) -> None:
        self.content += data

    def ended(self, _end: endpoint.Endpoint, how: str) -> None:
        self.how = self.how or how

    def drained(self, _end: endpoint.Endpoint) -> None: ...

    def closed(self, _end: endpoint.Endpoint) -> None: ...


@pytest.mark.parametrize("size", [7, 5000, 1 << 18])
def test_peer_that_is_gone_loses_nothing_that_arrived(
    certificates: dict[str, Certificate], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if single reads bring no content, such as the beginning of a record."""
    monkeypatch.setattr(endpoint, "_ENCRYPTED", size)
    near, far = socket.socketpair()
    near.setblocking(False)
    tls = MemoryTls(server_context(certificates["genuine"]), near)
    tls.set_accept_state()
    end = endpoint.Endpoint(Loop(), near, owner := Owner(), tls=tls)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    with far:
        for _ in range(3):
            with suppress(ssl.SSLWantReadError):
                client.do_handshake()
            far.sendall(outgoing.read())
            end.handle_read_event()
            with suppress(BlockingIOError):
                incoming.write(far.recv(65536, socket.MSG_DONTWAIT))
        assert end.open
        content = os.urandom(40000)
        client.write(content)
        far.sendall(outgoing.read())
    end.handle_close()
    assert owner.content == content
    assert owner.how == "cut"
