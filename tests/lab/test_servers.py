"""The servers, proved with ftplib, ssl and openssl s_client, so that a red lftp case is about lftp."""

from __future__ import annotations

import contextlib
import ftplib
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ftps_lab.data import RecordingData
from ftps_lab.errors import LabError
from ftps_lab.handlers import ExplicitControl
from ftps_lab.servers import FtpsServer, ServerSpec

if TYPE_CHECKING:
    from tests.lab.conftest import Client, Lab, Mode

PROTOCOLS = ("explicit", "implicit", "plain")
MODES = ("pasv", "epsv", "port", "eprt")
FILES = ("empty", "three", "chunk", "large")


def shown(connection: object) -> str:
    """The SHA-256 fingerprint of the certificate that the other side of a TLS socket showed, as the lab writes it."""
    assert isinstance(connection, ssl.SSLSocket)
    der = connection.getpeercert(binary_form=True)
    assert der is not None
    return sha256(der).digest().hex(":").upper()


def shown_on_data(client: Client) -> str:
    """The same for the next data connection."""
    data = client.transfercmd("NLST")
    with data:
        certificate = shown(data)
        while data.recv(8192):
            pass
    client.voidresp()
    return certificate


def prove_transfers(lab: Lab, client: Client) -> None:
    """Listings name every file, and every size goes both ways unchanged."""
    assert all(name.encode() in client.download("LIST") for name in FILES)
    assert {"empty", "three", "chunk", "large"} <= set(client.download("NLST").decode().split())
    assert b"type=file;" in client.download("MLSD")
    for name in FILES:
        assert client.get(name) == lab.contents[name]
        assert client.put(f"up-{name}", lab.contents[name]).startswith("226")
        assert (lab.root / f"up-{name}").read_bytes() == lab.contents[name]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_transfers_in_every_mode(lab: Lab, protocol: str, mode: Mode) -> None:
    """Explicit, implicit and plain servers list, send and receive 0 B to 5 MiB, passive and active."""
    client = lab.login(lab.serve(protocol), mode=mode)
    prove_transfers(lab, client)
    assert client.quit().startswith("221")


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("offered", [("1.2", "1.3"), None])
def test_each_tls_version_transfers(lab: Lab, protocol: str, version: str, offered: tuple[str, ...] | None) -> None:
    """TLS 1.2 and 1.3 carry all transfers, alone and where both are offered."""
    client = lab.login(lab.serve(protocol, tls=offered or (version,)), version=version if offered else "")
    assert isinstance(client.sock, ssl.SSLSocket)
    assert client.sock.version() == f"TLSv{version}"
    prove_transfers(lab, client)


@pytest.mark.parametrize(("offered", "asked"), [("1.2", "1.3"), ("1.3", "1.2")])
def test_a_version_left_out_is_refused(lab: Lab, offered: str, asked: str) -> None:
    """A client that insists on a version that the server does not offer gets no handshake."""
    client = lab.client(lab.serve(tls=(offered,)), version=asked)
    with pytest.raises(ssl.SSLError, match="version"):
        client.auth()


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_clear_data_beside_a_tls_control_connection(lab: Lab, protocol: str) -> None:
    """Data connections stay in clear until PROT P, and go back to it with PROT C."""
    client = lab.login(lab.serve(protocol), protect=False)
    prove_transfers(lab, client)
    client.prot_p()
    assert client.get("three") == b"abc"
    client.prot_c()
    assert client.get("three") == b"abc"


def test_require_tls_refuses_a_login_in_clear(lab: Lab) -> None:
    """With require_tls, USER before AUTH gets 550, and a login in TLS works."""
    server = lab.serve(require_tls=True)
    client = lab.client(server)
    with pytest.raises(ftplib.error_perm, match="^550"):
        client.login("anna", lab.password, secure=False)
    lab.prove_alive(server)


def test_require_tls_refuses_data_in_clear(lab: Lab) -> None:
    """With require_tls, a data connection before PROT P gets 550, and one after it works."""
    client = lab.login(lab.serve(require_tls=True), protect=False)
    with pytest.raises(ftplib.error_perm, match="^550"):
        client.get("three")
    client.prot_p()
    assert client.get("three") == b"abc"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_password_is_refused_at_once(lab: Lab, protocol: str) -> None:
    """A wrong password gets 530 without a pause, and the right one is still welcome after it."""
    client = lab.client(lab.serve(protocol))
    began = time.monotonic()
    with pytest.raises(ftplib.error_perm, match="^530"):
        client.login("anna", "wrong", secure=protocol != "plain")
    assert time.monotonic() - began < 1
    assert client.login("anna", lab.password, secure=False).startswith("230")


