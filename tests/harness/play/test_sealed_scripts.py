"""Scripted servers in the sealed place: under their own names, beside the ordinary server, for any program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.sandbox.home import Home
from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.interface import ServerSpec
from ftps_lab.scripted import PEERS, Heard

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.sandbox.process import Finished

pytestmark = pytest.mark.usefixtures("sealed_here")

READ_GREETING = "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).recv(99))"


def greeting_seen(place: Sealed, host: str, port: int) -> Finished:
    """Run a client inside the place that prints the first bytes from a server."""
    with Home(place.parent, place.inside) as home:
        return place.starter(home)(
            ["/usr/bin/python3", "-c", READ_GREETING, host, str(port)],
            env={"PATH": "/usr/bin:/bin"},
            cwd=home.seen(home.home),
            timeout=20,
        )


def test_scripted_servers_have_their_own_names_and_ports(sealed: Sealed, tmp_path: Path) -> None:
    leaf = issue({"leaf": CertificateSpec()})["leaf"]
    sealed.names = ("kept.example",)
    assert sealed.address_of("typed.example") is None
    root = sealed.parent or tmp_path
    ordinary = sealed.serve(ServerSpec(certificate=leaf), root=root, password="pw", host="typed.example")
    plain = sealed.serve_scripts(PEERS["plain-ftp"].scripts(), host="plain.example", port=2121)
    empty = sealed.serve_scripts(PEERS["empty"].scripts(), host="192.0.2.7", port=21)
    try:
        assert (plain.host, plain.port, empty.host, empty.port) == ("127.0.0.1", 2121, "192.0.2.7", 21)
        for host in ("plain.example", "typed.example", "kept.example"):
            assert b"220 ftps-lab ready." in greeting_seen(sealed, host, 2121).stdout
        assert b"220 " in greeting_seen(sealed, "typed.example", ordinary.port).stdout
        assert greeting_seen(sealed, "192.0.2.7", 21).stdout == b"b''\n"
        sealed.address_of("another.example")  # meanwhile the session adds another name
        assert b"220 " in greeting_seen(sealed, "plain.example", 2121).stdout
        assert greeting_seen(sealed, "typed.example", 2121).exit_code != 0
        assert len(plain.connections()) == 4
        assert len(empty.connections()) == 1
    finally:
        for server in (ordinary, plain, empty):
            server.stop()
        sealed.names = ()


def test_servers_of_one_name_get_different_ports(sealed: Sealed) -> None:
    first = sealed.serve_scripts(PEERS["not-available"].scripts(), host="a.example")
    second = sealed.serve_scripts(PEERS["plain-ftp"].scripts(), host="a.example")
    try:
        assert first.port != second.port
        assert b"421" in greeting_seen(sealed, "a.example", first.port).stdout
        assert b"220" in greeting_seen(sealed, "a.example", second.port).stdout
        assert sealed.names == ("a.example",)
    finally:
        first.stop()
        second.stop()
        sealed.names = ()


def test_lines_of_a_client_inside_are_recorded(sealed: Sealed) -> None:
    server = sealed.serve_scripts(PEERS["plain-ftp"].scripts(), host="plain.example")
    try:
        with Home(sealed.parent, sealed.inside) as home:
            code = (
                "import ftplib, sys; f = ftplib.FTP(); f.connect('plain.example', int(sys.argv[1])); f.login('me', 'p')"
            )
            done = sealed.starter(home)(
                ["/usr/bin/python3", "-c", code, str(server.port)],
                env={"PATH": "/usr/bin:/bin"},
                cwd=home.seen(home.home),
                timeout=20,
            )
        assert done.exit_code == 0, done.stderr
        (connection,) = server.connections()
        assert Heard(b"PASS p", "clear") in connection.lines
        assert connection.password == "clear"
    finally:
        server.stop()
        sealed.names = ()
