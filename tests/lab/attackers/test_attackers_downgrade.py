"""Attackers that break TLS without a key, and the one that strips it: what the client gets, and their testimony."""

from __future__ import annotations

import ftplib
import ssl
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import CLOSED, HELLO, IN_TLS, MODES, read_until_closed

from ftps_lab.attackers.downgrade import INJECTED, REFUSAL_IN_CLEAR
from ftps_lab.testimony import Alert, Credential

if TYPE_CHECKING:
    from tests.lab.conftest import Client, Lab, Mode

    from ftps_lab.servers import FtpsServer


def login_in_clear(lab: Lab, server: FtpsServer, mode: Mode = "pasv") -> Client:
    """A client that logs in without TLS."""
    client = lab.client(server, trust=None, mode=mode)
    client.login("anna", lab.password, secure=False)
    return client


def prove_all_in_clear(lab: Lab, server: FtpsServer) -> None:
    """Check that password, names and contents of a client without TLS are readable on the wire."""
    client = login_in_clear(lab, server)
    assert client.get("chunk") == lab.contents["chunk"]
    assert client.put("up", b"content of an upload").startswith("226")
    client.quit()
    testimony = lab.testimony(server)
    assert testimony.credentials[-1] == Credential(
        testimony.connections[-3].number, "anna", lab.password, "clear", accepted=True
    )
    assert [(t.channel, t.certificate, t.forged, t.completed) for t in testimony.transfers] == [
        ("clear", "", False, True)
    ] * 2
    for secret in (lab.password.encode(), lab.contents["chunk"][:1000], b"content of an upload"):
        assert server.wire().holds(secret)


# --- strip-auth ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [500, 502, 504, 534, 431, 530])
def test_strip_auth_refuses_all_tls_commands(lab: Lab, code: int) -> None:
    """AUTH, PBSZ, PROT and CCC get the configured code, and the session stays usable in clear."""
    server = lab.serve(attack="strip-auth", attack_reply=code)
    client = lab.client(server, trust=None)
    for command in ("AUTH TLS", "AUTH SSL", "PBSZ 0", "PROT P", "CCC", "auth tls"):
        with pytest.raises(ftplib.Error, match=rf"^{code} {command.split()[0].upper()}"):
            client.sendcmd(command)
    assert client.login("anna", lab.password, secure=False).startswith("230")
    assert client.get("three") == b"abc"
    client.quit()
    testimony, behind = lab.testimonies(server)
    assert [c.reply for c in testimony.commands[:6]] == [code] * 6
    assert [c.verb for c in behind.commands[:4]] == ["AUTH", "PBSZ", "PROT", "USER"]
    assert testimony.handshakes == ()


@pytest.mark.parametrize("command", ["AUTH TLS", "PBSZ 0", "PROT P"])
def test_strip_auth_with_421_closes_both_connections(lab: Lab, command: str) -> None:
    """421 means that the server closes (RFC 959 section 4.2); the connection behind the attacker ends too."""
    server = lab.serve(attack="strip-auth", attack_reply=421)
    sock = lab.connect(server)
    sock.sendall(f"{command}\r\n".encode())
    assert read_until_closed(sock).startswith(b"421 ")
    testimony, behind = lab.testimonies(server)
    assert [c.reply for c in testimony.commands] == [421]
    assert len(behind.connections) == 1
    lab.prove_served(server)


def test_strip_auth_removes_tls_from_feat(lab: Lab) -> None:
    """The reply to FEAT is that of a server without TLS, byte for byte."""
    heard = [lab.client(server).sendcmd("FEAT") for server in (lab.serve(attack="strip-auth"), lab.serve("plain"))]
    assert heard[0] == heard[1]
    assert "EPSV" in heard[0]
    assert "AUTH" in lab.client(lab.serve(attack="intercept")).sendcmd("FEAT")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("require_tls", [True, False])
