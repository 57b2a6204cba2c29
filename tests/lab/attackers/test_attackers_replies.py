"""The interceptor passes on the genuine server's replies, except for the addresses of data connections."""

from __future__ import annotations

import contextlib
import ftplib
import re
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import IN_TLS, connect_with_small_buffer, intercepted

from ftps_lab.server.data import Passive

if TYPE_CHECKING:
    import io
    from pathlib import Path

    from tests.lab.conftest import Lab

    from ftps_lab.servers import FtpsServer

COMMANDS = (
    *(b"SYST", b"FEAT", b"PWD", b"NOOP", b"HELP", b"HELP NOOP", b"STAT /", b"MLST three", b"OPTS UTF8 ON"),
    *(
        b"FOO",
        b"",
        b" ",
        b"SITE",
        b"SITE FOO",
        b"CWD",
        b"PORT",
        b"EPRT |1|127.0.0.1|1",
        b"TYPE X",
        b"REST 9",
        b"AUTH TLS",
    ),
    *(b"CWD nowhere", b"SIZE three", b"SIZE nothing", b"MDTM three", b"DELE nothing", b"RETR three", b"STOR up"),
    *(b"MKD \xc3\xa4 \xe2\x82\xac", b"CWD \xc3\xa4 \xe2\x82\xac", b"PWD", b"CWD ..", b"RMD \xc3\xa4 \xe2\x82\xac"),
    *(b"SIZE \xff\xfe", b"CWD \xe4", b"RNFR \x80", b"PBSZ 0", b"PROT X", b"PROT P", b"CCC", b"ABOR", b"STAT \xc3\xa4"),
    *(b"PASV", b"RETR nothing", b"EPSV", b"EPSV 2", b"LIST \0", b"RNFR three", b"RNTO three", b"PWD"),
    *(b"REIN", b"PWD", b"USER anna", b"PASS wrong", b"QUIT"),
)


def replies_to_commands(lab: Lab, server: FtpsServer) -> list[bytes]:
    """The greeting and the reply to each of `COMMANDS`, without the ports of data connections."""
    sock = lab.connect(server, receive=b"")
    context = lab.trusting(verify=False)
    replies = []
    with contextlib.ExitStack() as stack:
        if server.spec.protocol == "implicit":
            sock = stack.enter_context(context.wrap_socket(sock))
        else:
            replies.append(reply(sock.makefile("rb", 0)))
            sock.sendall(b"AUTH TLS\r\n")
            replies.append(reply(sock.makefile("rb", 0)))
            sock = stack.enter_context(context.wrap_socket(sock))
        heard = stack.enter_context(sock.makefile("rb"))
        if server.spec.protocol == "implicit":
            replies.append(reply(heard))
        for line in (b"PWD", b"USER anna", b"PASS " + lab.password.encode(), *COMMANDS):
            sock.sendall(line + b"\r\n")
            replies.append(reply(heard))
        assert heard.read() == b""
    return replies


def reply(heard: io.BufferedIOBase | io.RawIOBase) -> bytes:
    """Read one reply with all its lines."""
    lines = [heard.readline()]
    while lines[0][3:4] == b"-" and not lines[-1].startswith(lines[0][:3] + b" "):
        lines.append(heard.readline())
        assert lines[-1]
    return re.sub(rb"\d+,\d+\)\.\r\n$|\(\|\|\|\d+\|\)", b"somewhere", b"".join(lines))


@pytest.mark.parametrize("protocol", IN_TLS)
def test_replies_equal_those_of_a_direct_session(lab: Lab, protocol: str) -> None:
    """Byte for byte: multi-line replies, refusals, non-ASCII and non-UTF-8 names."""
    server, direct = intercepted(lab, protocol), lab.serve(protocol)
    heard, expected = replies_to_commands(lab, server), replies_to_commands(lab, direct)
    assert heard == expected
    assert {reply[:3] for reply in heard} >= {b"211", b"214", b"215", b"227", b"229", b"500", b"501", b"530", b"550"}
    assert len(heard) == len(COMMANDS) + 4 + (protocol == "explicit")


