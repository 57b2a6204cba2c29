"""A server's testimony records exactly what happened."""

from __future__ import annotations

import ftplib
import io
import socket
import ssl
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import ENDLESS, PROTOCOLS, create_huge_file
from tests.waiting import until

from ftps_lab.testimony import TLS_IN_CLEAR, Alert, Credential

if TYPE_CHECKING:
    from tests.conftest import Quiet
    from tests.lab.conftest import Lab, Mode

    from ftps_lab.servers import FtpsServer
    from ftps_lab.testimony import Channel, Transfer


def test_explicit_session_is_recorded_exactly(lab: Lab) -> None:
    """Connections, handshakes, commands, credentials and transfers, each once and in order."""
    server = lab.serve(tls=("1.3",))
    client = lab.login(server)
    assert client.sock is not None
    peer = client.sock.getsockname()
    client.get("chunk")
    client.quit()
    recorded = lab.testimony(server)
    control, data = recorded.connections
    assert (control.number, control.kind, control.peer, control.greeted, control.error) == (
        1,
        "control",
        peer,
        True,
        "",
    )
    assert (data.number, data.kind, data.peer[0], data.greeted, data.error) == (2, "data", "127.0.0.1", False, "")
    assert 0 <= control.opened <= data.opened < 5
    genuine = lab.certificates["genuine"].sha256
    for number, handshake in enumerate(recorded.handshakes, 1):
        assert (handshake.connection, handshake.completed, handshake.error) == (number, True, "")
        assert (handshake.version, handshake.server_name) == ("TLSv1.3", "localhost")
        assert (handshake.certificate, handshake.cipher[:4]) == (genuine, "TLS_")
    assert len(recorded.handshakes) == 2
    started = recorded.commands[-2].reply
    assert started in {125, 150}  # depends on whether the data connection already exists
    assert [(c.verb, c.argument, c.channel, c.reply) for c in recorded.commands] == [
        ("AUTH", "TLS", "clear", 234),
        ("USER", "anna", "tls", 331),
        ("PASS", "", "tls", 230),
        ("PBSZ", "0", "tls", 200),
        ("PROT", "P", "tls", 200),
        ("TYPE", "I", "tls", 200),
        ("PASV", "", "tls", 227),
        ("RETR", "chunk", "tls", started),
        ("QUIT", "", "tls", 221),
    ]
    assert recorded.credentials == (Credential(1, "anna", lab.password, "tls", accepted=True),)
    (transfer,) = recorded.transfers
    assert (transfer.connection, transfer.control, transfer.certificate) == (2, 1, genuine)
    assert (transfer.verb, transfer.name, transfer.direction, transfer.channel) == ("RETR", "chunk", "download", "tls")
    assert (transfer.size, transfer.completed) == (64 << 10, True)
    assert transfer.sha256 == sha256(lab.contents["chunk"]).hexdigest()


@pytest.mark.parametrize("mode", ["pasv", "epsv", "port", "eprt"])
@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_transfer_is_recorded(lab: Lab, protocol: str, protect: bool, mode: Mode) -> None:
    """With verb, name, direction, size, hash, channel and certificate."""
    server = lab.serve(protocol)
    client = lab.login(server, protect=protect, mode=mode)
    listing = client.download("LIST")
    names = client.download("NLST")
    client.get("chunk")
    client.put("new", b"abc")
    client.storbinary("APPE new", io.BytesIO(b"de"))
    client.quit()
    testimony = lab.testimony(server)
    expected = [
        ("LIST", "", "download", listing),
        ("NLST", "", "download", names),
        ("RETR", "chunk", "download", lab.contents["chunk"]),
        ("STOR", "new", "upload", b"abc"),
        ("APPE", "new", "upload", b"de"),
    ]
    assert [(t.verb, t.name, t.direction, t.size, t.sha256, t.completed) for t in testimony.transfers] == [
        (verb, name, direction, len(content), sha256(content).hexdigest(), True)
        for verb, name, direction, content in expected
    ]
    tls = protocol != "plain" and protect
    certificate = lab.certificates["genuine"].sha256 if tls else ""
    assert {(t.channel, t.certificate, t.control) for t in testimony.transfers} == {
        ("tls" if tls else "clear", certificate, 1)
    }
    assert [t.connection for t in testimony.transfers] == [c.number for c in testimony.connections if c.kind == "data"]


