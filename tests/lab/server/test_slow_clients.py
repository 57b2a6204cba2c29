"""Clients that are slow, hasty or many: all data arrives, and waiting costs nothing."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.sessions import PROTOCOLS, slowly

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Quiet
    from tests.lab.conftest import Lab


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_upload_by_a_client_that_does_not_read(lab: Lab, version: str) -> None:
    """A client that closes right after its last byte, with session tickets unread, loses nothing of its upload."""
    server = lab.serve(tls=(version,))
    client = lab.login(server)
    client.voidcmd("TYPE I")
    content = lab.contents["large"]
    for number in range(3):
        sock = client.data(f"STOR up{number}")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        while not shake(tls):
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536) if tls.version() is None or not outgoing.pending else b"")
        tls.write(content)
        sock.sendall(outgoing.read())
        sock.close()
        assert client.voidresp().startswith("226")
        assert (lab.root / f"up{number}").read_bytes() == content
    client.quit()
    assert server.settle()
    assert [(t.size, t.completed) for t in server.testimony().transfers] == [(5 << 20, True)] * 3


def shake(tls: ssl.SSLObject) -> bool:
    """Do one step of a handshake; True when it is done."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_slow_reader_gets_everything(lab: Lab, choked: None, prove_quiet: Quiet, protocol: str) -> None:
    """A download through a tiny buffer, read with pauses, is complete and ends cleanly; the server does not spin."""
    server = lab.serve(protocol)
    client = lab.login(server)
    client.voidcmd("TYPE I")
    data = slowly(client, "RETR large")
    if protocol != "plain":
        data = client.context.wrap_socket(data, server_hostname="localhost")
    received = bytearray()
    with data:
        while len(received) < 5 << 20:
            part = data.recv(1 << 20)
            assert part
            if len(received) >> 20 != (len(received) + len(part)) >> 20:
                prove_quiet(server)
            received += part
        assert data.recv(1) == b""  # a TLS connection that ends without close_notify would raise
    assert client.voidresp().startswith("226")
    assert received == lab.contents["large"]
    client.quit()
    assert server.settle()
    assert server.testimony().transfers[0].completed


@pytest.mark.parametrize("command", ["RETR large", "STOR up", "LIST"])
@pytest.mark.parametrize("begin", [b"", b"\x16\x03\x01"])
def test_a_handshake_that_does_not_come_costs_nothing(lab: Lab, prove_quiet: Quiet, command: str, begin: bytes) -> None:
    """The server waits for a client's data handshake without spinning."""
    server = lab.serve()
    client = lab.login(server)
    with client.data(command) as data:
        data.sendall(begin)
        prove_quiet(server)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("command", ["RETR large", "STOR up"])
def test_a_transfer_that_stands_still_costs_nothing(
    lab: Lab, choked: None, prove_quiet: Quiet, protocol: str, command: str
) -> None:
    """The server does not spin while it waits for a client that neither reads nor writes, and serves others."""
    server = lab.serve(protocol)
    client = lab.login(server)
    with client.transfercmd(command):
        prove_quiet(server)
        lab.prove_alive(server)


def test_many_clients_at_once(lab: Lab) -> None:
    """Eight clients in eight threads each get what they asked for."""
    server = lab.serve()
    failures: list[BaseException] = []

    def guarded(work: Callable[[int], Any], number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    def work(number: int) -> None:
        client = lab.login(server, mode=("pasv", "epsv", "port", "eprt")[number % 4])
        for turn in range(5):
            content = b"%d.%d " % (number, turn) * 20_000
            client.put(f"up{number}", content)
            assert client.get(f"up{number}") == content
        client.quit()

    threads = [threading.Thread(target=guarded, args=(work, number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
    assert server.settle()
    transfers = server.testimony().transfers
    assert len(transfers) == 80
    assert all(transfer.completed for transfer in transfers)
