"""Attackers that start, change and stop on one port: their records, and what stays open."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import CLOSED, IN_THE_MIDDLE, IN_TLS, create_huge_file, peer_der

from ftps_lab.attackers import ATTACKS
from ftps_lab.errors import LabError
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from tests.lab.conftest import Client, Lab

STATES = [
    *(("none", protocol) for protocol in ("explicit", "implicit", "plain")),
    *((name, protocol) for name, attack in ATTACKS.items() for protocol in attack.protocols),
]


def test_states_include_every_attack() -> None:
    assert {attack for attack, _ in STATES} == {"none", *ATTACKS}


@pytest.mark.parametrize("first", STATES, ids=["-".join(state) for state in STATES])
def test_server_changes_between_every_pair_of_attacks(lab: Lab, first: tuple[str, str]) -> None:
    """One running server becomes each of the others and this one again; each has its own record and role."""
    server = lab.serve(first[1], attack=first[0])
    port = server.port
    for second in STATES:
        for attack, protocol in (second, first):
            server.change(lab.spec(protocol, attack=attack))
            server.record()
            lab.prove_served(server)
            testimony = lab.testimony(server)
            assert server.port == port
            assert testimony.role == ("impostor" if attack in IN_THE_MIDDLE else "genuine")
            assert (testimony.behind is not None) is (attack in IN_THE_MIDDLE)
            assert [c.kind for c in testimony.connections] == ["control", "data"]
            assert [t.completed for t in testimony.transfers] == [True]
            if testimony.behind is not None:
                assert [(t.name, t.completed) for t in testimony.behind.transfers] == [("three", True)]


@pytest.mark.parametrize(("attack", "protocol"), STATES)
def test_start_closes_its_probe_before_recording(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, attack: str, protocol: str
) -> None:
    """Also the probe of the genuine server: a record that starts now would count an open one as a client's."""
    record, closed = FtpsServer.record, list[bool]()

    def watched(server: FtpsServer) -> None:
        closed.extend(each.recorder.wait_closed(0) for each in (server, server.behind) if each is not None)
        record(server)

    monkeypatch.setattr(FtpsServer, "record", watched)
    lab.serve(protocol, attack=attack)
    assert closed
    assert all(closed)


@pytest.mark.parametrize(("attack", "protocol"), STATES)
def test_stopped_attacker_leaves_no_thread_and_no_descriptor(lab: Lab, attack: str, protocol: str) -> None:
    """Even if it stops while a client is connected."""
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
def test_rotation_behind_interceptor_affects_later_clients_only(lab: Lab, protocol: str) -> None:
    """Connected clients keep both certificates, also on data connections; later clients get the new ones."""
    server = lab.serve(protocol, attack="intercept")
    before = lab.victim(server)
    server.change(lab.spec(protocol, "other", attack="intercept"))
    after = lab.victim(server)
    assert before.get("three") == after.get("three") == b"abc"
    assert peer_der(before.sock) != peer_der(after.sock)
    before.quit()
    after.quit()
    testimony, behind = lab.testimonies(server)
    genuine, other = (lab.certificates[name].sha256 for name in ("genuine", "other"))
    assert [t.certificate for t in behind.transfers] == [genuine, other]
    assert len({t.certificate for t in testimony.transfers} | {genuine, other}) == 4


def test_clients_are_served_while_genuine_server_rotates(lab: Lab) -> None:
    """The interceptor still recognizes the lab's own server when it rotates during a connection."""
    server = lab.serve(attack="intercept")
    failures: list[BaseException] = []
    done = threading.Event()

    def visit() -> None:
        try:
            while not done.is_set():
                lab.prove_served(server)
        except BaseException as error:  # noqa: BLE001 - checked in the test's own thread
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
    assert lab.testimony(server).logged_in


