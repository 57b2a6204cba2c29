"""Which logins are accepted, and which client bytes an impostor keeps: all, even if they never become a command."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from ftps_lab.testimony import CAPTURED

if TYPE_CHECKING:
    from tests.lab.conftest import Lab

    from ftps_lab.servers import FtpsServer
    from ftps_lab.testimony import Testimony


def connect_implicit(lab: Lab, server: FtpsServer) -> ssl.SSLSocket:
    """A client of implicit FTPS that can send anything."""
    sock = socket.create_connection((server.host, server.port), 10)
    return lab.trusting(verify=False).wrap_socket(sock, server_hostname="localhost")


def record_session(lab: Lab, server: FtpsServer, *pieces: bytes) -> Testimony:
    """The testimony of a client that sends these pieces and leaves."""
    server.record()
    with connect_implicit(lab, server) as client:
        assert client.recv(1024).startswith(b"220")
        for piece in pieces:
            client.sendall(piece)
        with contextlib.suppress(ssl.SSLError):  # an unread answer
            client.unwrap()
    return lab.testimony(server)


def verbs(testimony: Testimony) -> list[tuple[str, str]]:
    return [(command.verb, command.argument) for command in testimony.commands]


@pytest.mark.parametrize(
    ("user", "password", "let_in"),
    [("me", "right", True), ("you", "right", False), ("me", "wrong", False), ("anonymous", "x@y", True)],
)
def test_configured_user_and_password_are_the_only_login(lab: Lab, user: str, password: str, let_in: bool) -> None:
    server = lab.serve("plain", user="me", password="right")
    client = lab.client(server)
    if let_in:
        assert client.login(user, password, secure=False).startswith("230")
    else:
        with pytest.raises(ftplib.error_perm, match="530"):
            client.login(user, password, secure=False)


def test_change_replaces_the_password(lab: Lab) -> None:
    server = lab.serve("plain", password="one")
    server.change(lab.spec("plain", password="two"))
    with pytest.raises(ftplib.error_perm, match="530"):
        lab.client(server).login("me", "one", secure=False)
    assert lab.client(server).login("me", "two", secure=False).startswith("230")


def test_latin_1_password_is_recorded_but_not_accepted(lab: Lab) -> None:
    """A server that stores passwords in UTF-8 refuses it too; the impostor still has it."""
    server = lab.serve("implicit", role="impostor", password="größer")
    latin = record_session(lab, server, "USER ü\r\nPASS größer\r\n".encode("latin-1"))
    assert [(c.user, c.password, c.accepted) for c in latin.credentials] == [("ü", "größer", False)]
    mixed = record_session(lab, server, "USER ü\r\n".encode("latin-1"), "PASS größer\r\n".encode())
    assert [c.accepted for c in mixed.credentials] == [False]
    right = record_session(lab, server, "USER ü\r\n".encode("latin-1"), "USER ü\r\nPASS größer\r\n".encode())
    assert [(c.user, c.password, c.accepted) for c in right.credentials] == [("ü", "größer", True)]


LONG = b"SITE " + b"x" * 3000 + b"secret"


@pytest.mark.parametrize(
    ("pieces", "rest"),
    [
        ([b"USER me\r\nPASS sec", b"ret"], ["PASS secret"]),
        ([LONG], [LONG.decode()]),
        ([LONG[:1500], LONG[1500:], b"\r\nNOOP\r\n"], [LONG.decode()]),
        ([b"NOOP\r\n"], []),
    ],
)
def test_impostor_keeps_bytes_that_are_not_a_command(lab: Lab, pieces: list[bytes], rest: list[str]) -> None:
    """They may contain a password."""
    server = lab.serve("implicit", role="impostor")
    kept = "".join(argument for verb, argument in verbs(record_session(lab, server, *pieces)) if verb == "")
    assert all(text in kept for text in rest)
    assert bool(kept) is bool(rest)


def test_genuine_server_discards_bytes_that_are_not_a_command(lab: Lab) -> None:
    """Bytes that it got in TLS leaked to no one; bytes that it got in clear are on the wire."""
    server = lab.serve("implicit")
    assert verbs(record_session(lab, server, b"NOOP\r\nUSER me")) == [("NOOP", "")]


@pytest.mark.parametrize("role", ["genuine", "impostor"])
def test_only_an_impostor_captures_the_start_of_an_upload(lab: Lab, role: str) -> None:
    server = lab.serve("explicit", role=role)
    content = b"secret" + b"x" * (2 * CAPTURED)
    server.record()
    with lab.login(server) as client:
        client.storbinary("STOR x", BytesIO(content))
    (transfer,) = lab.testimony(server).transfers
    assert transfer.size == len(content)
    assert transfer.captured == (content[:CAPTURED] if role == "impostor" else b"")