def test_strip_auth_uses_tls_to_the_genuine_server(lab: Lab, require_tls: bool, mode: Mode) -> None:
    """Clear text to the client and TLS to the genuine server, even one that requires TLS."""
    server = lab.serve(attack="strip-auth", require_tls=require_tls)
    client = login_in_clear(lab, server, mode=mode)
    assert b"three" in client.download("LIST")
    for name in ("empty", "three", "chunk", "large"):
        assert client.get(name) == lab.contents[name]
        assert client.put(f"up-{name}", lab.contents[name]).startswith("226")
        assert (lab.root / f"up-{name}").read_bytes() == lab.contents[name]
    client.quit()
    testimony, behind = lab.testimonies(server)
    assert (testimony.role, behind.role) == ("impostor", "genuine")
    assert testimony.credentials == (Credential(1, "anna", lab.password, "clear", accepted=True),)
    assert behind.credentials == (Credential(1, "anna", lab.password, "tls", accepted=True),)
    assert {t.channel for t in testimony.transfers} == {"clear"}
    assert {t.channel for t in behind.transfers} == {"tls"}
    assert [(t.sha256, t.completed) for t in testimony.transfers] == [(t.sha256, t.completed) for t in behind.transfers]
    assert [h.completed for h in behind.handshakes] == [True] * 10
    assert server.wire().holds(lab.contents["chunk"][:4096])


def test_client_hello_after_strip_auth_is_a_failed_handshake(lab: Lab) -> None:
    """It is not taken for a command."""
    server = lab.serve(attack="strip-auth")
    sock = lab.connect(server)
    sock.sendall(b"AUTH TLS\r\n")
    assert sock.recv(512).startswith(b"502")
    sock.settimeout(0.2)
    with pytest.raises((ssl.SSLError, OSError)):
        lab.trusting("genuine").wrap_socket(sock, server_hostname="localhost")
    testimony, _ = lab.testimonies(server)
    assert [handshake.completed for handshake in testimony.handshakes] == [False]
    lab.prove_served(server)


# --- refuse-auth, drop-at-auth -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [500, 502, 504, 534, 431])
def test_refuse_auth_sends_its_code_and_serves_in_clear(lab: Lab, code: int) -> None:
    """FEAT still offers TLS; a client that continues in clear is served."""
    server = lab.serve(attack="refuse-auth", attack_reply=code)
    client = lab.client(server)
    assert "AUTH TLS" in client.sendcmd("FEAT")
    for command in ("AUTH TLS", "AUTH SSL"):
        with pytest.raises(ftplib.Error, match=rf"^{code} "):
            client.sendcmd(command)
    client.login("anna", lab.password, secure=False)
    client.quit()
    assert [c.reply for c in lab.testimony(server).commands if c.verb == "AUTH"] == [code] * 2
    assert server.testimony().handshakes == ()
    server.record()
    prove_all_in_clear(lab, server)


@pytest.mark.parametrize("behind", [b"", b"USER anna\r\nPASS x\r\n"])
def test_refuse_auth_with_421_closes(lab: Lab, behind: bytes) -> None:
    """Nothing sent along with AUTH is executed."""
    server = lab.serve(attack="refuse-auth", attack_reply=421)
    sock = lab.connect(server)
    sock.sendall(b"AUTH TLS\r\n" + behind)
    heard = read_until_closed(sock)
    assert heard.startswith(b"421 ")
    assert heard.count(b"\r\n") == 1
    testimony = lab.testimony(server)
    assert (testimony.commands[0].verb, testimony.commands[0].reply) == ("AUTH", 421)
    assert not testimony.logged_in
    server.record()
    prove_all_in_clear(lab, server)


def test_refuse_auth_leaves_require_tls_in_force(lab: Lab) -> None:
    """The genuine server still accepts no password in clear."""
    server = lab.serve(attack="refuse-auth", require_tls=True)
    client = lab.client(server)
    with pytest.raises(ftplib.error_perm, match=r"^550"):
        client.login("anna", lab.password, secure=False)
    client.close()
    assert lab.testimony(server).passwords == []


