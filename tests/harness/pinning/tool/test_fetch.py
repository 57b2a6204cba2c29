"""The single connection: what counts as an FTPS server, and that every conversation ends."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ftps_harness.pinning.certificates import authority, issued
from ftps_harness.pinning.tool import asking
from ftps_harness.pinning.tool.fetch import fetch
from ftps_harness.pinning.tool.target import parse
from ftps_harness.pinning.tool.wire import Unfetched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness.pinning.tool.conftest import User

    Script = Callable[[socket.socket], None]


@contextlib.contextmanager
def peer(script: Script) -> Iterator[str]:
    """Handle one connection with a function on loopback; yields the address."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                script(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def send_parts(*parts: bytes) -> Script:
    """Send each part and wait for a line from the client after it, then wait until the client disconnects."""

    def script(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            if b"QUIT" in connection.recv(1000):
                return
        while connection.recv(1000):
            pass

    return script


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "not an FTP server: it said “HTTP/1.1 400"),
        ((b"\x15\x03\x01\x00\x02\x02\x46\n",), "--implicit"),
        ((b"421 Too many users\r\n",), "refuses service: it said “421 Too many users”"),
        ((b"220 Ready\r\n", b"502 No\r\n"), "refuses AUTH TLS"),
        ((b"220 Ready\r\n", b"334 Go on\r\n"), "refuses AUTH TLS"),
        ((b"220 Ready\r\n", b"234 Go\r\n230 Logged in\r\n"), "extra clear text after the answer to AUTH TLS"),
        ((b"220 Ready\r\n", b"234 Go\r\n", b"HTTP/1.1 400 Bad\r\n"), "TLS failed"),
        (
            (b"220 \x1b]0;owned\x07\r\n", b"500 \x1b[31m\xff\0::error::x\r\n"),
            "refuses AUTH TLS (“500 \\x1b[31m\\xff\\x00",
        ),
        ((b"220-" + b"a" * 100_000,), "longer than 64 KiB"),
        ((b"220-\r\n" * 200_000,), "does not end|longer than"),
    ],
)
def test_peer_that_is_not_an_ftps_server_is_named_with_escaped_text(parts: tuple[bytes, ...], why: str) -> None:
    with peer(send_parts(*parts)) as address, pytest.raises(Unfetched) as error:
        fetch(parse(address), 5)
    assert any(each in str(error.value) for each in why.split("|"))
    assert all(letter.isprintable() or letter == "\n" for letter in str(error.value))


def drip_bytes(data: bytes) -> Script:
    """Send one byte every 50 ms, endlessly."""

    def script(connection: socket.socket) -> None:
        while True:
            for at in range(len(data)):
                connection.sendall(data[at : at + 1])
                time.sleep(0.05)

    return script


@pytest.mark.parametrize(
    "script",
    [
        lambda connection: connection.recv(1),
        drip_bytes(b"220-Hello\r\n"),
        drip_bytes(b"120 Wait\r\n"),
        send_parts(b"220 Ready\r\n", b"234 Go\r\n"),
    ],
    ids=["silent", "endless multi-line reply", "endless 120 replies", "silent in TLS"],
)
def test_one_deadline_covers_the_whole_conversation(script: Script) -> None:
    begun = time.monotonic()
    with peer(script) as address:
        with pytest.raises(Unfetched, match=r"within 0\.6 s"):
            fetch(parse(address), 0.6)
        assert 0.5 < time.monotonic() - begun < 2


def test_refused_connection_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unfetched, match="cannot connect: Connection refused"):
        fetch(parse(f"127.0.0.1:{port}"), 5)


@pytest.mark.lftp
def test_fetch_returns_the_chain_in_order_without_logging_in(user: User) -> None:
    leaf = issued(authority(), "localhost")
    user.serve(leaf)
    user.session.server.record()
    fetched = fetch(parse(f"localhost:{user.port}"), 5)
    assert [each.subject for each in fetched.chain] == [each.x509.subject for each in (leaf, *leaf.chain)]
    testimony = user.session.server.finish().testimony
    assert len(testimony.connections) == 1
    assert not testimony.credentials


@pytest.mark.lftp
@pytest.mark.parametrize("left", [True, False], ids=["isolated", "with a network"])
def test_lftp_has_no_network_while_it_reports_its_settings(
    user: User, sealed_here: None, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    """The second case, with the network, proves that the first would have noticed a connection."""
    if not left:
        monkeypatch.setattr(asking, "_leave_network", lambda: None)
    heard = []
    with peer(lambda connection: heard.append(connection.recv(10))) as address:
        host, _, port = address.partition(":")
        touched = user.home / "ran"
        user.write(f"!bash -c 'echo x >/dev/tcp/{host}/{port}'; touch {touched}\n")
        assert user.pin().code == 0
        assert touched.exists()
    assert heard == ([] if left else [b"x\n"])
