"""Scripted servers behind a line: scripts arrive unchanged, and run beside the ordinary server."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.lab.remote.test_remote import ProcessLine, serve_plain
from tests.lab.scripted.test_scripted_steps import connect_tls
from tests.lab.sessions import peer_der, read_until_closed

from ftps_lab.errors import LabError
from ftps_lab.remote import orders
from ftps_lab.remote.handle import RemoteHost
from ftps_lab.scripted import PEERS, Heard, Send, StartTls, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_lab.certificates import Certificate
    from ftps_lab.scripted import Script

SECONDS = 10.0


@pytest.fixture
def line() -> Iterator[ProcessLine]:
    line = ProcessLine()
    yield line
    line.close()


@pytest.fixture
def host(line: ProcessLine) -> RemoteHost:
    return RemoteHost(line)


def received_scripts_of(scripts: tuple[Script, ...]) -> tuple[Script, ...]:
    order = orders.sent_scripts(scripts, host="127.0.0.1", port=5)
    call = orders.read_call(orders.line(orders.Call(number=1, method="serve_scripts", scripts=order)))
    assert call.scripts is not None
    assert (call.scripts.host, call.scripts.port) == ("127.0.0.1", 5)
    return orders.received_scripts(call.scripts)


def comparable(scripts: tuple[Script, ...]) -> list[list[object]]:
    """The scripts, with objects that have no equality reduced to comparable values."""
    return [
        [
            (step.certificate.sha256, step.certificate.key_pem, [each.sha256 for each in step.sent], step.versions)
            if isinstance(step, StartTls)
            else step
            for step in script
        ]
        for script in scripts
    ]


@pytest.mark.parametrize("name", PEERS)
def test_every_script_arrives_unchanged(certificates: dict[str, Certificate], name: str) -> None:
    scripts = PEERS[name].scripts(*(certificates["leaf"], certificates["root"])[: PEERS[name].certificates])
    assert comparable(received_scripts_of(scripts)) == comparable(scripts)


def test_certificate_is_encoded_once_per_order(certificates: dict[str, Certificate]) -> None:
    scripts = PEERS["long-chain"].scripts(certificates["genuine"], certificates["root"])
    order = orders.sent_scripts(scripts)
    assert len(order.certificates) == 2
    assert len(msgspec.json.encode(order)) < 20_000
    ((*_, tls, _answers),) = received_scripts_of(scripts)
    assert isinstance(tls, StartTls)
    assert tls.chain is not None
    assert len({id(each) for each in tls.chain}) == 1


def test_missing_certificate_is_an_error() -> None:
    tls = orders.SentTls(certificate=3, chain=None, versions=("1.3",))
    with pytest.raises(LabError, match="a certificate is missing"):
        orders.received_scripts(orders.StartScripts(scripts=((tls,),)))


def test_scripted_servers_run_beside_an_ordinary_server(
    host: RemoteHost, tmp_path: Path, certificates: dict[str, Certificate]
) -> None:
    ordinary = serve_plain(host, tmp_path)
    silent = host.serve_scripts(((Wait(),),), host="127.0.0.1")
    faces = host.serve_scripts(
        PEERS["two-faces"].scripts(certificates["genuine"], certificates["leaf"]), host="127.0.0.1"
    )
    assert len({ordinary.port, silent.port, faces.port}) == 3
    with socket.create_connection((silent.host, silent.port), SECONDS) as client:
        client.sendall(b"PASS \xff\0\n")
    seen = []
    for _ in range(2):
        with connect_tls(socket.create_connection((faces.host, faces.port), SECONDS)) as tls:
            seen.append(peer_der(tls))
    assert seen == [certificates["genuine"].der, certificates["leaf"].der]
    (connection,) = silent.connections()
    assert connection.lines == (Heard(b"PASS \xff\0", "clear"),)
    assert (connection.password, connection.user) == ("clear", "")
    assert [each.certificate for each in faces.connections()] == [
        certificates["genuine"].sha256,
        certificates["leaf"].sha256,
    ]
    assert all(each.tls for each in faces.connections())
    faces.record()
    assert faces.connections() == ()
    assert len(silent.connections()) == 1  # its own record
    silent.stop()
    silent.stop()
    with pytest.raises(LabError, match="this server was stopped"):
        silent.connections()
    with socket.create_connection((ordinary.host, ordinary.port), SECONDS) as client:
        assert client.recv(99).startswith(b"220")
    ordinary.stop()
    with connect_tls(socket.create_connection((faces.host, faces.port), SECONDS)):
        pass
    assert serve_plain(host, tmp_path).settle()  # the next ordinary server, beside those still running
    faces.stop()


def test_scripted_and_ordinary_servers_refuse_each_others_methods(host: RemoteHost, tmp_path: Path) -> None:
    scripted = host.serve_scripts(((Wait(),),), host="127.0.0.1")
    ordinary = serve_plain(host, tmp_path)
    with pytest.raises(LabError, match="a scripted server has no method wire"):
        host.call("wire", type(None), server=scripted._server)
    with pytest.raises(LabError, match="this server has no method connections"):
        host.call("connections", type(None), server=ordinary._server)


def test_scripts_that_cannot_be_served_are_a_lab_error(host: RemoteHost) -> None:
    first = host.serve_scripts(((Send(b"one"),),), host="127.0.0.1")
    with pytest.raises(LabError, match=f"cannot listen on 127.0.0.1 port {first.port}"):
        host.serve_scripts(((Send(b"two"),),), host="127.0.0.1", port=first.port)
    with pytest.raises(LabError, match="needs at least one script"):
        host.serve_scripts((), host="127.0.0.1")
    with pytest.raises(LabError, match="the scripts are missing"):
        host.call("serve_scripts", orders.Serving)


@pytest.mark.parametrize("how", ["stdin", "sigterm"])
def test_scripted_servers_end_with_the_agent(line: ProcessLine, host: RemoteHost, how: str) -> None:
    server = host.serve_scripts(((Wait(),),), host="127.0.0.1")
    other = host.serve_scripts(PEERS["drip"].scripts(), host="127.0.0.1")
    with socket.create_connection((server.host, server.port), SECONDS) as client:
        if how == "stdin":
            assert line.child.stdin is not None
            line.child.stdin.close()
        else:
            os.kill(line.child.pid, signal.SIGTERM)
        assert line.child.wait(SECONDS) == 0
        assert read_until_closed(client) == b""
    for each in (server, other):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((each.host, each.port), SECONDS)


def test_stop_of_a_scripted_server_after_a_reported_death_is_silent(line: ProcessLine, host: RemoteHost) -> None:
    server = host.serve_scripts(((Wait(),),), host="127.0.0.1")
    line.child.kill()
    line.child.wait(SECONDS)
    with pytest.raises(LabError, match="start it again"):
        server.connections()
    server.stop()


def test_alert_of_a_refusing_client_is_recorded_remotely(
    host: RemoteHost, certificates: dict[str, Certificate]
) -> None:
    server = host.serve_scripts(((StartTls(certificates["genuine"], versions=("1.2",)), Wait()),), host="127.0.0.1")
    context = ssl.create_default_context(cadata=certificates["other"].pem.decode())
    sock = socket.create_connection((server.host, server.port), SECONDS)
    with sock, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(sock, server_hostname="localhost")
    (connection,) = server.connections()
    assert (connection.tls, connection.certificate) == (False, certificates["genuine"].sha256)
    assert "unknown ca" in connection.error
