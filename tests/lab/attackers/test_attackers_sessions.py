"""Unusual sessions through an attacker in the middle: aborted, pipelined, out of order."""

from __future__ import annotations

import contextlib
import ftplib
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import IN_TLS, MODES, create_huge_file, intercepted

from ftps_lab.attackers import ATTACKS
from ftps_lab.errors import LabError
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from tests.conftest import Quiet
    from tests.lab.conftest import Lab, Mode


# --- ABOR -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
def test_abor_during_transfer_gets_426_and_226(lab: Lab, command: str, mode: Mode) -> None:
    """426 answers the transfer, 226 answers ABOR, and the session continues."""
    create_huge_file(lab)
    server = intercepted(lab)
    client = lab.victim(server, mode=mode)
    with client.transfercmd(command) as data:
        if command.startswith("RETR"):
            assert data.recv(100)
        else:
            data.sendall(bytes(100_000))
            assert server.behind is not None
            up = lab.root / "up"
            lab.until(lambda: up.exists() and up.stat().st_size)
        client.putcmd("ABOR")
        with pytest.raises(ftplib.error_temp, match=r"^426"):
            client.voidresp()
        assert client.voidresp().startswith("226")
    assert client.get("three") == b"abc"
    client.quit()
    for testimony in lab.testimonies(server):
        assert [(transfer.name, transfer.completed) for transfer in testimony.transfers] == [
            (command.split()[1], False),
            ("three", True),
        ]
    assert [c.reply for c in server.testimony().commands if c.verb == "ABOR"] == [226]


@pytest.mark.parametrize("when", ["nothing", "passive", "asked"])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_abor_before_a_transfer_starts_gets_225(lab: Lab, protocol: str, when: str) -> None:
    """Without a transfer command, or before its data connection exists; that command then gets no reply of its own."""
    server = intercepted(lab, protocol)
    client = lab.victim(server)
    if when != "nothing":
        client.makepasv()
    if when == "asked":
        assert client.sendcmd("RETR three").startswith("150")
    assert client.sendcmd("ABOR").startswith("225")
    assert client.sendcmd("NOOP").startswith("200")
    assert client.get("three") == b"abc"
    client.quit()
    testimony, behind = lab.testimonies(server)
    assert [(c.verb, c.reply) for c in testimony.commands][-6:] == [(c.verb, c.reply) for c in behind.commands][-6:]


def test_abor_before_the_first_byte_gets_225(lab: Lab) -> None:
    """The data connection exists, in TLS, but no byte has passed."""
    server = intercepted(lab)
    client = lab.victim(server)
    with client.transfercmd("STOR up"):
        assert client.sendcmd("ABOR").startswith("225")
    assert client.get("three") == b"abc"
    client.quit()
    testimony, behind = lab.testimonies(server)
    assert [t.completed for t in testimony.transfers] == [False, True]
    assert [t.completed for t in behind.transfers] == [False, True]


# --- out of order --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", IN_TLS)
def test_pipelined_commands_are_answered_in_order(lab: Lab, protocol: str) -> None:
    """Each reply is recorded with its own command."""
    server = intercepted(lab, protocol)
    client = lab.victim(server)
    assert client.sock is not None
    lines = ("SYST", "PORT 10,0,0,1,20,20", "PWD", "PBSZ 0", "CWD nowhere", "PROT X", "NOOP", "PORT x", "TYPE I")
    client.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())
    codes = [client.getmultiline()[:3] for _ in lines]
    assert codes == ["215", "501", "257", "200", "550", "502", "200", "501", "200"]
    client.quit()
    testimony = lab.testimony(server)
    assert [str(c.reply) for c in testimony.commands[-len(lines) - 1 : -1]] == codes