def test_the_third_wrong_password_ends_the_connection(lab: Lab) -> None:
    """After three refusals the server hangs up, as pyftpdlib does."""
    client = lab.client(lab.serve())
    client.auth()
    for _ in range(3):
        client.sendcmd("USER anna")
        with pytest.raises(ftplib.error_perm, match="^530"):
            client.sendcmd("PASS wrong")
    with pytest.raises((EOFError, OSError)):
        client.voidcmd("NOOP")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_anonymous_is_let_in_with_any_password(lab: Lab, protocol: str) -> None:
    """The user anonymous needs no secret."""
    client = lab.login(lab.serve(protocol), user="anonymous", password="me@example.test")
    assert client.get("three") == b"abc"


def test_a_plain_server_does_not_know_auth(lab: Lab) -> None:
    """AUTH, PBSZ and PROT are unknown commands without TLS, and FEAT does not list them."""
    client = lab.client(lab.serve("plain"))
    for command in ("AUTH TLS", "AUTH SSL", "PBSZ 0", "PROT P"):
        with pytest.raises(ftplib.error_perm, match="^500"):
            client.sendcmd(command)
    assert "AUTH" not in client.sendcmd("FEAT")
    assert "AUTH TLS" in lab.client(lab.serve()).sendcmd("FEAT")


def test_a_client_that_does_not_trust_is_not_served(lab: Lab) -> None:
    """The clients of these tests do verify: a stranger's certificate is refused."""
    client = lab.client(lab.serve(certificate="other"))
    with pytest.raises(ssl.SSLCertVerificationError):
        client.auth()


def test_ipv6(lab: Lab) -> None:
    """A server on ::1 serves EPSV and EPRT, and its testimony names the peers."""
    spec = ServerSpec(certificate=lab.certificates["genuine"])
    try:
        server = FtpsServer(spec, root=lab.root, password=lab.password, host="::1").start()
    except LabError as error:
        pytest.skip(str(error))
    try:
        for mode in ("epsv", "eprt"):
            client = lab.client(server, mode=mode)
            client.login("anna", lab.password)
            client.prot_p()
            assert client.get("chunk") == lab.contents["chunk"]
            client.quit()
        assert server.settle()
        assert [(c.kind, c.peer[0]) for c in server.testimony().connections] == [
            ("control", "::1"),
            ("data", "::1"),
        ] * 2
    finally:
        server.stop()


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_openssl_sees_the_chain_in_order(lab: Lab, protocol: str, version: str) -> None:
    """`openssl s_client` gets the leaf and what is sent after it, in the order of the spec, and can verify it."""
    chain = (lab.certificates["intermediate"], lab.certificates["root"])
    server = lab.serve(protocol, "leaf", chain=chain)
    trusted = lab.root.parent / "root.pem"
    trusted.write_bytes(lab.certificates["root"].pem)
    command = ["openssl", "s_client", "-showcerts", "-connect", f"127.0.0.1:{server.port}", "-CAfile", str(trusted)]
    command += [f"-tls{version.replace('.', '_')}", "-verify_return_error", "-verify_hostname", "localhost"]
    command += ["-starttls", "ftp"] if protocol == "explicit" else []
    result = subprocess.run(command, input=b"QUIT\r\n", capture_output=True, timeout=10, check=False)
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", result.stdout, re.DOTALL)
    assert result.returncode == 0, result
    assert blocks[:3] == [lab.certificates[name].pem for name in ("leaf", "intermediate", "root")]


def test_without_the_chain_a_client_that_trusts_the_root_refuses(lab: Lab) -> None:
    """What is not in `chain` is not sent."""
    client = lab.client(lab.serve(certificate="leaf"), trust=("root",))
    with pytest.raises(ssl.SSLCertVerificationError, match="local issuer"):
        client.auth()


def test_rotation_while_clients_are_connected(lab: Lab) -> None:
    """A client that is connected keeps the certificate, also on new data connections; a new one sees the new one."""
    genuine, other = lab.certificates["genuine"], lab.certificates["other"]
    server = lab.serve()
    before = lab.login(server)
    server.change(lab.spec(certificate="other"))
    after = lab.login(server, trust=("other",))
    assert (shown(before.sock), shown_on_data(before)) == (genuine.sha256, genuine.sha256)
    assert (shown(after.sock), shown_on_data(after)) == (other.sha256, other.sha256)
    with pytest.raises(ssl.SSLCertVerificationError):
        lab.client(server).auth()


def test_rotation_between_greeting_and_auth(lab: Lab) -> None:
    """A control connection keeps the certificate that was in force when it was accepted."""
    server = lab.serve()
    client = lab.client(server)
    server.change(lab.spec(certificate="other"))
    client.auth()
    assert shown(client.sock) == lab.certificates["genuine"].sha256