@pytest.mark.parametrize("behind", [b"", b"USER anna\r\nPASS x\r\n"])
def test_drop_at_auth_closes_without_a_reply(lab: Lab, behind: bytes) -> None:
    """No handshake follows; AUTH is recorded as unanswered."""
    server = lab.serve(attack="drop-at-auth")
    sock = lab.connect(server)
    sock.sendall(b"AUTH TLS\r\n" + behind)
    assert read_until_closed(sock) == b""
    testimony = lab.testimony(server)
    assert (testimony.commands[0].verb, testimony.commands[0].reply) == ("AUTH", None)
    assert not testimony.logged_in
    assert testimony.handshakes == ()
    server.record()
    prove_all_in_clear(lab, server)


# --- break-handshake -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("how", ["close", "alert", "text"])
def test_break_handshake_answers_the_client_hello_as_configured(lab: Lab, how: str, version: str) -> None:
    """One failed handshake is recorded, and an alert if one was sent."""
    server = lab.serve(attack="break-handshake", attack_how=how)
    client = lab.client(server, version=version)
    assert client.sendcmd("FEAT").startswith("211")
    words = {"close": "", "alert": "handshake failure", "text": "version"}[how]
    with pytest.raises((ssl.SSLError, ConnectionError), match=f"(?i){words.replace(' ', '[ _]')}"):
        client.auth()
    client.close()
    testimony = lab.testimony(server)
    assert [(c.verb, c.reply) for c in testimony.commands] == [("FEAT", 211), ("AUTH", 234)]
    (handshake,) = testimony.handshakes
    assert (handshake.connection, handshake.completed, handshake.version) == (1, False, "")
    assert handshake.certificate == lab.certificates["genuine"].sha256
    assert handshake.error.startswith("the attacker")
    sent = [Alert(1, "sent", "fatal", "handshake_failure")] if how == "alert" else []
    assert [alert for alert in testimony.alerts if alert.direction == "sent"] == sent
    record = server.wire().records[0]
    assert (record.to_client.endswith(REFUSAL_IN_CLEAR.encode())) is (how == "text")
    assert (record.to_client[-7:-4] == b"\x15\x03\x03") is (how == "alert")
    assert b"\x16\x03\x01" in record.to_server
    server.record()
    prove_all_in_clear(lab, server)


@pytest.mark.parametrize("how", ["close", "alert", "text"])
def test_client_that_leaves_after_auth_fails_its_own_handshake(lab: Lab, how: str) -> None:
    """It closes before its ClientHello, so the attacker has nothing to break."""
    server = lab.serve(attack="break-handshake", attack_how=how)
    with lab.connect(server) as sock:
        sock.sendall(b"AUTH TLS\r\n")
        assert sock.recv(512).startswith(b"234")
    (handshake,) = lab.testimony(server).handshakes
    assert (handshake.completed, handshake.error) == (False, "closed before the handshake was finished")


def test_break_handshake_text_serves_the_client_in_clear(lab: Lab) -> None:
    """The attacker pretends that TLS failed: it ignores alerts and executes commands in clear."""
    server = lab.serve(attack="break-handshake", attack_how="text")
    sock = lab.connect(server)
    sock.sendall(b"AUTH TLS\r\n")
    assert sock.recv(512).startswith(b"234")
    sock.sendall(HELLO)
    assert sock.recv(512) == REFUSAL_IN_CLEAR.encode()
    sock.sendall(b"\x15\x03\x01\x00\x02\x02\x46")
    lab.until(lambda: server.wire().records[0].to_server.endswith(b"\x46"))
    for line in (b"USER anna", b"PASS " + lab.password.encode(), b"QUIT"):
        sock.sendall(line + b"\r\n")
        assert sock.recv(512)[:1] in b"23"
    testimony = lab.testimony(server)
    assert len(testimony.handshakes) == 1
    assert testimony.credentials == (Credential(1, "anna", lab.password, "clear", accepted=True),)


# --- inject-before-tls ---------------------------------------------------------------------------------------------


