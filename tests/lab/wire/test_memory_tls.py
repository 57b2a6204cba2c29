"""TLS over memory BIOs: every complete record is returned, however its bytes arrived, and nothing blocks."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from OpenSSL import SSL
from tests.waiting import until

from ftps_lab.server.tls import server_context
from ftps_lab.wire.memory_tls import MemoryTls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_lab.certificates import Certificate

RECORD = 16384
SIZES = [1, 100, 4096, 1, 4096, 4096, 4095, 1, RECORD, RECORD, 1]
"""Sizes of the records: small ones after large ones, and large ones in a row."""


class Pair:
    """Our side, and Python's `ssl` on the other, with the handshake done."""

    def __init__(self, genuine: Certificate, version: ssl.TLSVersion) -> None:
        self._near, self.far = socket.socketpair()
        self._near.setblocking(False)
        self.ours = MemoryTls(server_context(genuine), self._near)
        self.ours.set_accept_state()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._client = context.wrap_bio(self._incoming, self._outgoing)
        for _ in range(3):
            with suppress(ssl.SSLWantReadError):
                self._client.do_handshake()
            self.far.sendall(self._outgoing.read())
            with suppress(SSL.WantReadError):
                self.ours.do_handshake()
            self.far.setblocking(False)
            with suppress(BlockingIOError):
                self._incoming.write(self.far.recv(65536))
            self.far.setblocking(True)

    def encrypt(self, content: bytes) -> bytes:
        """The content as one encrypted record."""
        self._client.write(content)
        return self._outgoing.read()

    def close(self) -> None:
        self._near.close()
        self.far.close()

    def close_notify(self) -> bytes:
        with suppress(ssl.SSLWantReadError):
            self._client.unwrap()
        return self._outgoing.read()

    def decrypt(self, records: bytes) -> bytes:
        """The client's plaintext of our records."""
        self._incoming.write(records)
        read = b""
        with suppress(ssl.SSLWantReadError):
            while True:
                read += self._client.read(RECORD)
        return read

    def receive_available(self) -> bytes:
        """The plaintext that our side returns of what has arrived."""
        got = b""
        with suppress(SSL.WantReadError):
            while True:
                got += self.ours.recv(65536)
        return got

    def feed_available(self) -> bytes:
        """The same with one read of everything that has arrived."""
        got = b""
        with suppress(SSL.WantReadError):
            self.ours.feed(1 << 20)
            while True:
                got += self.ours.held()
        return got


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def pair(request: pytest.FixtureRequest, certificates: dict[str, Certificate]) -> Iterator[Pair]:
    pair = Pair(certificates["genuine"], request.param)
    yield pair
    pair.close()


@pytest.mark.parametrize("way", ["receive_available", "feed_available"])
@pytest.mark.parametrize("piece", [3, 7, 1000, 4096 + 22, 4096 + 27, RECORD, RECORD + 27, 1 << 20])
def test_complete_record_is_returned_at_once(pair: Pair, piece: int, way: str) -> None:
    """As soon as its last byte arrives, with or without the beginning of the next record."""
    contents = [os.urandom(size) for size in SIZES]
    records = [pair.encrypt(content) for content in contents]
    stream, ends = b"".join(records), [sum(map(len, records[: n + 1])) for n in range(len(records))]
    got = b""
    for start in range(0, len(stream), piece):
        pair.far.sendall(stream[start : start + piece])
        got += getattr(pair, way)()
        sent = min(start + piece, len(stream))
        whole = sum(end <= sent for end in ends)
        assert got == b"".join(contents[:whole])


def test_record_not_yet_returned_keeps_the_socket_readable(pair: Pair) -> None:
    """OpenSSL itself never holds a whole record back."""
    contents = [os.urandom(RECORD) for _ in range(4)]
    pair.far.sendall(b"".join(map(pair.encrypt, contents)) + pair.close_notify())
    for content in contents:
        assert pair.ours.raw.recv(1, socket.MSG_PEEK)
        assert pair.ours.recv(65536) == content
    assert pair.ours.raw.recv(1, socket.MSG_PEEK)
    with pytest.raises(SSL.ZeroReturnError):
        pair.ours.recv(65536)


def test_end_after_content_in_the_same_read(pair: Pair) -> None:
    """With `feed` and `held`: first the content, then the end, which close_notify or only FIN announces."""
    pair.far.sendall(pair.encrypt(b"the last") + pair.close_notify())
    pair.ours.feed(1 << 20)
    assert pair.ours.held() == b"the last"
    with pytest.raises(SSL.ZeroReturnError):
        pair.ours.held()
    pair.far.shutdown(socket.SHUT_WR)
    with pytest.raises(SSL.SysCallError):
        pair.ours.feed(1 << 20)


@pytest.mark.parametrize("way", ["recv", "feed and held"])
def test_answer_of_openssl_itself_leaves_before_waiting(certificates: dict[str, Certificate], way: str) -> None:
    """Here the no_renegotiation alert (RFC 5246 section 7.2.2): without it a client that asked waits for ever."""
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        ours = MemoryTls(server_context(certificates["genuine"]), near)
        ours.set_accept_state()
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        client = SSL.Connection(context)
        client.set_connect_state()
        for _ in range(3):
            with suppress(SSL.WantReadError):
                client.do_handshake()
            with suppress(SSL.WantReadError):
                far.sendall(client.bio_read(65536))
            with suppress(SSL.WantReadError):
                ours.do_handshake()
            with suppress(BlockingIOError):
                client.bio_write(far.recv(65536, socket.MSG_DONTWAIT))
        assert client.renegotiate()
        with suppress(SSL.WantReadError):
            client.do_handshake()
        far.sendall(client.bio_read(65536))
        if way != "recv":
            ours.feed(65536)
        with pytest.raises(SSL.WantReadError):
            ours.recv(1) if way == "recv" else ours.held()
        assert far.recv(65536, socket.MSG_DONTWAIT)[:1] == b"\x15"


def test_send_accepts_everything_it_is_given(pair: Pair) -> None:
    """It uses records of 16 KiB; bytes that the socket does not accept wait in order."""
    contents = [os.urandom(size) for size in (1, 65536, 3 * 65536, 10)]
    sent, received = b"", b""
    pair.far.setblocking(False)

    def receive() -> bool:
        nonlocal received
        with suppress(BlockingIOError):
            received += pair.decrypt(pair.far.recv(1 << 20))
        return pair.ours.flush() and len(received) == len(sent)

    for content in contents:
        while True:
            try:
                assert pair.ours.send(content) == len(content)
                break
            except SSL.WantWriteError:
                receive()
        sent += content
    until(receive, 10, 0.001)
    assert received == sent