def test_transfer_has_its_path_below_the_root(lab: Lab) -> None:
    """From any folder and in any spelling; for STOU it is the name that the server made."""
    (lab.root / "folder").mkdir()
    (lab.root / "folder" / "inner").write_bytes(b"x")
    server = lab.serve()
    client = lab.login(server)
    client.cwd("folder")
    for name in ("inner", "/folder/inner", "../folder/inner"):
        client.get(name)
    client.storbinary("STOU", io.BytesIO(b"y"))
    client.download("LIST /")
    client.quit()
    names = [transfer.name for transfer in lab.testimony(server).transfers]
    made = next(path.name for path in (lab.root / "folder").iterdir() if path.name != "inner")
    assert names == ["folder/inner"] * 3 + [f"folder/{made}", "/"]


def test_pipelined_command_does_not_rename_a_transfer(lab: Lab) -> None:
    server = lab.serve("plain")
    client = lab.login(server)
    client.voidcmd("TYPE I")
    with client.data("RETR large") as data:
        client.putcmd("SIZE three")
        client.putcmd("CWD /")
        while data.recv(1 << 16):
            pass
    client.close()
    assert (only_transfer(lab, server).verb, only_transfer(lab, server).name) == ("RETR", "large")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_credential_has_user_channel_and_acceptance(lab: Lab, protocol: str) -> None:
    server = lab.serve(protocol)
    client = lab.client(server)
    for password in ("wrong", lab.password):
        try:
            client.login("anna", password, secure=False)
        except ftplib.error_perm:
            assert password == "wrong"
    client.quit()
    channel: Channel = "tls" if protocol == "implicit" else "clear"
    assert lab.testimony(server).credentials == (
        Credential(1, "anna", "wrong", channel, accepted=False),
        Credential(1, "anna", lab.password, channel, accepted=True),
    )


def test_cleartext_password_refused_by_require_tls_is_recorded(lab: Lab) -> None:
    """The client has exposed it all the same."""
    server = lab.serve(require_tls=True)
    sock = lab.connect(server)
    for command in (b"USER anna\r\n", b"PASS open secret\r\n"):
        sock.sendall(command)
        assert sock.recv(512).startswith(b"550")
    sock.close()
    testimony = lab.testimony(server)
    assert testimony.credentials == (Credential(1, "anna", "open secret", "clear", accepted=False),)
    assert [(command.verb, command.reply) for command in testimony.commands] == [("USER", 550), ("PASS", 550)]
    assert not testimony.logged_in


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
@pytest.mark.parametrize(
    ("client_trusts", "name", "alert"),
    [((), "localhost", "unknown_ca"), (("genuine",), "elsewhere.test", "bad_certificate")],
)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_refused_certificate_is_recorded_with_alert_and_sni(
    lab: Lab, protocol: str, client_trusts: tuple[str, ...], name: str, alert: str, version: str
) -> None:
    """The handshake is recorded as incomplete."""
    server = lab.serve(protocol, tls=(version,))
    sock = lab.connect(server, receive=b"" if protocol == "implicit" else b"220")
    if protocol == "explicit":
        sock.sendall(b"AUTH TLS\r\n")
        assert sock.recv(512).startswith(b"234")
    context = lab.trusting(*client_trusts)
    with pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(sock, server_hostname=name)
    testimony = lab.testimony(server)
    (handshake,) = testimony.handshakes
    assert (handshake.completed, handshake.version, handshake.cipher) == (False, "", "")
    assert (handshake.server_name, handshake.certificate) == (name, lab.certificates["genuine"].sha256)
    assert handshake.error
    assert Alert(1, "received", "fatal", alert) in testimony.alerts
    assert testimony.connections[0].greeted is (protocol == "explicit")


def test_alert_of_the_server_is_recorded_as_sent(lab: Lab) -> None:
    """Here: the client has no TLS version in common with the server."""
    server = lab.serve(tls=("1.3",))
    client = lab.client(server, version="1.2")
    with pytest.raises(ssl.SSLError):
        client.auth()
    client.close()
    assert Alert(1, "sent", "fatal", "protocol_version") in lab.testimony(server).alerts