def test_inject_before_tls_adds_replies_after_the_234(lab: Lab) -> None:
    """They are in clear, in one segment with the 234; the server sends them once and nowhere else."""
    server = lab.serve(attack="inject-before-tls")
    sock = lab.connect(server)
    sock.sendall(b"AUTH TLS\r\n")
    expected = "".join(f"{line}\r\n" for line in ("234 AUTH TLS successful.", *INJECTED)).encode()
    assert sock.recv(4096) == expected
    with lab.trusting("genuine").wrap_socket(sock, server_hostname="localhost") as tls:
        tls.sendall(b"NOOP\r\nAUTH TLS\r\nQUIT\r\n")
        heard = read_until_closed(tls)
    assert [line[:3] for line in heard.splitlines()] == [b"200", b"503", b"221"]
    testimony = lab.testimony(server)
    assert [c.reply for c in testimony.commands] == [234, 200, 503, 221]
    assert [h.completed for h in testimony.handshakes] == [True]


@pytest.mark.parametrize("command", ["AUTH KERBEROS", "AUTH"])
def test_inject_before_tls_needs_an_accepted_auth(lab: Lab, command: str) -> None:
    """A refused AUTH passes unchanged; the next accepted AUTH gets the injected replies."""
    server = lab.serve(attack="inject-before-tls")
    sock = lab.connect(server)
    sock.sendall(f"{command}\r\n".encode())
    assert sock.recv(4096).count(b"\r\n") == 1
    sock.sendall(b"AUTH TLS\r\n")
    assert sock.recv(4096).count(b"\r\n") == 1 + len(INJECTED)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_client_that_discards_injected_replies_is_served_in_tls(lab: Lab, version: str) -> None:
    """It discards everything received before the handshake."""
    server = lab.serve(attack="inject-before-tls", require_tls=True)
    client = lab.login(server, version=version)
    assert client.get("large") == lab.contents["large"]
    assert client.put("up", b"content of an upload").startswith("226")
    client.quit()
    testimony = lab.testimony(server)
    assert testimony.role == "genuine"
    assert [(t.channel, t.completed, t.forged) for t in testimony.transfers] == [("tls", True, False)] * 2
    assert not server.wire().holds(b"content of an upload")


# --- refuse-prot ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [502, 504, 534, 536, 431])
@pytest.mark.parametrize("protocol", IN_TLS)
def test_refuse_prot_leaves_data_in_clear(lab: Lab, protocol: str, code: int) -> None:
    """PROT gets the code, in TLS; a client that continues has its data in clear, but not its password."""
    server = lab.serve(protocol, attack="refuse-prot", attack_reply=code)
    client = lab.client(server)
    client.login("anna", lab.password)
    assert client.sendcmd("PBSZ 0").startswith("200")
    for level in "PC":
        with pytest.raises(ftplib.Error, match=rf"^{code} PROT"):
            client.sendcmd(f"PROT {level}")
    client._prot_p = False  # type: ignore[attr-defined]
    for mode in MODES:
        client.mode = mode
        client.set_pasv(mode in {"pasv", "epsv"})
        assert client.get("chunk") == lab.contents["chunk"]
        assert client.put("up", b"content of an upload").startswith("226")
    client.quit()
    testimony = lab.testimony(server)
    assert testimony.role == "genuine"
    assert [c.reply for c in testimony.commands if c.verb == "PROT"] == [code] * 2
    assert testimony.credentials[0].channel == "tls"
    assert [(t.channel, t.certificate, t.forged) for t in testimony.transfers] == [("clear", "", False)] * 8
    assert server.wire().holds(b"content of an upload")
    assert not server.wire().holds(lab.password.encode())


@pytest.mark.parametrize("protocol", IN_TLS)
def test_refuse_prot_with_421_closes(lab: Lab, protocol: str) -> None:
    """421 closes the connection here too."""
    server = lab.serve(protocol, attack="refuse-prot", attack_reply=421)
    client = lab.client(server)
    client.login("anna", lab.password)
    client.sendcmd("PBSZ 0")
    with pytest.raises(ftplib.error_temp, match=r"^421"):
        client.sendcmd("PROT P")
    with pytest.raises(CLOSED):
        client.voidcmd("NOOP")
    client.close()
    assert lab.testimony(server).commands[-1].reply == 421