def test_the_protocol_changes_on_the_same_port(lab: Lab) -> None:
    """One port is explicit, then plain, then implicit, and the role changes with the next record."""
    server = lab.serve()
    port = server.port
    lab.prove_alive(server)
    for protocol in ("plain", "implicit", "explicit"):
        server.change(lab.spec(protocol, role="impostor"))
        assert server.testimony().role != ("genuine" if protocol != "plain" else "impostor")
        server.record()
        assert (server.port, server.testimony().role) == (port, "impostor")
        lab.prove_alive(server)


def test_an_impossible_change_changes_nothing(lab: Lab) -> None:
    """A spec that cannot be served is refused, and the server goes on as it was."""
    server = lab.serve()
    with pytest.raises(LabError, match="needs a certificate"):
        server.change(ServerSpec(protocol="implicit"))
    assert server.spec.protocol == "explicit"
    lab.prove_alive(server)


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
def test_the_data_certificate_is_what_data_connections_show(lab: Lab, protocol: str) -> None:
    """Control and data connections show different certificates, and the testimony names both."""
    genuine, data = lab.certificates["genuine"], lab.certificates["data"]
    server = lab.serve(protocol, data_certificate=data)
    client = lab.login(server, trust=("genuine", "data"))
    assert (shown(client.sock), shown_on_data(client)) == (genuine.sha256, data.sha256)
    assert [handshake.certificate for handshake in server.testimony().handshakes] == [genuine.sha256, data.sha256]
    assert server.testimony().transfers[0].certificate == data.sha256


def test_servers_never_share_a_certificate_or_a_session(lab: Lab) -> None:
    """Two servers in one process show each its own, and neither resumes the other's sessions."""
    one, two = lab.serve(tls=("1.2",)), lab.serve(certificate="other", tls=("1.2",))
    context = lab.trusting("genuine", "other")
    with contextlib.ExitStack() as stack:

        def greet(server: FtpsServer, session: ssl.SSLSession | None) -> ssl.SSLSocket:
            raw = stack.enter_context(socket.create_connection((server.host, server.port), 5))
            raw.recv(512)
            raw.sendall(b"AUTH TLS\r\n")
            raw.recv(512)
            return stack.enter_context(context.wrap_socket(raw, server_hostname="localhost", session=session))

        first = greet(one, None)
        assert shown(first) == lab.certificates["genuine"].sha256
        assert greet(one, first.session).session_reused
        second = greet(two, first.session)
        assert not second.session_reused
        assert shown(second) == lab.certificates["other"].sha256


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_start_returns_when_the_server_answers(lab: Lab, protocol: str) -> None:
    """After start() a client is served at once, and the proof of readiness is in no record."""
    server = lab.serve(protocol)
    assert server.port
    assert server.settle()
    assert server.testimony().connections == ()
    assert server.wire().records == ()
    lab.prove_alive(server)


def test_a_port_in_use_is_a_sentence(lab: Lab) -> None:
    """A taken port is a LabError that names it and says what to do; nothing is left of the attempt."""
    taken = lab.serve()
    server = FtpsServer(taken.spec, root=lab.root, password=lab.password, port=taken.port)
    before = open_files()
    with pytest.raises(LabError, match=rf"cannot listen on 127\.0\.0\.1 port {taken.port}: .*in use; choose another"):
        server.start()
    server.stop()
    assert open_files() == before
    taken.stop()
    with server:
        lab.prove_alive(server)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 65536), ("127.0.0.1", -1), ("203.0.113.1", 0), ("no such", 0)]
)
def test_an_address_that_cannot_be_bound_is_a_sentence(lab: Lab, host: str, port: int) -> None:
    """A port or host that does not exist here is a LabError too."""
    server = FtpsServer(lab.spec(), root=lab.root, password=lab.password, host=host, port=port)
    with pytest.raises(LabError, match="cannot listen on"):
        server.start()


def test_a_port_that_is_bound_but_not_listening_is_a_sentence(lab: Lab) -> None:
    """Linux tells so late only: at listen(), not at bind()."""
    with socket.socket() as first, socket.socket() as second:
        for sock in (first, second):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        server = FtpsServer(lab.spec(), root=lab.root, password=lab.password, port=first.getsockname()[1])
        first.listen()
        second.close()
        with pytest.raises(LabError, match="in use"):
            server.start()


def test_start_twice_is_refused(lab: Lab) -> None:
    """A running server is not started again, and goes on."""
    server = lab.serve()
    with pytest.raises(LabError, match="runs already"):
        server.start()
    lab.prove_alive(server)


def test_stop_is_repeatable_and_a_server_starts_again(lab: Lab) -> None:
    """Stop may come any number of times, also before start; afterwards the server starts on the port that it had."""
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