def test_whole_session_in_one_segment_is_answered(lab: Lab) -> None:
    """The client sends everything, including QUIT, before it reads the first reply."""
    server = intercepted(lab, "implicit")
    sock = lab.connect(server, receive=b"")
    with lab.trusting(verify=False).wrap_socket(sock) as tls:
        tls.sendall(f"USER anna\r\nPASS {lab.password}\r\nPWD\r\nFOO\r\nQUIT\r\n".encode())
        heard = tls.makefile("rb").read()
    assert re.findall(rb"^\d+", heard, re.MULTILINE) == [b"220", b"331", b"230", b"257", b"500", b"221"]
    testimony, behind = lab.testimonies(server)
    assert [c.reply for c in testimony.commands] == [331, 230, 257, 500, 221]
    assert behind.logged_in


def test_cleartext_commands_after_auth_are_not_executed(lab: Lab) -> None:
    """Whatever arrives in one segment with AUTH, or after it in clear, is not executed in TLS."""
    for before in (b"", b"SYST\r\n"):
        server = intercepted(lab)
        sock = lab.connect(server)
        sock.sendall(before + b"AUTH TLS\r\nUSER mallory\r\n")
        heard = sock.makefile("rb").read()
        assert heard.endswith(b"234 AUTH TLS successful.\r\n")
        testimony, behind = lab.testimonies(server)
        assert [handshake.completed for handshake in testimony.handshakes] == [False]
        assert "in clear" in testimony.connections[0].error
        assert "USER" not in {command.verb for command in behind.commands}
        lab.prove_served(server)


@pytest.mark.parametrize("command", ["PORT 127,0,0,2,{0},{1}", "EPRT |1|127.0.0.2|{2}|", "PORT 10,0,0,1,20,20"])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_port_to_a_foreign_address_is_refused(lab: Lab, protocol: str, command: str) -> None:
    """Neither the attacker nor the genuine server connects to anything but the client."""
    with socket.create_server(("127.0.0.2", 0)) as stranger:
        port = stranger.getsockname()[1]
        server = intercepted(lab, protocol)
        client = lab.victim(server)
        with pytest.raises(ftplib.error_perm, match=r"^501"):
            client.sendcmd(command.format(port >> 8, port & 255, port))
        with pytest.raises(ftplib.error_temp, match=r"^425"):
            client.sendcmd("RETR three")
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.accept()
    assert client.get("three") == b"abc"
    client.quit()
    testimony, behind = lab.testimonies(server)
    assert [c.reply for c in testimony.commands if c.verb == command[:4]] == [501]
    assert command[:4] not in {c.verb for c in behind.commands}


@pytest.mark.parametrize("command", ["PORT 127,0,0,1,3,255", "EPRT |1|127.0.0.1|1023|", "PORT 127,0,0,1,0,0"])
def test_port_to_a_privileged_port_is_refused(lab: Lab, command: str) -> None:
    """As RFC 2577 section 3 recommends."""
    client = lab.victim(intercepted(lab))
    with pytest.raises(ftplib.error_perm, match=r"^501"):
        client.sendcmd(command)
    assert client.get("three") == b"abc"


INVALID = (
    *("PORT", "PORT x", "PORT 127,0,0,1", "PORT 127,0,0,1,256,256", "EPRT", "EPRT x", "EPRT |1|127.0.0.1|x|", "EPRT |"),
    *("EPRT |2|::1|5000|", "EPRT |3|127.0.0.1|5000|", "EPRT |1|::1|5000|", "EPRT |1|127.0.0.1|65536|", "PORT \0"),
)


@pytest.mark.parametrize("command", INVALID)
def test_invalid_port_argument_gets_the_genuine_servers_reply(lab: Lab, command: str) -> None:
    """It names no address to connect to, so the attacker passes it on."""
    heard = []
    for server in (intercepted(lab), lab.serve()):
        client = lab.victim(server)
        with pytest.raises(ftplib.error_perm) as caught:
            client.sendcmd(command)
        heard.append(str(caught.value))
        client.quit()
    assert heard[0] == heard[1]


