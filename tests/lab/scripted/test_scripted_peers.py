"""The ready-made scripts against a real client, openssl: which present a certificate to it, and which make it hang."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Literal

import pytest
from tests.lab.scripted.test_scripted_steps import client_context, connect_tls
from tests.lab.sessions import peer_der, read_until_closed

from ftps_lab.errors import LabError
from ftps_lab.scripted import PEERS, Heard
from ftps_lab.scripted.peers import BANNER_BYTES, CHAIN_LENGTH
from ftps_lab.scripted.texts import HOSTILE_TEXT, MARK

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.scripted.serving import Scripted

    from ftps_lab.certificates import Certificate
    from ftps_lab.scripted import Script, ScriptedServer

Outcome = Literal["certificate", "nothing", "hangs"]

OPENSSL: dict[str, Outcome] = {
    **dict.fromkeys(("plain-ftp", "plain-ftp-500", "plain-ftp-534", "auth-refused"), "nothing"),
    **dict.fromkeys(("tls-alert", "tls-closed", "tls-reset", "tls-text"), "nothing"),
    **dict.fromkeys(("http", "garbage", "garbage-in-tls", "empty", "reset", "not-available"), "nothing"),
    **dict.fromkeys(("silent", "silent-after-220", "silent-after-234", "silent-in-handshake"), "hangs"),
    **dict.fromkeys(("drip", "drip-reply", "drip-in-handshake", "big-banner"), "hangs"),
    # `openssl s_client -starttls ftp` takes the bytes of one read for a line, and continues after them.
    **dict.fromkeys(("big-line", "hostile-greeting-long"), "nothing"),
    **dict.fromkeys(("silent-in-tls", "drip-in-tls", "big-banner-ends"), "certificate"),
    **dict.fromkeys(("greeting-lines", "greeting-pieces", "greeting-numbers", "two-faces"), "certificate"),
    "silent-in-tls-implicit": "certificate",
    "long-chain": "nothing",  # more than 100 KB: SSL_CTX_set_max_cert_list(3)
    **{f"hostile-greeting-{name}": "certificate" for name in HOSTILE_TEXT if name != "long"},
    **{f"hostile-refusal-{name}": "nothing" for name in HOSTILE_TEXT},
}
HANGS = 0.8
"""Seconds. At the fifth dripped byte, openssl sees that it is not TLS."""


def scripts_of(name: str, certificates: dict[str, Certificate]) -> tuple[Script, ...]:
    presented = (certificates["genuine"], certificates["other"])
    return PEERS[name].scripts(*presented[: PEERS[name].certificates])


def openssl(server: ScriptedServer, seconds: float, *more: str) -> tuple[bytes, bool]:
    """The output of `openssl s_client`, and whether it had to be killed."""
    command = ["openssl", "s_client", "-connect", f"{server.host}:{server.port}", *more]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as client:
        try:
            return client.communicate(b"Q\n", seconds)[0], False
        except subprocess.TimeoutExpired:
            client.kill()
            return client.communicate()[0], True


def test_table_lists_every_peer() -> None:
    assert OPENSSL.keys() == PEERS.keys()
    assert all(peer.name == name and peer.what and "\n" not in peer.what for name, peer in PEERS.items())


@pytest.mark.parametrize("name", PEERS)
def test_openssl_reacts_to_each_peer_as_listed(
    scripted: Scripted, certificates: dict[str, Certificate], name: str
) -> None:
    server = scripted.serve(*scripts_of(name, certificates))
    starttls = () if name.endswith("implicit") else ("-starttls", "ftp")
    for _ in range(5):
        printed, hung = openssl(server, HANGS if OPENSSL[name] == "hangs" else 10, *starttls)
        if connections := server.connections(10):
            break  # on a busy machine, the time limit may end openssl before it has connected
    assert hung is (OPENSSL[name] == "hangs")
    assert (b"BEGIN CERTIFICATE" in printed) is (OPENSSL[name] == "certificate")
    (connection,) = connections
    assert connection.left or connection.ended
    assert connection.tls is (OPENSSL[name] == "certificate")
    if connection.tls:
        assert connection.certificate == certificates["genuine"].sha256
        assert certificates["genuine"].pem.strip() in printed
    assert (connection.user, connection.password) == ("", "")


@pytest.mark.parametrize("name", PEERS)
def test_stop_ends_every_peer_during_a_connection(
    scripted: Scripted, certificates: dict[str, Certificate], name: str
) -> None:
    """Whatever it is doing, even if its client neither reads nor leaves."""
    server = scripted.serve(*scripts_of(name, certificates))
    with contextlib.suppress(ConnectionResetError):  # the peer `reset` may be that fast
        scripted.connect(server)
    time.sleep(0.05)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 2
    assert all(each.ended is not None for each in server.connections(0))


@pytest.mark.parametrize("name", ["plain-ftp", "plain-ftp-500", "plain-ftp-534", "auth-refused", "tls-text"])
def test_peers_that_accept_any_login_record_the_password(
    scripted: Scripted, certificates: dict[str, Certificate], name: str
) -> None:
    server = scripted.serve(*scripts_of(name, certificates))
    with scripted.connect(server) as client:
        assert client.recv(512).startswith(b"220")
        client.sendall(b"AUTH TLS\r\n")
        answer = {"plain-ftp": b"502", "plain-ftp-500": b"500", "plain-ftp-534": b"534", "auth-refused": b"530"}
        assert client.recv(512)[:3] == answer.get(name, b"234")
        if name == "tls-text":
            client.sendall(b"\x16\x03\x01")
            assert client.recv(512)[:3] == b"454"
        client.sendall(b"USER me\r\n")
        assert client.recv(512)[:3] == b"331"
        client.sendall(b"PASS secret\r\n")
        assert client.recv(512)[:3] == b"230"
    (connection,) = server.connections(10)
    assert (connection.user, connection.password) == ("clear", "clear")
    assert Heard(b"PASS secret", "clear") in connection.lines


def test_two_faces_presents_its_second_certificate_from_then_on(
    scripted: Scripted, certificates: dict[str, Certificate]
) -> None:
    server = scripted.serve(*scripts_of("two-faces", certificates))
    seen = []
    for _ in range(3):
        with connect_tls(scripted.connect(server)) as client:
            seen.append(peer_der(client))
    genuine, other = certificates["genuine"], certificates["other"]
    assert seen == [genuine.der, other.der, other.der]
    assert [each.certificate for each in server.connections(10)] == [genuine.sha256, other.sha256, other.sha256]


def test_long_chain_is_built_within_a_second_and_sent_whole(
    scripted: Scripted, certificates: dict[str, Certificate]
) -> None:
    begin = time.process_time()  # other processes may keep this one waiting
    server = scripted.serve(*PEERS["long-chain"].scripts(certificates["leaf"], certificates["root"]))
    assert time.process_time() - begin < 1
    with pytest.raises(ssl.SSLError):  # this client has a limit of 100 KB, and has already read the length
        connect_tls(scripted.connect(server))
    (connection,) = server.connections(10)
    assert connection.certificate == certificates["leaf"].sha256
    assert connection.sent > CHAIN_LENGTH * len(certificates["root"].der)


@pytest.mark.parametrize("name", ["big-banner", "big-line", "big-banner-ends"])
def test_big_banner_has_its_size_and_its_end(
    scripted: Scripted, certificates: dict[str, Certificate], name: str
) -> None:
    server = scripted.serve(*scripts_of(name, certificates))
    with scripted.connect(server) as client:
        data = b""
        while len(data) < BANNER_BYTES - 1000:
            data += client.recv(1 << 20)
        client.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while more := client.recv(65536):
                data += more
        ends = [line for line in data.split(b"\r\n")[:-1] if line.startswith(b"220 ")]
        assert len(ends) == (name == "big-banner-ends")
        assert len(data.split(b"\r\n")) > 100_000 or name == "big-line"


@pytest.mark.parametrize("name", HOSTILE_TEXT)
def test_hostile_text_is_in_greeting_replies_and_refusal(
    scripted: Scripted, certificates: dict[str, Certificate], name: str
) -> None:
    """Each is one reply: it ends with its final line, and no earlier line looks like one."""
    server = scripted.serve(*scripts_of(f"hostile-greeting-{name}", certificates))
    one_line = HOSTILE_TEXT[name].replace(b"\n", b" ")
    client = scripted.connect(server)
    greeting = b"220-" + HOSTILE_TEXT[name] + b"\r\n220 " + one_line + b"\r\n"
    received = b""
    while len(received) < len(greeting):
        received += client.recv(65536)
    assert received == greeting
    client.sendall(b"AUTH TLS\r\n")
    assert client.recv(512)[:3] == b"234"
    with client_context().wrap_socket(client) as inside:
        inside.sendall(b"QUIT\r\n")
        assert read_until_closed(inside) == b"221 " + one_line + b"\r\n"
    refusing = scripted.serve(*scripts_of(f"hostile-refusal-{name}", certificates))
    with scripted.connect(refusing) as client:
        client.recv(512)
        client.sendall(b"AUTH TLS\r\nQUIT\r\n")
        assert read_until_closed(client).startswith(b"534-" + HOSTILE_TEXT[name] + b"\r\n534 ")


@pytest.mark.parametrize(("name", "quote"), [("command", b""), ("command", b'"'), ("quotes", b'"'), ("single", b"'")])
def test_hostile_command_creates_its_marker_in_a_shell(tmp_path: Path, name: str, quote: bytes) -> None:
    """Otherwise the absence of the marker would prove nothing."""
    command = b"echo " + quote + HOSTILE_TEXT[name] + quote
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False, capture_output=True)
    assert (tmp_path / MARK).exists()


def test_wrong_number_of_certificates_is_an_error(certificates: dict[str, Certificate]) -> None:
    with pytest.raises(LabError, match="two-faces needs 2 certificates, not 1"):
        PEERS["two-faces"].scripts(certificates["genuine"])
