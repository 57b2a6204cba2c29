"""The testimony of a server says exactly what happened."""

from __future__ import annotations

import ftplib
import io
import socket
import ssl
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import ENDLESS, PROTOCOLS, spread
from tests.waiting import until

from ftps_lab.testimony import TLS_IN_CLEAR, Alert, Credential

if TYPE_CHECKING:
    from tests.conftest import Quiet
    from tests.lab.conftest import Lab, Mode

    from ftps_lab.servers import FtpsServer
    from ftps_lab.testimony import Channel, Transfer


def test_the_whole_story_of_an_explicit_session(lab: Lab) -> None:
    """Connections, handshakes, commands, credentials and transfers of one session, each exactly once and in order."""
    server = lab.serve(tls=("1.3",))
    client = lab.login(server)
    assert client.sock is not None
    peer = client.sock.getsockname()
    client.get("chunk")
    client.quit()
    told_by_server = lab.told(server)
    control, data = told_by_server.connections
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
    for number, handshake in enumerate(told_by_server.handshakes, 1):
        assert (handshake.connection, handshake.completed, handshake.error) == (number, True, "")
        assert (handshake.version, handshake.server_name) == ("TLSv1.3", "localhost")
        assert (handshake.certificate, handshake.cipher[:4]) == (genuine, "TLS_")
    assert len(told_by_server.handshakes) == 2
    started = told_by_server.commands[-2].reply
    assert started in {125, 150}  # depends on whether the data connection already exists
    assert [(c.verb, c.argument, c.channel, c.reply) for c in told_by_server.commands] == [
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
    assert told_by_server.credentials == (Credential(1, "anna", lab.password, "tls", accepted=True),)
    (transfer,) = told_by_server.transfers
    assert (transfer.connection, transfer.control, transfer.certificate) == (2, 1, genuine)
    assert (transfer.verb, transfer.name, transfer.direction, transfer.channel) == ("RETR", "chunk", "download", "tls")
    assert (transfer.size, transfer.completed) == (64 << 10, True)
    assert transfer.sha256 == sha256(lab.contents["chunk"]).hexdigest()


@pytest.mark.parametrize("mode", ["pasv", "epsv", "port", "eprt"])
@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_transfer_is_told(lab: Lab, protocol: str, protect: bool, mode: Mode) -> None:
    """Each transfer is recorded with its verb, name, direction, size, hash, channel and certificate."""
    server = lab.serve(protocol)
    client = lab.login(server, protect=protect, mode=mode)
    listing = client.download("LIST")
    names = client.download("NLST")
    client.get("chunk")
    client.put("new", b"abc")
    client.storbinary("APPE new", io.BytesIO(b"de"))
    client.quit()
    testimony = lab.told(server)
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


def test_files_are_told_by_their_place_below_the_root(lab: Lab) -> None:
    """The name is the same from any folder and in any spelling; for STOU it is the name that the server made."""
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
    names = [transfer.name for transfer in lab.told(server).transfers]
    made = next(path.name for path in (lab.root / "folder").iterdir() if path.name != "inner")
    assert names == ["folder/inner"] * 3 + [f"folder/{made}", "/"]


def test_a_pipelined_command_does_not_rename_a_transfer(lab: Lab) -> None:
    """A command during a transfer does not change the transfer's record."""
    server = lab.serve("plain")
    client = lab.login(server)
    client.voidcmd("TYPE I")
    with client.data("RETR large") as data:
        client.putcmd("SIZE three")
        client.putcmd("CWD /")
        while data.recv(1 << 16):
            pass
    client.close()
    assert (the_transfer(lab, server).verb, the_transfer(lab, server).name) == ("RETR", "large")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_credentials_tell_the_channel(lab: Lab, protocol: str) -> None:
    """A password is recorded with its user, its channel, and whether it was accepted."""
    server = lab.serve(protocol)
    client = lab.client(server)
    for password in ("wrong", lab.password):
        try:
            client.login("anna", password, secure=False)
        except ftplib.error_perm:
            assert password == "wrong"
    client.quit()
    channel: Channel = "tls" if protocol == "implicit" else "clear"
    assert lab.told(server).credentials == (
        Credential(1, "anna", "wrong", channel, accepted=False),
        Credential(1, "anna", lab.password, channel, accepted=True),
    )


def test_a_password_that_require_tls_refused_was_still_told(lab: Lab) -> None:
    """A client that sends PASS in clear anyway has exposed its password, and the testimony says so."""
    server = lab.serve(require_tls=True)
    sock = lab.connect(server)
    for command in (b"USER anna\r\n", b"PASS open secret\r\n"):
        sock.sendall(command)
        assert sock.recv(512).startswith(b"550")
    sock.close()
    testimony = lab.told(server)
    assert testimony.credentials == (Credential(1, "anna", "open secret", "clear", accepted=False),)
    assert [(command.verb, command.reply) for command in testimony.commands] == [("USER", 550), ("PASS", 550)]
    assert not testimony.logged_in


@pytest.mark.parametrize("protocol", ["explicit", "implicit"])
@pytest.mark.parametrize(
    ("client_trusts", "name", "alert"),
    [((), "localhost", "unknown_ca"), (("genuine",), "elsewhere.test", "bad_certificate")],
)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_refused_certificate_is_told_by_its_alert(
    lab: Lab, protocol: str, client_trusts: tuple[str, ...], name: str, alert: str, version: str
) -> None:
    """A client that refuses the certificate sends an alert; the handshake is recorded as incomplete, with the SNI."""
    server = lab.serve(protocol, tls=(version,))
    sock = lab.connect(server, receive=b"" if protocol == "implicit" else b"220")
    if protocol == "explicit":
        sock.sendall(b"AUTH TLS\r\n")
        assert sock.recv(512).startswith(b"234")
    context = lab.trusting(*client_trusts)
    with pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(sock, server_hostname=name)
    testimony = lab.told(server)
    (handshake,) = testimony.handshakes
    assert (handshake.completed, handshake.version, handshake.cipher) == (False, "", "")
    assert (handshake.server_name, handshake.certificate) == (name, lab.certificates["genuine"].sha256)
    assert handshake.error
    assert Alert(1, "received", "fatal", alert) in testimony.alerts
    assert testimony.connections[0].greeted is (protocol == "explicit")


def test_an_alert_that_the_server_sent(lab: Lab) -> None:
    """A client without a common version gets an alert, which is recorded as sent."""
    server = lab.serve(tls=("1.3",))
    client = lab.client(server, version="1.2")
    with pytest.raises(ssl.SSLError):
        client.auth()
    client.close()
    assert Alert(1, "sent", "fatal", "protocol_version") in lab.told(server).alerts


def test_an_alert_after_a_finished_handshake(lab: Lab) -> None:
    """A clean end is recorded as close_notify, in both directions, after a completed handshake."""
    server = lab.serve()
    client = lab.client(server)
    client.auth()
    assert isinstance(client.sock, ssl.SSLSocket)
    client.sock.unwrap().close()
    testimony = lab.told(server)
    assert testimony.handshakes[0].completed
    assert {(alert.direction, alert.level, alert.description) for alert in testimony.alerts} == {
        ("received", "warning", "close_notify"),
        ("sent", "warning", "close_notify"),
    }


def test_a_client_without_sni(lab: Lab) -> None:
    """A handshake without a server name has None."""
    server = lab.serve("implicit")
    context = lab.trusting("genuine")
    context.check_hostname = False
    with context.wrap_socket(lab.connect(server, receive=b"")) as sock:
        assert sock.recv(512).startswith(b"220")
    assert lab.told(server).handshakes[0].server_name is None


def test_epsv_all_is_a_command_like_any_other(lab: Lab) -> None:
    """Its reply also begins with 220 (RFC 2428 section 4), but is not taken for a greeting."""
    server = lab.serve("plain")
    client = lab.login(server)
    client.sendcmd("EPSV ALL")
    client.quit()
    assert ("EPSV", 220) in [(command.verb, command.reply) for command in lab.told(server).commands]


def test_an_implicit_server_greets_inside_tls_only(lab: Lab) -> None:
    """A client that never starts a handshake is not greeted, and its handshake is recorded as incomplete."""
    server = lab.serve("implicit")
    lab.connect(server, receive=b"").close()
    testimony = lab.told(server)
    assert [connection.greeted for connection in testimony.connections] == [False]
    assert [(handshake.completed, handshake.error) for handshake in testimony.handshakes] == [
        (False, "closed before the handshake was finished")
    ]


def test_clear_text_pipelined_behind_auth_is_not_obeyed(lab: Lab) -> None:
    """Clear text after AUTH is never taken for text in TLS: it ends the connection."""
    server = lab.serve()
    sock = lab.connect(server)
    sock.sendall(b"AUTH TLS\r\nUSER anna\r\nPASS injected\r\n")
    assert sock.recv(512).startswith(b"234")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        lab.trusting("genuine").wrap_socket(sock, server_hostname="localhost")
    testimony = lab.told(server)
    assert [(command.verb, command.channel) for command in testimony.commands] == [("AUTH", "clear")]
    assert [(handshake.completed, bool(handshake.error)) for handshake in testimony.handshakes] == [(False, True)]
    assert testimony.connections[0].error == "26 bytes in clear in the place of a TLS handshake"
    assert testimony.credentials == ()
    assert server.wire().holds(b"injected")


def test_pipelined_commands_get_their_own_replies(lab: Lab) -> None:
    """With a wrong login and QUIT in one segment, each command has its own reply, and nothing breaks in the server."""
    server = lab.serve("plain")
    sock = lab.connect(server)
    sock.sendall(b"USER anna\r\nPASS wrong\r\nNOOP\r\nQUIT\r\n")
    received = b""
    while data := sock.recv(512):
        received += data
    assert [line[:3] for line in received.splitlines()] == [b"331", b"530", b"200", b"221"]
    assert [command.reply for command in lab.told(server).commands] == [331, 530, 200, 221]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_aborted_download_is_not_completed(lab: Lab, protocol: str) -> None:
    """A client that leaves during a download has received less than the file."""
    spread(lab)
    server = lab.serve(protocol)
    client = lab.login(server)
    client.voidcmd("TYPE I")
    data = client.transfercmd("RETR huge")
    assert data.recv(100)
    lab.vanish(data)
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()
    client.quit()
    transfer = the_transfer(lab, server)
    assert (transfer.verb, transfer.completed) == ("RETR", False)
    assert 100 <= transfer.size < ENDLESS


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_upload_that_is_reset_is_not_completed(lab: Lab, protocol: str) -> None:
    """A data connection that ends in a reset may have lost its end: 426, not 226."""
    server = lab.serve(protocol)
    client = lab.login(server)
    client.voidcmd("TYPE I")
    data = client.transfercmd("STOR up")
    data.sendall(b"x" * 1000)
    wait_for_bytes(server, 1000)
    lab.vanish(data)
    with pytest.raises(ftplib.error_temp, match=r"^426"):
        client.voidresp()
    client.quit()
    transfer = the_transfer(lab, server)
    assert (transfer.verb, transfer.completed) == ("STOR", False)
    assert transfer.size <= 1000  # a reset may discard bytes that the server had not read


@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_abor(lab: Lab, protocol: str, command: str) -> None:
    """ABOR ends a transfer, which is recorded as incomplete, and the next transfer works."""
    spread(lab)
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
    assert [transfer.completed for transfer in lab.told(server).transfers] == [False, True]


def test_an_aborted_download_does_not_wait_for_its_reader(lab: Lab, choked: None, prove_quiet: Quiet) -> None:
    """ABOR ends a download at once, even while encrypted bytes wait for a client that does not read them."""
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


def test_a_refused_data_certificate_is_told(lab: Lab) -> None:
    """A client that refuses the data connection's certificate gets 522, and no byte of content."""
    server = lab.serve(data_certificate=lab.certificates["other"])
    client = lab.login(server)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.get("three")
    with pytest.raises(ftplib.error_perm, match=r"^522"):
        client.voidresp()
    client.quit()
    testimony = lab.told(server)
    assert [handshake.completed for handshake in testimony.handshakes] == [True, False]
    assert Alert(2, "received", "fatal", "unknown_ca") in testimony.alerts
    (transfer,) = testimony.transfers
    assert (transfer.verb, transfer.size, transfer.completed) == ("RETR", 0, False)
    assert (transfer.channel, transfer.certificate) == ("tls", lab.certificates["other"].sha256)


@pytest.mark.parametrize("command", ["RETR three", "STOR up", "LIST"])
def test_a_data_connection_that_ends_before_its_handshake_is_answered(lab: Lab, command: str) -> None:
    """A client that waits for the end of such a transfer gets a reply, not silence."""
    server = lab.serve()
    client = lab.login(server)
    client.data(command).close()
    with pytest.raises(ftplib.Error, match=r"^(425|426|522)"):
        client.voidresp()
    client.quit()
    assert [(t.size, t.completed) for t in lab.told(server).transfers] == [(0, False)]


def the_transfer(lab: Lab, server: FtpsServer) -> Transfer:
    """The only transfer."""
    (transfer,) = lab.told(server).transfers
    return transfer


def wait_for_bytes(server: FtpsServer, count: int) -> None:
    """Wait until the server has received this many bytes on data connections."""
    until(lambda: sum(len(r.to_server) for r in server.wire().records if r.kind == "data") >= count, pause=0.001)


@pytest.mark.parametrize("protocol", ["explicit", "plain"])
def test_tls_where_ftp_in_clear_is_spoken_is_a_failed_handshake(lab: Lab, protocol: str) -> None:
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


def test_such_a_byte_within_a_command_is_none(lab: Lab) -> None:
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
