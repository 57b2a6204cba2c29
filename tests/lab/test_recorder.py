"""The testimony tells exactly what happened, and is complete when settle() says so."""

from __future__ import annotations

import ftplib
import socket
import ssl
import threading
import time
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ftps_lab.recorder import Recorder
from ftps_lab.testimony import Alert, Command, Credential

if TYPE_CHECKING:
    from ftps_lab.servers import FtpsServer
    from ftps_lab.testimony import Testimony, Transfer
    from tests.lab.conftest import Lab, Mode

PEER = ("127.0.0.1", 40000)
PROTOCOLS = ("explicit", "implicit", "plain")


def told(server: FtpsServer) -> Testimony:
    """The complete testimony."""
    assert server.settle()
    return server.testimony()


# --- The recorder by itself


def test_a_reply_belongs_to_the_newest_command_of_its_connection() -> None:
    """Replies go to the connection's own newest command, and only the first one counts."""
    recorder = Recorder("genuine")
    one, two = recorder.opened("control", PEER), recorder.opened("control", PEER)
    one.command(Command(one.number, "RETR", "a", "clear"))
    two.command(Command(two.number, "NOOP", "", "tls"))
    one.replied(150)
    one.replied(226)
    two.replied(200)
    assert [command.reply for command in recorder.testimony().commands] == [150, 200]


def test_only_the_password_that_was_accepted_is_so() -> None:
    """let_in() marks the newest password of its own connection."""
    recorder = Recorder("genuine")
    one, two = recorder.opened("control", PEER), recorder.opened("control", PEER)
    for log, password in ((one, "wrong"), (one, "right"), (two, "other")):
        log.credential(Credential(log.number, "anna", password, "tls", accepted=False))
    one.let_in()
    testimony = recorder.testimony()
    assert [credential.accepted for credential in testimony.credentials] == [False, True, False]
    assert testimony.passwords == ["wrong", "right", "other"]
    assert testimony.logged_in
    assert not replace(testimony, credentials=testimony.credentials[:1]).logged_in


def test_a_connection_that_knows_no_command_ignores_replies() -> None:
    """A 421 before any command, or a login without a password, belongs to nothing."""
    recorder = Recorder("genuine")
    log = recorder.opened("control", PEER)
    log.replied(421)
    log.let_in()
    assert recorder.testimony().commands == ()


def test_closing_twice_counts_once() -> None:
    """Waiting ends when every connection is closed, and closing is repeatable."""
    recorder = Recorder("genuine")
    one, two = recorder.opened("control", PEER), recorder.opened("data", PEER)
    one.closed()
    one.closed()
    assert not recorder.wait_closed(0)
    threading.Timer(0.02, two.closed).start()
    assert recorder.wait_closed(5)


def test_what_is_noted_on_a_connection_stays() -> None:
    """A greeting and an error are both kept."""
    recorder = Recorder("impostor")
    log = recorder.opened("control", PEER)
    log.greeted()
    log.failed("SSL.Error: x")
    connection = recorder.testimony().connections[0]
    assert (recorder.testimony().role, connection.greeted, connection.error) == ("impostor", True, "SSL.Error: x")
    assert connection.opened >= 0


