"""Attackers come and go on one port: change, record, stop, and what remains afterwards."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import IN_THE_MIDDLE, IN_TLS, shown, spread

from ftps_lab.attackers import ATTACKS
from ftps_lab.errors import LabError
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from tests.lab.conftest import Client, Lab

STATES = [
    *(("none", protocol) for protocol in ("explicit", "implicit", "plain")),
    *((name, protocol) for name, attack in ATTACKS.items() for protocol in attack.protocols),
]


def test_there_is_something_to_change() -> None:
    """Every attack is among the states below."""
    assert {attack for attack, _ in STATES} == {"none", *ATTACKS}


@pytest.mark.parametrize("first", STATES, ids=["-".join(state) for state in STATES])
def test_every_attack_after_every_other(lab: Lab, first: tuple[str, str]) -> None:
    """One running server becomes each of the others and this one again; each has its own record and role."""
    server = lab.serve(first[1], attack=first[0])
    port = server.port
    for second in STATES:
        for attack, protocol in (second, first):
            server.change(lab.spec(protocol, attack=attack))
            server.record()
            lab.prove_served(server)
            told = lab.told(server)
            assert server.port == port
            assert told.role == ("impostor" if attack in IN_THE_MIDDLE else "genuine")
            assert (told.behind is not None) is (attack in IN_THE_MIDDLE)
            assert [c.kind for c in told.connections] == ["control", "data"]
            assert [t.completed for t in told.transfers] == [True]
            if told.behind is not None:
                assert [(t.name, t.completed) for t in told.behind.transfers] == [("three", True)]


@pytest.mark.parametrize(("attack", "protocol"), STATES)
def test_a_started_server_has_closed_its_own_probe(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, attack: str, protocol: str
) -> None:
    """This includes the connection to the server behind it: a capture that starts now would take it for a client's."""
    record, closed = FtpsServer.record, list[bool]()

    def watched(server: FtpsServer) -> None:
        closed.extend(each.recorder.wait_closed(0) for each in (server, server.behind) if each is not None)
        record(server)

    monkeypatch.setattr(FtpsServer, "record", watched)
    lab.serve(protocol, attack=attack)
    assert closed
    assert all(closed)


@pytest.mark.parametrize(("attack", "protocol"), STATES)
def test_nothing_is_left_of_an_attack(lab: Lab, attack: str, protocol: str) -> None:
    """Servers that have served, and that stop with a client still connected, leave no thread and no descriptor."""
    lab.prove_served(lab.serve("plain"))  # opens what is only opened once
    files, threads = lab.open_files(), threading.active_count()
    for number in range(5):
        server = lab.build(protocol, attack=attack).start()
        lab.prove_served(server)
        client = lab.victim(server)
        if number % 2:
            client.quit()
        server.stop()
        assert server.settle(0)
        client.close()
    assert (lab.open_files(), threading.active_count()) == (files, threads)


@pytest.mark.parametrize("protocol", IN_TLS)
def test_rotation_behind_the_interceptor(lab: Lab, protocol: str) -> None:
    """Connected clients keep both sides' certificates, also on data connections; later clients see the new ones."""
    server = lab.serve(protocol, attack="intercept")
    before = lab.victim(server)
    server.change(lab.spec(protocol, "other", attack="intercept"))
    after = lab.victim(server)
    assert before.get("three") == after.get("three") == b"abc"
    assert shown(before.sock) != shown(after.sock)
    before.quit()
    after.quit()
    told, behind = lab.told_twice(server)
    genuine, other = (lab.certificates[name].sha256 for name in ("genuine", "other"))
    assert [t.certificate for t in behind.transfers] == [genuine, other]
    assert len({t.certificate for t in told.transfers} | {genuine, other}) == 4