def test_the_record_outlives_the_server(lab: Lab) -> None:
    """What was witnessed can be read after stop()."""
    with lab.build() as server:
        lab.prove_alive(server)
    assert server.settle()
    assert [transfer.name for transfer in server.testimony().transfers] == ["three"]
    assert server.wire().records


def test_connections_of_a_stopped_server_end(lab: Lab) -> None:
    """A client that is connected when the server stops reads the end, and the record is complete."""
    server = lab.serve()
    client = lab.login(server)
    assert client.sock is not None
    server.stop()
    assert client.sock.recv(1) == b""
    assert server.settle(0)


@pytest.mark.parametrize("command", ["RETR large", "STOR up"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_stop_in_the_middle_of_a_transfer(lab: Lab, protocol: str, command: str) -> None:
    """Stopping while bytes wait on a data connection closes everything and reports nothing as completed."""
    before = open_files()
    server = lab.serve(protocol)
    client = lab.login(server)
    data = client.transfercmd(command)
    with data:
        if command == "STOR up":
            data.sendall(b"x" * 100_000)
        else:
            assert data.recv(10)
            time.sleep(0.05)  # the server fills every buffer
        server.stop()
        client.close()
    transfer = server.testimony().transfers[0]
    assert not transfer.completed
    assert server.settle(0)
    assert open_files() == before


def test_an_error_in_a_command_surfaces_at_settle(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of the server's own is a LabError in the caller, once; the server lives on."""
    monkeypatch.setattr(ExplicitControl, "ftp_NOOP", broken)
    server = lab.serve()
    client = lab.login(server)
    with pytest.raises((EOFError, OSError)):
        client.voidcmd("NOOP")
    with pytest.raises(LabError, match=r"(?s)in its own thread.*RuntimeError: the lab is broken"):
        server.settle()
    assert server.settle()
    lab.prove_alive(server)


def test_an_error_on_a_data_connection_surfaces_at_stop(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping raises what nobody asked for before; and only once."""
    monkeypatch.setattr(RecordingData, "_lab_count", broken)
    server = lab.build().start()
    client = lab.login(server)
    with pytest.raises((EOFError, OSError, ftplib.Error)):
        client.get("three")
    with pytest.raises(LabError, match="the lab is broken"):
        server.stop()
    server.stop()


def test_a_dead_thread_surfaces(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the server's thread ends by itself, settle() says so each time, and stop() and a new start work."""
    server = lab.build().start()
    before = threading.active_count()

    def leave(*_: object) -> None:
        raise SystemExit(3)

    with monkeypatch.context() as patch:
        patch.setattr(ExplicitControl, "ftp_NOOP", leave)
        client = lab.login(server)
        with pytest.raises((EOFError, OSError)):
            client.voidcmd("NOOP")
    for _ in range(2):
        with pytest.raises(LabError, match="in its own thread"):
            server.settle()
    with contextlib.suppress(LabError):
        server.stop()
    server.stop()
    assert threading.active_count() < before
    with server:
        lab.prove_alive(server)


def broken(*_: object, **__: object) -> None:
    """Stands in for a handler."""
    raise RuntimeError("the lab is broken")


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path.iterdir would make objects of them


def test_nothing_is_left_after_fifty_servers(lab: Lab) -> None:
    """Fifty servers, each with a client and half of them with it still connected, leave no thread and no descriptor."""
    lab.prove_alive(lab.serve())  # whatever is opened once
    files, threads = open_files(), threading.active_count()
    for number in range(50):
        server = lab.build(("explicit", "implicit", "plain")[number % 3]).start()
        client = lab.login(server)
        client.get("three")
        if number % 2:
            client.quit()
        server.stop()
        client.close()
    assert (open_files(), threading.active_count()) == (files, threads)


def test_a_hundred_servers_at_once(lab: Lab) -> None:
    """A hundred servers live in one process, each with its own port, and all are up and down in a few seconds."""
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
    assert time.monotonic() - began < 10


def test_two_clients_at_once_in_active_mode(lab: Lab) -> None:
    """An active transfer that is over does not disturb a connection that came after it."""
    server = lab.serve()
    first = lab.login(server, mode="port")
    assert first.get("three") == b"abc"
    second = lab.login(server)
    first.quit()
    assert second.get("three") == b"abc"
    second.quit()
    assert server.settle()


def test_a_server_at_rest_costs_nothing(lab: Lab) -> None:
    """Servers and connections that wait use no processor time."""
    clients = [lab.login(lab.serve(protocol)) for protocol in PROTOCOLS]
    assert busy_share(0.3) < 0.1
    for client in clients:
        client.quit()


def busy_share(seconds: float) -> float:
    """The share of the next seconds in which this process computes while this thread sleeps."""
    began = time.process_time()
    time.sleep(seconds)
    return (time.process_time() - began) / seconds