@pytest.mark.parametrize("argument", [" 127,0, 0,1,{0},{1}", "127,0,0,1,0,{2}", "127,00,0,01,{0},{1}"])
def test_leniently_parsed_port_arguments_are_intercepted(lab: Lab, argument: str) -> None:
    """pyftpdlib accepts them; its own connection to the client would bypass the attacker."""
    server = intercepted(lab)
    client = lab.victim(server)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        port = listener.getsockname()[1]
        assert client.sendcmd("PORT " + argument.format(port >> 8, port & 255, port)).startswith("200")
        assert client.sendcmd("NLST")[:3] in {"125", "150"}
        with listener.accept()[0] as raw, client.context.wrap_socket(raw) as data:
            assert data.getpeercert(binary_form=True) != lab.certificates["genuine"].der
            assert b"three" in data.makefile("rb").read()
    assert client.voidresp().startswith("226")
    client.quit()
    assert [t.completed for t in lab.testimony(server).transfers] == [True]


def test_port_without_a_listener_gets_a_refusal(lab: Lab) -> None:
    """The session continues."""
    server = intercepted(lab)
    client = lab.victim(server)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with contextlib.suppress(ftplib.error_temp):  # as soon as that is known
        client.sendport("127.0.0.1", port)
    client.putcmd("RETR three")
    final = client.getmultiline()
    if final.startswith("1"):
        final = client.getmultiline()
    assert final[:3] in {"425", "426", "522"}
    assert client.get("three") == b"abc"
    client.quit()
    testimony, _ = lab.testimonies(server)
    assert [t.completed for t in testimony.transfers][-1]
    assert not any(t.completed for t in testimony.transfers[:-1])


# --- more than one, and none ---------------------------------------------------------------------------------------


def test_attacker_rewrites_epsv_and_eprt_over_ipv6(lab: Lab) -> None:
    """On ::1; EPRT to any other host is refused."""
    spec = lab.spec(attack="intercept")
    try:
        server = FtpsServer(spec, root=lab.root, password=lab.password, host="::1").start()
    except LabError as error:
        pytest.skip(str(error))
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        for mode in ("epsv", "eprt"):
            client = lab.client(server, trust=None, mode=mode)
            client.login("anna", lab.password)
            client.prot_p()
            assert client.get("chunk") == lab.contents["chunk"]
            with pytest.raises(ftplib.error_perm, match=r"^501"):
                client.sendcmd("EPRT |2|::2|5000|")
            client.quit()
        for testimony in lab.testimonies(server):
            assert [(c.kind, c.peer[0]) for c in testimony.connections] == [("control", "::1"), ("data", "::1")] * 2
            assert [t.completed for t in testimony.transfers] == [True, True]


def test_concurrent_clients_get_only_their_own_files(lab: Lab) -> None:
    """Eight clients in eight threads."""
    server = intercepted(lab)

    def work(number: int) -> int:
        client = lab.victim(server, mode=MODES[number % 4])
        for turn in range(3):
            content = b"%d.%d " % (number, turn) * 20_000
            client.put(f"up{number}", content)
            assert client.get(f"up{number}") == content
        client.quit()
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8), timeout=20)) == list(range(8))
    for testimony in lab.testimonies(server):
        assert len(testimony.transfers) == 48
        assert all(transfer.completed for transfer in testimony.transfers)
        assert {testimony.connections[t.control - 1].kind for t in testimony.transfers} == {"control"}


def test_attackers_with_waiting_clients_are_idle(lab: Lab, prove_quiet: Quiet) -> None:
    """Attackers, their genuine servers and silent connections use no processor time."""
    servers, clients = [], []
    for name, attack in ATTACKS.items():
        for protocol in attack.protocols:
            server = lab.serve(protocol, attack=name)
            servers.append(server)
            clients.append(lab.victim(server))
            silent = lab.connect(server, receive=b"" if protocol == "implicit" else b"220")
            silent.sendall(b"\x16\x03\x01" if protocol == "implicit" else b"AUTH TLS\r\n")
    prove_quiet(*servers)
    for client in clients:
        client.quit()