def test_a_record_can_be_read_while_it_grows() -> None:
    """Reading from one thread while another writes gives consistent copies."""
    recorder = Recorder("genuine")
    tap = recorder.tap("control", PEER)

    def write() -> None:
        for _ in range(3000):
            tap.to_server.extend(b"ab" * 50)
            recorder.tap("data", PEER)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        read = recorder.wire().records[0].to_server
        assert read == b"ab" * (len(read) // 2)
    writer.join()
    assert len(recorder.wire().records) == 3001


# --- What servers tell


def test_the_whole_story_of_an_explicit_session(lab: Lab) -> None:
    """Connections, handshakes, commands, credentials and transfers of one session, each exactly once and in order."""
    server = lab.serve(tls=("1.3",))
    client = lab.login(server)
    assert client.sock is not None
    peer = client.sock.getsockname()
    client.get("chunk")
    client.quit()
    told_by_server = told(server)
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
    assert started in {125, 150}  # whether the data connection was there already
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
    """Each transfer is told with its verb, name, direction, size, hash, channel and certificate."""
    server = lab.serve(protocol)
    client = lab.login(server, protect=protect, mode=mode)
    listing = client.download("LIST")
    names = client.download("NLST")
    client.get("large")
    client.put("new", b"abc")
    client.storbinary("APPE new", BytesReader(b"de"))
    client.quit()
    testimony = told(server)
    expected = [
        ("LIST", "", "download", listing),
        ("NLST", "", "download", names),
        ("RETR", "large", "download", lab.contents["large"]),
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


class BytesReader:
    """The least that ftplib reads from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, _size: int) -> bytes:
        content, self._content = self._content, b""
        return content


def test_files_are_told_by_their_place_below_the_root(lab: Lab) -> None:
    """The name does not depend on the folder that the client is in, nor on how it writes it; STOU tells the name made."""
    (lab.root / "folder").mkdir()
    (lab.root / "folder" / "inner").write_bytes(b"x")
    server = lab.serve()
    client = lab.login(server)
    client.cwd("folder")
    for name in ("inner", "/folder/inner", "../folder/inner"):
        client.get(name)
    client.storbinary("STOU", BytesReader(b"y"))
    client.download("LIST /")
    client.quit()
    names = [transfer.name for transfer in told(server).transfers]
    made = next(path.name for path in (lab.root / "folder").iterdir() if path.name != "inner")
    assert names == ["folder/inner"] * 3 + [f"folder/{made}", "/"]


def test_a_pipelined_command_does_not_rename_a_transfer(lab: Lab) -> None:
    """What is asked for during a transfer does not change what is told of it."""
    server = lab.serve("plain")
    client = lab.login(server)
    client.voidcmd("TYPE I")
    with client.data("RETR large") as data:
        client.putcmd("SIZE three")
        client.putcmd("CWD /")
        while data.recv(1 << 16):
            pass
    client.close()
    assert [(t.verb, t.name) for t in told(server).transfers][0] == ("RETR", "large")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_credentials_tell_the_channel(lab: Lab, protocol: str) -> None:
    """A password is told with its user, the channel that it came on, and whether it let somebody in."""
    server = lab.serve(protocol)
    client = lab.client(server)
    for password in ("wrong", lab.password):
        try:
            client.login("anna", password, secure=False)
        except ftplib.error_perm:
            assert password == "wrong"
    client.quit()
    channel = "tls" if protocol == "implicit" else "clear"
    assert told(server).credentials == (
        Credential(1, "anna", "wrong", channel, accepted=False),
        Credential(1, "anna", lab.password, channel, accepted=True),
    )


def test_a_password_that_require_tls_refused_was_still_told(lab: Lab) -> None:
    """A client that sends PASS in clear all the same has exposed it, and the testimony says so."""
    server = lab.serve(require_tls=True)
    sock = lab.connect(server)
    for command in (b"USER anna\r\n", b"PASS open secret\r\n"):
        sock.sendall(command)
        assert sock.recv(512).startswith(b"550")
    sock.close()
    testimony = told(server)
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
    """A client that refuses the certificate sends an alert; the handshake is told as not completed, with the SNI."""
    server = lab.serve(protocol, tls=(version,))
    sock = lab.connect(server, receive=b"" if protocol == "implicit" else b"220")
    if protocol == "explicit":
        sock.sendall(b"AUTH TLS\r\n")
        assert sock.recv(512).startswith(b"234")
    context = lab.trusting(*client_trusts)
    with pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(sock, server_hostname=name)
    testimony = told(server)
    (handshake,) = testimony.handshakes
    assert (handshake.completed, handshake.version, handshake.cipher) == (False, "", "")
    assert (handshake.server_name, handshake.certificate) == (name, lab.certificates["genuine"].sha256)
    assert handshake.error
    assert Alert(1, "received", "fatal", alert) in testimony.alerts
    assert testimony.connections[0].greeted is (protocol == "explicit")


def test_an_alert_that_the_server_sent(lab: Lab) -> None:
    """A client without a common version is told off by an alert, which is told as sent."""
    server = lab.serve(tls=("1.3",))
    client = lab.client(server, version="1.2")
    with pytest.raises(ssl.SSLError):
        client.auth()
    client.close()
    assert Alert(1, "sent", "fatal", "protocol_version") in told(server).alerts


def test_an_alert_after_a_finished_handshake(lab: Lab) -> None:
    """A clean end is told as close_notify, in both directions, after a completed handshake."""
    server = lab.serve()
    client = lab.client(server)
    client.auth()
    assert isinstance(client.sock, ssl.SSLSocket)
    client.sock.unwrap().close()
    testimony = told(server)
    assert testimony.handshakes[0].completed
    assert {(alert.direction, alert.level, alert.description) for alert in testimony.alerts} == {
        ("received", "warning", "close_notify"),
        ("sent", "warning", "close_notify"),
    }


def test_a_client_without_sni(lab: Lab) -> None:
    """A handshake without a server name tells None."""
    server = lab.serve("implicit")
    context = lab.trusting("genuine")
    context.check_hostname = False
    with context.wrap_socket(lab.connect(server, receive=b"")) as sock:
        assert sock.recv(512).startswith(b"220")
    assert told(server).handshakes[0].server_name is None


def test_an_implicit_server_greets_inside_tls_only(lab: Lab) -> None:
    """A client that never begins a handshake was not greeted, and its handshake is told as not completed."""
    server = lab.serve("implicit")
    lab.connect(server, receive=b"").close()
    testimony = told(server)
    assert [connection.greeted for connection in testimony.connections] == [False]
    assert [(handshake.completed, handshake.error) for handshake in testimony.handshakes] == [
        (False, "closed before the handshake was finished")
    ]


def test_clear_text_pipelined_behind_auth_is_not_obeyed(lab: Lab) -> None:
    """What comes in clear behind AUTH is never taken for something that came in TLS: it ends the connection."""
    server = lab.serve()
    sock = lab.connect(server)
    sock.sendall(b"AUTH TLS\r\nUSER anna\r\nPASS injected\r\n")
    assert sock.recv(512).startswith(b"234")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        lab.trusting("genuine").wrap_socket(sock, server_hostname="localhost")
    testimony = told(server)
    assert [(command.verb, command.channel) for command in testimony.commands] == [("AUTH", "clear")]
    assert [(handshake.completed, bool(handshake.error)) for handshake in testimony.handshakes] == [(False, True)]
    assert testimony.connections[0].error == "26 bytes in clear in the place of a TLS handshake"
    assert testimony.credentials == ()
    assert server.wire().holds(b"injected")


def test_pipelined_commands_get_their_own_replies(lab: Lab) -> None:
    """A wrong login and QUIT in one segment: each command has its own reply, and nothing of the server breaks."""
    server = lab.serve("plain")
    sock = lab.connect(server)
    sock.sendall(b"USER anna\r\nPASS wrong\r\nNOOP\r\nQUIT\r\n")
    received = b""
    while data := sock.recv(512):
        received += data
    assert [line[:3] for line in received.splitlines()] == [b"331", b"530", b"200", b"221"]
    assert [command.reply for command in told(server).commands] == [331, 530, 200, 221]


# --- Transfers that do not end well


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_aborted_download_is_not_completed(lab: Lab, protocol: str) -> None:
    """A client that goes away during a download has got less than the file."""
    server = lab.serve(protocol)
    client = lab.login(server)
    client.voidcmd("TYPE I")
    data = client.transfercmd("RETR large")
    assert data.recv(100)
    lab.vanish(data)
    with pytest.raises(ftplib.error_temp, match="^426"):
        client.voidresp()
    client.quit()
    transfer = the_transfer(server)
    assert (transfer.verb, transfer.completed) == ("RETR", False)
    assert 100 <= transfer.size < 5 << 20


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_upload_that_is_reset_is_not_completed(lab: Lab, protocol: str) -> None:
    """A data connection that ends in a reset has perhaps lost its end: 426, not 226."""
    server = lab.serve(protocol)
    client = lab.login(server)
    client.voidcmd("TYPE I")
    data = client.transfercmd("STOR up")
    data.sendall(b"x" * 1000)
    wait_for_bytes(server, 1000)
    lab.vanish(data)
    with pytest.raises(ftplib.error_temp, match="^426"):
        client.voidresp()
    client.quit()
    transfer = the_transfer(server)
    assert (transfer.verb, transfer.size, transfer.completed) == ("STOR", 1000, False)


@pytest.mark.parametrize("command", ["RETR large", "STOR up"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_abor(lab: Lab, protocol: str, command: str) -> None:
    """ABOR ends a transfer, which is told as not completed, and the next transfer works."""
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
    assert [transfer.completed for transfer in told(server).transfers] == [False, True]


def test_a_refused_data_certificate_is_told(lab: Lab) -> None:
    """A client that refuses the data connection's certificate gets 522, and no byte of content."""
    server = lab.serve(data_certificate=lab.certificates["other"])
    client = lab.login(server)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.get("three")
    with pytest.raises(ftplib.error_perm, match="^522"):
        client.voidresp()
    client.quit()
    testimony = told(server)
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
    assert [(t.size, t.completed) for t in told(server).transfers] == [(0, False)]


def the_transfer(server: FtpsServer) -> Transfer:
    """The only one."""
    (transfer,) = told(server).transfers
    return transfer


def wait_for_bytes(server: FtpsServer, count: int) -> None:
    """Until the server has received so much on data connections."""
    deadline = time.monotonic() + 5
    while sum(len(record.to_server) for record in server.wire().records if record.kind == "data") < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


# --- settle() and record()


@pytest.mark.parametrize("how", ["quit", "close", "reset"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_record_is_complete_after_the_client_is_gone(lab: Lab, protocol: str, how: str) -> None:
    """However the client ends, settle() returns True with everything that it had sent in the record."""
    server = lab.serve(protocol)
    for _ in range(10):
        server.record()
        client = lab.login(server)
        client.get("three")
        assert client.sock is not None
        if how == "quit":
            client.quit()
        elif how == "close":
            client.close()
        else:
            assert client.file is not None
            client.file.close()
            lab.vanish(client.sock)
        testimony = told(server)
        assert [transfer.name for transfer in testimony.transfers] == ["three"]
        assert testimony.commands[-1].verb == ("QUIT" if how == "quit" else "RETR")


def test_what_was_sent_just_before_the_end_is_in_the_record(lab: Lab) -> None:
    """A client that sends a password and hangs up at once was still heard, each time."""
    server = lab.serve("plain")
    for number in range(50):
        server.record()
        with socket.create_connection((server.host, server.port), 5) as sock:
            sock.sendall(b"USER anna\r\nPASS number %d\r\n" % number)
        assert told(server).passwords == [f"number {number}"]


def test_an_upload_whose_client_vanishes_at_once_is_on_the_record(lab: Lab) -> None:
    """Data and control connection closed together, without waiting for 226: what was sent was seen, each time."""
    server = lab.serve("plain")
    for number in range(30):
        server.record()
        client = lab.login(server)
        client.voidcmd("TYPE I")
        with client.data("STOR up") as data:
            data.sendall(b"content %d" % number)
        client.close()
        assert server.settle()
        assert server.wire().holds(b"content %d" % number)
        assert the_transfer(server).size == len(b"content %d" % number)


def test_connections_that_wait_to_be_accepted_are_waited_for(lab: Lab) -> None:
    """Many clients that connect and vanish at once are all in the record when settle() returns."""
    server = lab.serve("plain")
    for _ in range(5):
        server.record()
        server._waker.call(lambda: time.sleep(0.05))  # all of them are there before the server looks
        for number in range(40):
            with socket.create_connection((server.host, server.port), 5) as sock:
                sock.sendall(b"USER %d\r\n" % number)
        testimony = told(server)
        assert len(testimony.connections) == 40
        assert [command.argument for command in testimony.commands] == [str(number) for number in range(40)]


def test_settle_tells_that_a_client_is_still_there(lab: Lab) -> None:
    """With a client connected settle() waits as long as it may and returns False."""
    server = lab.serve()
    client = lab.login(server)
    began = time.monotonic()
    assert not server.settle(0.05)
    assert 0.04 < time.monotonic() - began < 1
    client.quit()
    assert server.settle()


def test_a_late_connection_stays_in_its_own_record(lab: Lab) -> None:
    """What a connection does after record() belongs to the record in which it began, data connections included."""
    server = lab.serve()
    late = lab.login(server)
    old = server.recorder
    server.record()
    late.put("late", b"late content")
    late.quit()
    lab.prove_alive(server)
    assert server.settle()
    assert old.wait_closed(5)
    assert [transfer.name for transfer in old.testimony().transfers] == ["late"]
    assert [transfer.name for transfer in server.testimony().transfers] == ["three"]
    assert len(server.wire().records) == 2
    assert server.testimony().connections[0].number == 1


def test_two_clients_are_kept_apart(lab: Lab) -> None:
    """Commands, credentials and transfers of two clients at once name their own connections."""
    server = lab.serve()
    anna, bert = lab.login(server, user="anna"), lab.login(server, user="bert")
    for client, content in ((anna, b"a"), (bert, b"bb"), (anna, b"aaa")):
        client.put("up", content)
    for client in (anna, bert):
        client.quit()
    testimony = told(server)
    number = {credential.user: credential.connection for credential in testimony.credentials}
    assert [(t.control, t.size) for t in testimony.transfers] == [
        (number["anna"], 1),
        (number["bert"], 2),
        (number["anna"], 3),
    ]
