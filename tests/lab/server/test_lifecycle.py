"""Servers are ready when start() returns, end completely, and report errors in their thread to the caller."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from OpenSSL import SSL
from tests.lab.sessions import CLOSED, PROTOCOLS, create_huge_file

from ftps_lab.errors import LabError
from ftps_lab.server.data import RecordingData
from ftps_lab.server.handlers import ExplicitControl
from ftps_lab.servers import FtpsServer
from ftps_lab.wire.tap import TappedTls

if TYPE_CHECKING:
    from tests.conftest import Quiet
    from tests.lab.conftest import Lab


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_start_returns_once_the_server_answers(lab: Lab, protocol: str) -> None:
    """A client is served at once, and the readiness probe is in no record."""
    server = lab.serve(protocol)
    assert server.port
    assert server.settle()
    assert server.testimony().connections == ()
    assert server.wire().records == ()
    lab.prove_alive(server)


def test_port_in_use_is_a_lab_error(lab: Lab) -> None:
    """It names the port and says what to do; the attempt leaves nothing open."""
    taken = lab.serve()
    server = FtpsServer(taken.spec, root=lab.root, password=lab.password, port=taken.port)
    before = lab.open_files()
    with pytest.raises(LabError, match=rf"cannot listen on 127\.0\.0\.1 port {taken.port}: .*in use; choose another"):
        server.start()
    server.stop()
    assert lab.open_files() == before
    taken.stop()
    with server:
        lab.prove_alive(server)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 65536), ("127.0.0.1", -1), ("203.0.113.1", 0), ("no such", 0)]
)
def test_address_that_cannot_be_bound_is_a_lab_error(lab: Lab, host: str, port: int) -> None:
    server = FtpsServer(lab.spec(), root=lab.root, password=lab.password, host=host, port=port)
    with pytest.raises(LabError, match="cannot listen on"):
        server.start()


def test_port_taken_between_bind_and_listen_is_a_lab_error(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another program starts to listen between our bind() and our listen(), Linux reports it only at listen()."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))

        class Late(socket.socket):
            def bind(self, address: Any) -> None:
                super().bind(address)
                other.listen()

        server = FtpsServer(lab.spec(), root=lab.root, password=lab.password, port=other.getsockname()[1])
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", Late)
            with pytest.raises(LabError, match="in use"):
                server.start()


def test_second_start_is_refused(lab: Lab) -> None:
    """The server keeps running."""
    server = lab.serve()
    with pytest.raises(LabError, match="is already running"):
        server.start()
    lab.prove_alive(server)


def test_stop_is_repeatable_and_start_reuses_the_port(lab: Lab) -> None:
    """Stop works any number of times, also before start."""
    server = lab.build()
    server.stop()
    ports = []
    for _ in range(3):
        server.start()
        ports.append(server.port)
        lab.prove_alive(server)
        server.stop()
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port), 1)
    assert len(set(ports)) == 1


def test_record_is_available_after_stop(lab: Lab) -> None:
    with lab.build() as server:
        lab.prove_alive(server)
    assert server.settle()
    assert [transfer.name for transfer in server.testimony().transfers] == ["three"]
    assert server.wire().records


def test_stop_ends_connections_and_completes_the_record(lab: Lab) -> None:
    server = lab.serve()
    client = lab.login(server)
    assert client.sock is not None
    server.stop()
    assert client.sock.recv(1) == b""
    assert server.settle(0)


@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_stop_during_transfer_closes_everything(lab: Lab, prove_quiet: Quiet, protocol: str, command: str) -> None:
    """Even while bytes wait on a data connection; the transfer is recorded as incomplete."""
    create_huge_file(lab)
    before = lab.open_files()
    server = lab.serve(protocol)
    client = lab.login(server)
    data = client.transfercmd(command)
    with data:
        if command == "STOR up":
            data.sendall(b"x" * 100_000)
        else:
            assert data.recv(10)
            prove_quiet(server, turns=20_000)  # every buffer is full
        server.stop()
        client.close()
    transfer = server.testimony().transfers[0]
    assert not transfer.completed
    assert server.settle(0)
    assert lab.open_files() == before


def test_stop_closes_a_connection_waiting_to_send_close_notify(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transfer is finished, but its client does not read."""

    def never(_: object) -> bool:
        raise SSL.WantWriteError

    before = lab.open_files()
    server = lab.serve()
    client = lab.login(server)
    with monkeypatch.context() as patch:
        patch.setattr(TappedTls, "shutdown", never)
        with client.transfercmd("RETR three") as data:
            assert data.recv(10) == b"abc"
            server.stop()
    client.close()
    assert lab.open_files() == before