def test_close_notify_is_recorded_in_both_directions(lab: Lab) -> None:
    server = lab.serve()
    client = lab.client(server)
    client.auth()
    assert isinstance(client.sock, ssl.SSLSocket)
    client.sock.unwrap().close()
    testimony = lab.testimony(server)
    assert testimony.handshakes[0].completed
    assert {(alert.direction, alert.level, alert.description) for alert in testimony.alerts} == {
        ("received", "warning", "close_notify"),
        ("sent", "warning", "close_notify"),
    }


def test_handshake_without_sni_has_no_server_name(lab: Lab) -> None:
    server = lab.serve("implicit")
    context = lab.trusting("genuine")
    context.check_hostname = False
    with context.wrap_socket(lab.connect(server, receive=b"")) as sock:
        assert sock.recv(512).startswith(b"220")
    assert lab.testimony(server).handshakes[0].server_name is None


def test_reply_220_to_epsv_all_is_not_a_greeting(lab: Lab) -> None:
    """RFC 2428 section 4."""
    server = lab.serve("plain")
    client = lab.login(server)
    client.sendcmd("EPSV ALL")
    client.quit()
    assert ("EPSV", 220) in [(command.verb, command.reply) for command in lab.testimony(server).commands]


def test_implicit_server_greets_only_inside_tls(lab: Lab) -> None:
    """A client that never starts a handshake gets no greeting, and its handshake is recorded as incomplete."""
    server = lab.serve("implicit")
    lab.connect(server, receive=b"").close()
    testimony = lab.testimony(server)
    assert [connection.greeted for connection in testimony.connections] == [False]
    assert [(handshake.completed, handshake.error) for handshake in testimony.handshakes] == [
        (False, "closed before the handshake was finished")
    ]


def test_cleartext_pipelined_after_auth_ends_the_connection(lab: Lab) -> None:
    """It is never taken for text in TLS."""
    server = lab.serve()
    sock = lab.connect(server)
    sock.sendall(b"AUTH TLS\r\nUSER anna\r\nPASS injected\r\n")
    assert sock.recv(512).startswith(b"234")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        lab.trusting("genuine").wrap_socket(sock, server_hostname="localhost")
    testimony = lab.testimony(server)
    assert [(command.verb, command.channel) for command in testimony.commands] == [("AUTH", "clear")]
    assert [(handshake.completed, bool(handshake.error)) for handshake in testimony.handshakes] == [(False, True)]
    assert testimony.connections[0].error == "26 bytes in clear instead of a TLS handshake"
    assert testimony.credentials == ()
    assert server.wire().holds(b"injected")


def test_pipelined_commands_have_their_own_replies(lab: Lab) -> None:
    """With a wrong login and QUIT in one segment."""
    server = lab.serve("plain")
    sock = lab.connect(server)
    sock.sendall(b"USER anna\r\nPASS wrong\r\nNOOP\r\nQUIT\r\n")
    received = b""
    while data := sock.recv(512):
        received += data
    assert [line[:3] for line in received.splitlines()] == [b"331", b"530", b"200", b"221"]
    assert [command.reply for command in lab.testimony(server).commands] == [331, 530, 200, 221]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_download_reset_by_client_is_incomplete(lab: Lab, protocol: str) -> None:
    create_huge_file(lab)
    server = lab.serve(protocol)
    client = lab.login(server)
    client.voidcmd("TYPE I")
    data = client.transfercmd("RETR huge")
    assert data.recv(100)
    lab.close_with_reset(data)
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()
    client.quit()
    transfer = only_transfer(lab, server)
    assert (transfer.verb, transfer.completed) == ("RETR", False)
    assert 100 <= transfer.size < ENDLESS


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_upload_reset_by_client_is_incomplete(lab: Lab, protocol: str) -> None:
    """The reset may have discarded its end: 426, not 226."""
    server = lab.serve(protocol)
    client = lab.login(server)
    client.voidcmd("TYPE I")
    data = client.transfercmd("STOR up")
    data.sendall(b"x" * 1000)
    wait_for_bytes(server, 1000)
    lab.close_with_reset(data)
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()
    client.quit()
    transfer = only_transfer(lab, server)
    assert (transfer.verb, transfer.completed) == ("STOR", False)
    assert transfer.size <= 1000  # a reset may discard bytes that the server had not read


