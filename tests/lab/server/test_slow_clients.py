"""Clients that are slow, hasty or many: all data arrives, and the server is idle while it waits."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.sessions import PROTOCOLS, slow_data_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Quiet
    from tests.lab.conftest import Lab


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_upload_of_a_client_that_never_reads_is_complete(lab: Lab, version: str) -> None:
    """It closes right after its last byte, with session tickets unread."""
    server = lab.serve(tls=(version,))
    client = lab.login(server)
    client.voidcmd("TYPE I")
    content = lab.contents["large"]
    for number in range(3):
        sock = client.data(f"STOR up{number}")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        while not step_handshake(tls):
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


def step_handshake(tls: ssl.SSLObject) -> bool:
    """Do one step of a handshake; True when it is complete."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_slow_reader_gets_the_whole_download(
    lab: Lab, small_send_buffers: None, prove_quiet: Quiet, protocol: str
) -> None:
    """It ends cleanly, and the server does not spin meanwhile."""
    server = lab.serve(protocol)
    client = lab.login(server)
    client.voidcmd("TYPE I")
    data = slow_data_connection(client, "RETR large")
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
def test_server_is_idle_while_a_data_handshake_is_missing(
    lab: Lab, prove_quiet: Quiet, command: str, begin: bytes
) -> None:
    server = lab.serve()
    client = lab.login(server)
    with client.data(command) as data:
        data.sendall(begin)
        prove_quiet(server)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("command", ["RETR large", "STOR up"])
def test_server_is_idle_during_stalled_transfer(
    lab: Lab, small_send_buffers: None, prove_quiet: Quiet, protocol: str, command: str
) -> None:
    """It does not spin while it waits for a client that neither reads nor writes, and serves others."""
    server = lab.serve(protocol)
    client = lab.login(server)
    with client.transfercmd(command):
        prove_quiet(server)
        lab.prove_alive(server)


def test_concurrent_clients_get_only_their_own_files(lab: Lab) -> None:
    """Eight clients in eight threads."""
    server = lab.serve()
    failures: list[BaseException] = []

    def guarded(work: Callable[[int], Any], number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - checked in the test's own thread
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