def test_exception_in_a_command_is_raised_by_settle(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one LabError; the server survives."""
    monkeypatch.setattr(ExplicitControl, "ftp_NOOP", fail)
    server = lab.serve()
    client = lab.login(server)
    with pytest.raises(CLOSED):
        client.voidcmd("NOOP")
    with pytest.raises(LabError, match=r"(?s)in its own thread.*RuntimeError: the lab is broken"):
        server.settle()
    assert server.settle()
    lab.prove_alive(server)


def test_exception_on_a_data_connection_is_raised_by_stop(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only once, if no earlier call has raised it."""
    monkeypatch.setattr(RecordingData, "_lab_count", fail)
    server = lab.build().start()
    client = lab.login(server)
    with pytest.raises((*CLOSED, ftplib.Error)):
        client.get("three")
    with pytest.raises(LabError, match="the lab is broken"):
        server.stop()
    server.stop()


def test_death_of_the_thread_is_raised_by_every_settle(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """stop() and a new start still work."""
    server = lab.build().start()
    before = threading.active_count()

    def leave(*_: object) -> None:
        raise SystemExit(3)

    with monkeypatch.context() as patch:
        patch.setattr(ExplicitControl, "ftp_NOOP", leave)
        client = lab.login(server)
        with pytest.raises(CLOSED):
            client.voidcmd("NOOP")
    for _ in range(2):
        with pytest.raises(LabError, match="in its own thread"):
            server.settle()
    ran = threading.Event()
    server.waker.call(ran.set)  # settle() may do this just as the thread dies
    assert ran.wait(10)
    with contextlib.suppress(LabError):
        server.stop()
    server.stop()
    assert threading.active_count() < before
    with server:
        lab.prove_alive(server)


def fail(*_: object, **__: object) -> None:
    """A handler that raises."""
    raise RuntimeError("the lab is broken")


@pytest.mark.long
def test_fifty_servers_leave_no_thread_and_no_descriptor(lab: Lab) -> None:
    """Half of them stop while their client is connected."""
    lab.prove_alive(lab.serve())  # opens what is only opened once
    files, threads = lab.open_files(), threading.active_count()
    for number in range(50):
        server = lab.build(("explicit", "implicit", "plain")[number % 3]).start()
        client = lab.login(server)
        client.get("three")
        if number % 2:
            client.quit()
        server.stop()
        client.close()
    assert (lab.open_files(), threading.active_count()) == (files, threads)


@pytest.mark.long
def test_hundred_servers_run_at_once(lab: Lab) -> None:
    """Each on its own port, in one process; all start, serve and stop within 30 seconds."""
    began = time.monotonic()
    servers = [lab.serve(("explicit", "implicit", "plain")[number % 3]) for number in range(100)]
    for server in servers:
        client = lab.login(server)
        assert client.get("three") == b"abc"
        client.quit()
    assert len({server.port for server in servers}) == 100
    for server in servers:
        assert server.settle()
        assert len(server.testimony().transfers) == 1
        server.stop()
    assert time.monotonic() - began < 30


def test_finished_active_transfer_does_not_disturb_others(lab: Lab) -> None:
    server = lab.serve()
    first = lab.login(server, mode="port")
    assert first.get("three") == b"abc"
    second = lab.login(server)
    first.quit()
    assert second.get("three") == b"abc"
    second.quit()
    assert server.settle()


def test_waiting_servers_are_idle(lab: Lab, prove_quiet: Quiet) -> None:
    """Waiting servers and connections use no processor time."""
    servers = [lab.serve(protocol) for protocol in PROTOCOLS]
    clients = [lab.login(server) for server in servers]
    prove_quiet(*servers)
    for client in clients:
        client.quit()