@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_transfer_ended_by_abor_is_incomplete(lab: Lab, protocol: str, command: str) -> None:
    """The next transfer works."""
    create_huge_file(lab)
    server = lab.serve(protocol)
    client = lab.login(server)
    client.voidcmd("TYPE I")
    with client.transfercmd(command) as data:
        if command == "STOR up":
            data.sendall(b"x" * 1000)
            wait_for_bytes(server, 1000)
        else:
            assert data.recv(100)
        client.putcmd("ABOR")
        assert client.getmultiline()[:3] == "426"
        assert client.getmultiline()[:3] == "226"
    assert client.get("three") == b"abc"
    client.quit()
    assert [transfer.completed for transfer in lab.testimony(server).transfers] == [False, True]


def test_abor_ends_a_download_that_its_client_does_not_read(
    lab: Lab, small_send_buffers: None, prove_quiet: Quiet
) -> None:
    """At once, even while encrypted bytes wait for the client."""
    server = lab.serve()
    client = lab.login(server)
    client.voidcmd("TYPE I")
    with client.transfercmd("RETR large") as data:
        assert data.recv(100)
        prove_quiet(server)  # every buffer is full
        client.putcmd("ABOR")
        assert client.getmultiline()[:3] == "426"
        assert client.getmultiline()[:3] == "226"
        assert [transfer.completed for transfer in server.testimony().transfers] == [False]


def test_refused_data_certificate_gets_522_and_is_recorded(lab: Lab) -> None:
    """The client gets no byte of content."""
    server = lab.serve(data_certificate=lab.certificates["other"])
    client = lab.login(server)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.get("three")
    with pytest.raises(ftplib.error_perm, match=r"^522"):
        client.voidresp()
    client.quit()
    testimony = lab.testimony(server)
    assert [handshake.completed for handshake in testimony.handshakes] == [True, False]
    assert Alert(2, "received", "fatal", "unknown_ca") in testimony.alerts
    (transfer,) = testimony.transfers
    assert (transfer.verb, transfer.size, transfer.completed) == ("RETR", 0, False)
    assert (transfer.channel, transfer.certificate) == ("tls", lab.certificates["other"].sha256)


@pytest.mark.parametrize("command", ["RETR three", "STOR up", "LIST"])
def test_data_connection_closed_before_handshake_gets_a_reply(lab: Lab, command: str) -> None:
    """A client that waits for the end of such a transfer gets a reply, not silence."""
    server = lab.serve()
    client = lab.login(server)
    client.data(command).close()
    with pytest.raises(ftplib.Error, match=r"^(425|426|522)"):
        client.voidresp()
    client.quit()
    assert [(t.size, t.completed) for t in lab.testimony(server).transfers] == [(0, False)]


def only_transfer(lab: Lab, server: FtpsServer) -> Transfer:
    """The only transfer."""
    (transfer,) = lab.testimony(server).transfers
    return transfer


def wait_for_bytes(server: FtpsServer, count: int) -> None:
    """Wait until the server has received this many bytes on data connections."""
    until(lambda: sum(len(r.to_server) for r in server.wire().records if r.kind == "data") >= count, pause=0.001)


@pytest.mark.parametrize("protocol", ["explicit", "plain"])
def test_client_hello_on_cleartext_control_is_a_failed_handshake(lab: Lab, protocol: str) -> None:
    """Nothing that the client sends after it is a command; on other connections the server continues."""
    server = lab.serve(protocol)
    sock = lab.connect(server)
    sock.sendall(b"\x16\x03\x01\x00\x08USER a\r\n")
    sock.sendall(b"PASS secret\r\n")
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(512) == b""
    sock.close()
    assert server.settle()
    testimony = server.testimony()
    (handshake,) = testimony.handshakes
    assert (handshake.connection, handshake.completed, handshake.certificate) == (1, False, "")
    assert handshake.error == TLS_IN_CLEAR
    assert testimony.commands == ()
    assert testimony.credentials == ()
    assert b"PASS secret" in server.wire().records[0].to_server
    lab.prove_alive(server)


def test_handshake_byte_within_a_command_is_not_a_client_hello(lab: Lab) -> None:
    """The byte only counts where a command could begin."""
    server = lab.serve()
    sock = lab.connect(server)
    sock.sendall(b"NOOP")
    time.sleep(0.05)
    sock.sendall(b"\x16\x03\r\n")
    assert sock.recv(512).startswith(b"5")
    sock.close()
    assert server.settle()
    assert server.testimony().handshakes == ()