def test_attacker_sends_nothing_to_a_server_outside_the_lab(lab: Lab) -> None:
    """It finds an unknown certificate behind it, and reports a LabError."""
    server = lab.serve(attack="intercept")
    assert server.behind is not None
    stranger = lab.serve(certificate="other")
    server.override(genuine=with_address_of(server, stranger))
    client = lab.client(server, trust=None)
    with pytest.raises(CLOSED):
        client.login("anna", lab.password)
    client.close()
    with pytest.raises(LabError, match="reached a server outside the lab; please report this bug"):
        server.settle()
    assert stranger.settle()
    assert stranger.testimony().credentials == ()


def with_address_of(server: FtpsServer, other: FtpsServer) -> object:
    """The attacker's data about the genuine server, with another server's address."""
    return replace(server.handler.genuine, address=(other.host, other.port))


def test_attacker_closes_when_genuine_server_has_stopped(lab: Lab) -> None:
    """The lab reports no error."""
    server = lab.serve(attack="intercept")
    client = lab.victim(server)
    assert server.behind is not None
    server.behind.stop()
    with pytest.raises(CLOSED):
        client.voidcmd("NOOP")
    with socket.create_connection((server.host, server.port), 5) as sock:
        assert sock.recv(100) == b""
    assert server.settle()


# --- records -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", IN_THE_MIDDLE)
def test_connection_belongs_to_the_record_in_which_it_started(lab: Lab, attack: str) -> None:
    """On both sides of the attacker, whatever it does later."""
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
    testimony, behind = lab.testimonies(server)
    for account in (testimony, behind):
        assert [(t.verb, t.name) for t in account.transfers] == [("STOR", "up")]
        assert [c.kind for c in account.connections] == ["control", "data"]
        assert len(account.credentials) == 1
    assert [record.kind for record in server.wire().records] == ["control", "data"]
    assert first.wait_closed(5)
    assert [t.name for t in first.testimony().transfers] == ["three", "chunk"]


def test_settle_waits_for_the_genuine_server(lab: Lab) -> None:
    """Until that has received the last byte, the record is incomplete."""
    server = lab.serve(attack="intercept")
    client = lab.victim(server)
    assert server.behind is not None
    assert not server.settle(0.01)
    data = client.transfercmd("STOR up")
    server.behind.waker.call(lambda: time.sleep(0.3))
    data.sendall(lab.contents["large"])
    data.close()
    client.close()
    testimony, behind = lab.testimonies(server)
    assert [t.size for t in testimony.transfers] == [t.size for t in behind.transfers] == [5 << 20]


# --- stop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", IN_THE_MIDDLE)
@pytest.mark.parametrize("command", ["RETR huge", "STOR up"])
def test_stop_during_transfer_closes_both_sides(lab: Lab, attack: str, command: str) -> None:
    """The transfer is recorded as incomplete."""
    create_huge_file(lab)
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
def test_stop_closes_data_connections_in_every_state(lab: Lab, what: str) -> None:
    """Listeners, connections not yet accepted, and handshakes not yet started."""
    before = lab.open_files()
    server = lab.serve(attack="intercept")
    client = lab.victim(server)
    with contextlib.ExitStack() as stack:
        open_data_connection(what, server, client, stack)
        server.stop()
        client.close()
    assert server.settle(0)
    assert lab.open_files() == before


def open_data_connection(what: str, server: FtpsServer, client: Client, stack: contextlib.ExitStack) -> None:
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
def test_second_login_also_resets_prot_at_genuine_server(lab: Lab, protocol: str, how: str) -> None:
    """After REIN or another USER, client and attacker both send PROT again."""
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
    testimony, behind = lab.testimonies(server)
    assert [t.channel for t in testimony.transfers] == ["tls", "clear", "tls"]
    assert [t.channel for t in behind.transfers] == ["tls"] * 3
    assert [c.user for c in testimony.credentials] == ["anna", "berta"]
    assert all(c.accepted for c in testimony.credentials)