def test_rotation_while_clients_connect(lab: Lab) -> None:
    """A client that connects just as the genuine server rotates is served too: it is still the lab's own server."""
    server = lab.serve(attack="intercept")
    failures: list[BaseException] = []
    done = threading.Event()

    def visit() -> None:
        try:
            while not done.is_set():
                lab.prove_served(server)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    visitors = [threading.Thread(target=visit) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    for number in range(60):
        server.change(lab.spec(certificate=("genuine", "other")[number % 2], attack="intercept"))
    done.set()
    for visitor in visitors:
        visitor.join(10)
    assert failures == []
    assert lab.told(server).logged_in


def test_who_is_not_the_labs_own_server_is_hung_up_on(lab: Lab) -> None:
    """An attacker that reaches a server with an unknown certificate reports an error, and sends it nothing."""
    server = lab.serve(attack="intercept")
    assert server.behind is not None
    stranger = lab.serve(certificate="other")
    server.override(genuine=replaced_address(server, stranger))
    client = lab.client(server, trust=None)
    with pytest.raises((EOFError, OSError)):
        client.login("anna", lab.password)
    client.close()
    with pytest.raises(LabError, match="reached a server outside the lab; please report this bug"):
        server.settle()
    assert stranger.settle()
    assert stranger.testimony().credentials == ()


def replaced_address(server: FtpsServer, other: FtpsServer) -> object:
    """The attacker's data about the genuine server, with another server's address."""
    return replace(server.handler.genuine, address=(other.host, other.port))


def test_a_genuine_server_that_is_gone(lab: Lab) -> None:
    """An attacker whose server does not answer hangs up on its clients, and the lab reports no error."""
    server = lab.serve(attack="intercept")
    client = lab.victim(server)
    assert server.behind is not None
    server.behind.stop()
    with pytest.raises((EOFError, OSError)):
        client.voidcmd("NOOP")
    with socket.create_connection((server.host, server.port), 5) as sock:
        assert sock.recv(100) == b""
    assert server.settle()


# --- records -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", IN_THE_MIDDLE)
def test_records_of_steps_are_apart(lab: Lab, attack: str) -> None:
    """On both sides a connection belongs to the record in which it started, whatever it does later."""
    server = lab.serve(attack=attack)
    early = lab.victim(server)
    assert early.get("three") == b"abc"
    first = server.recorder
    server.record()
    late = lab.victim(server)
    assert early.get("chunk") == lab.contents["chunk"]
    assert late.put("up", b"late").startswith("226")
    late.quit()
    assert server.settle()  # the early one is still open, and in another record
    early.quit()
    told, behind = lab.told_twice(server)
    for account in (told, behind):
        assert [(t.verb, t.name) for t in account.transfers] == [("STOR", "up")]
        assert [c.kind for c in account.connections] == ["control", "data"]
        assert len(account.credentials) == 1
    assert [record.kind for record in server.wire().records] == ["control", "data"]
    assert first.wait_closed(5)
    assert [t.name for t in first.testimony().transfers] == ["three", "chunk"]


def test_settle_waits_for_both_sides(lab: Lab) -> None:
    """Until the genuine server has received the last byte, the record is incomplete."""
    server = lab.serve(attack="intercept")
    client = lab.victim(server)
    assert server.behind is not None
    assert not server.settle(0.01)
    data = client.transfercmd("STOR up")
    server.behind.waker.call(lambda: time.sleep(0.3))
    data.sendall(lab.contents["large"])
    data.close()
    client.close()
    told, behind = lab.told_twice(server)
    assert [t.size for t in told.transfers] == [t.size for t in behind.transfers] == [5 << 20]


# --- stop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", IN_THE_MIDDLE)
@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
def test_stop_in_the_middle_of_a_transfer(lab: Lab, attack: str, command: str) -> None:
    """Everything closes on both sides, and nothing is recorded as completed."""
    spread(lab)
    before = lab.open_files()
    server = lab.serve(attack=attack)
    client = lab.victim(server)
    with client.transfercmd(command) as data:
        if command == "STOR up":
            data.sendall(b"x" * 100_000)
        else:
            assert data.recv(10)
        server.stop()
        client.close()
    assert server.settle(0)
    assert not server.testimony().transfers[0].completed
    assert lab.open_files() == before


@pytest.mark.parametrize("what", ["passive", "connected", "asked", "active", "queued", "uploaded", "late"])
def test_stop_at_any_moment_of_a_data_connection(lab: Lab, what: str) -> None:
    """Listeners, connections not yet accepted, and handshakes not yet started are all closed."""
    before = lab.open_files()
    server = lab.serve(attack="intercept")
    client = lab.victim(server)
    with contextlib.ExitStack() as stack:
        begin(what, server, client, stack)
        server.stop()
        client.close()
    assert server.settle(0)
    assert lab.open_files() == before


def begin(what: str, server: FtpsServer, client: Client, stack: contextlib.ExitStack) -> None:
    """Bring a data connection to this state."""
    if what == "active":
        stack.enter_context(client.makeport())
        return
    if what in {"uploaded", "late"}:
        client.prot_c()
    address = client.makepasv()
    if what != "passive":
        client.sendcmd("RETR three" if what == "asked" else "STOR up")
    if what in {"queued", "late"}:
        server.waker.call(lambda: time.sleep(0.1))
    if what in {"connected", "queued", "uploaded", "late"}:
        sock = stack.enter_context(socket.create_connection(address, 5))
    if what in {"uploaded", "late"}:
        assert server.behind is not None
        server.behind.waker.call(lambda: time.sleep(0.2))
        sock.sendall(b"x" * 100_000)
        sock.shutdown(socket.SHUT_WR)


# --- logins that start over at the genuine server ------------------------------------------------------------------


@pytest.mark.parametrize("protocol", IN_TLS)
@pytest.mark.parametrize("how", ["REIN", "USER"])
def test_a_second_login_in_one_session(lab: Lab, protocol: str, how: str) -> None:
    """REIN and another USER also reset PROT at the genuine server; client and attacker both send it again."""
    server = lab.serve(protocol, attack="intercept")
    client = lab.victim(server)
    assert client.get("three") == b"abc"
    if how == "REIN":
        assert client.sendcmd("REIN").startswith("230")
    client.login("berta", lab.password, secure=False)
    client._prot_p = False  # type: ignore[attr-defined]
    assert client.get("three") == b"abc"
    client.prot_p()
    assert client.get("three") == b"abc"
    client.quit()
    told, behind = lab.told_twice(server)
    assert [t.channel for t in told.transfers] == ["tls", "clear", "tls"]
    assert [t.channel for t in behind.transfers] == ["tls"] * 3
    assert [c.user for c in told.credentials] == ["anna", "berta"]
    assert all(c.accepted for c in told.credentials)