@pytest.mark.parametrize("name", ["ä €", "-l", "a  b", " x", "%s", '"quoted"', "ü" * 60])
def test_unusual_file_names_pass_unchanged(lab: Lab, name: str) -> None:
    """A file travels both ways under its own name, in listings and in the attacker's testimony."""
    server = intercepted(lab)
    client = lab.victim(server)
    client.put(name, b"content")
    assert (lab.root / name).read_bytes() == b"content"
    assert client.get(name) == b"content"
    assert name.encode() in client.download("NLST")
    client.quit()
    testimony = lab.testimony(server)
    assert [transfer.name for transfer in testimony.transfers] == [name, name, ""]


def test_non_utf8_names_reach_the_genuine_server_unchanged(lab: Lab, root: Path) -> None:
    """The same file appears as in a direct session."""
    made = []
    for server in (intercepted(lab), lab.serve()):
        client = lab.victim(server)
        client.encoding = "latin-1"
        before = set(root.iterdir())
        client.put("caf\xe9 \xff", b"content")
        (new,) = set(root.iterdir()) - before
        made.append((new.name, new.read_bytes()))
        new.unlink()
        client.quit()
    assert made[0] == made[1]


@pytest.mark.parametrize("protocol", IN_TLS)
@pytest.mark.parametrize("command", ["PASV", "EPSV"])
def test_pasv_and_epsv_replies_name_a_port_of_the_attacker(lab: Lab, protocol: str, command: str) -> None:
    """They are otherwise unchanged."""
    server = intercepted(lab, protocol)
    client = lab.victim(server)
    heard = client.sendcmd(command)
    assert server.behind is not None
    waiting = [
        channel for channel in list(server.behind.event_loop.socket_map.values()) if isinstance(channel, Passive)
    ]
    (genuine,) = [channel.socket.getsockname()[1] for channel in waiting]
    port = ftplib.parse227(heard)[1] if command == "PASV" else ftplib.parse229(heard, ("127.0.0.1", 1))[1]
    assert port != genuine
    assert re.fullmatch(
        r"227 Entering passive mode \(127,0,0,1,\d+,\d+\)\.|229 Entering extended passive mode \(\|\|\|\d+\|\)\.", heard
    )
    client.quit()


@pytest.mark.parametrize("protocol", IN_TLS)
def test_client_that_reads_late_gets_every_reply(lab: Lab, protocol: str) -> None:
    """500 commands pass through full buffers on both sides."""
    server = intercepted(lab, protocol)
    raw = connect_with_small_buffer((server.host, server.port), 4096)
    if protocol == "explicit":
        raw.recv(512)
        raw.sendall(b"AUTH TLS\r\n")
        raw.recv(512)
    with raw, lab.trusting(verify=False).wrap_socket(raw) as sock, sock.makefile("rb") as heard:
        if protocol == "implicit":
            heard.readline()
        writer = threading.Thread(target=sock.sendall, args=(b"HELP\r\n" * 500,))
        writer.start()
        lab.until(lambda: len(server.testimony().commands) > 100)
        ends = 0
        while ends < 500:
            ends += heard.readline().startswith(b"214 ")
        writer.join(5)
        assert not writer.is_alive()
    assert lab.testimony(server).commands[-1].reply == 214
    lab.prove_served(server)


def test_long_reply_reaches_a_slow_reader(lab: Lab, small_send_buffers: None) -> None:
    """A reply longer than every buffer arrives completely, although the client sends nothing more."""
    for number in range(300):
        (lab.root / f"{number:0200}").touch()
    server = intercepted(lab)
    client = lab.victim(server)
    client.putcmd("STAT /")
    time.sleep(0.05)
    assert client.getmultiline().count("\n") > 300
    client.quit()
    assert server.settle()
