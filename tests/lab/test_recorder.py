"""The recorder alone, and records of servers: each starts at record() and is complete once settle() is true."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.lab.sessions import PROTOCOLS, intercepted

from ftps_lab.recorder import Recorder
from ftps_lab.servers import IOLoop, Waker  # type: ignore[attr-defined]  # pyftpdlib's, without its warning
from ftps_lab.testimony import Command, Credential, Handshake, Transfer

if TYPE_CHECKING:
    from tests.lab.conftest import Lab

PEER = ("127.0.0.1", 40000)


def test_reply_belongs_to_the_newest_command_of_its_connection() -> None:
    """Only the first reply counts."""
    recorder = Recorder("genuine")
    one, two = recorder.opened("control", PEER), recorder.opened("control", PEER)
    one.command(Command(one.number, "RETR", "a", "clear"))
    two.command(Command(two.number, "NOOP", "", "tls"))
    one.replied(150)
    one.replied(226)
    two.replied(200)
    assert [command.reply for command in recorder.testimony().commands] == [150, 200]


def test_let_in_marks_the_newest_password_of_its_connection() -> None:
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


def test_all_events_have_times_in_their_order() -> None:
    """Commands, replies, handshakes, alerts, logins and transfers."""
    recorder = Recorder("genuine")
    log = recorder.opened("control", PEER)
    log.greeted()
    log.command(Command(log.number, "AUTH", "TLS", "clear"))
    log.did("refused")
    log.did("refused again")
    log.replied(502, text="AUTH is refused.")
    log.handshake(Handshake(log.number, False, "", "", None, ""))
    log.alert("sent", "fatal", "handshake_failure")
    log.credential(Credential(log.number, "anna", "secret", "clear", accepted=False))
    log.transfer(Transfer(log.number, log.number, "LIST", "", "download", 0, "", "clear", "", completed=True))
    log.closed()
    testimony = recorder.testimony()
    (connection,), (command,), (credential,) = testimony.connections, testimony.commands, testimony.credentials
    times = [connection.opened, connection.greeted_at, command.at, connection.attacked_at, command.reply_at]
    times += [
        testimony.handshakes[0].at,
        testimony.alerts[0].at,
        credential.at,
        testimony.transfers[0].at,
        connection.closed_at,
    ]
    known = [time for time in times if time is not None]
    assert len(known) == len(times) == len(set(known))
    assert known == sorted(known)
    assert command.reply_text == "AUTH is refused."


def test_times_of_attacker_and_genuine_server_are_comparable(lab: Lab) -> None:
    """Both records start together: the genuine server gets a command after the attacker, and replies before it."""
    server = intercepted(lab)
    server.record()
    with lab.victim(server):
        pass
    testimony, behind = lab.testimonies(server)
    ours, theirs = (next(c for c in each.commands if c.verb == "PASS") for each in (testimony, behind))
    times = [ours.at, theirs.at, theirs.reply_at, ours.reply_at]
    assert times == sorted(time for time in times if time is not None)
    assert ours.reply_text == theirs.reply_text == "Logged in."


def test_reply_without_a_command_is_ignored() -> None:
    """Such as a 421 before any command, or a login without a password."""
    recorder = Recorder("genuine")
    log = recorder.opened("control", PEER)
    log.replied(421)
    log.let_in()
    assert recorder.testimony().commands == ()


def test_wait_closed_waits_for_every_connection() -> None:
    """Closing one of them twice does not count for the other."""
    recorder = Recorder("genuine")
    one, two = recorder.opened("control", PEER), recorder.opened("data", PEER)
    one.closed()
    one.closed()
    assert not recorder.wait_closed(0)
    threading.Timer(0.02, two.closed).start()
    assert recorder.wait_closed(5)


def test_greeting_and_error_are_kept_on_a_connection() -> None:
    recorder = Recorder("impostor")
    log = recorder.opened("control", PEER)
    log.greeted()
    log.failed("SSL.Error: x")
    connection = recorder.testimony().connections[0]
    assert (recorder.testimony().role, connection.greeted, connection.error) == ("impostor", True, "SSL.Error: x")
    assert connection.opened >= 0


def test_record_is_consistent_while_another_thread_writes() -> None:
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


@pytest.mark.parametrize("how", ["quit", "close", "reset"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_record_is_complete_however_the_client_ends(lab: Lab, protocol: str, how: str) -> None:
    """settle() returns True, and the record has everything that the client sent."""
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
            lab.close_with_reset(client.sock)
        testimony = lab.testimony(server)
        assert [transfer.name for transfer in testimony.transfers] == ["three"]
        assert testimony.commands[-1].verb == ("QUIT" if how == "quit" else "RETR")


def test_password_of_a_client_that_leaves_at_once_is_recorded(lab: Lab) -> None:
    server = lab.serve("plain")
    for number in range(50):
        server.record()
        with socket.create_connection((server.host, server.port), 5) as sock:
            sock.sendall(b"USER anna\r\nPASS number %d\r\n" % number)
        assert lab.testimony(server).passwords == [f"number {number}"]


def test_upload_of_a_client_that_leaves_at_once_is_recorded(lab: Lab) -> None:
    """It closes data and control connection together, without waiting for 226."""
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
        assert [t.size for t in server.testimony().transfers] == [len(b"content %d" % number)]


def test_waiting_data_connection_is_read_after_the_session_ends(lab: Lab) -> None:
    """Its content still waits to be accepted when the control connection ends."""
    server = lab.serve("plain")
    client = lab.login(server)
    address = client.makepasv()
    assert client.sendcmd("STOR up").startswith("150")
    with lab.blocked(server):
        client.close()
        with socket.create_connection(address, 5) as data:
            data.sendall(b"content")
    assert server.settle()
    assert [(transfer.size, transfer.name) for transfer in server.testimony().transfers] == [(7, "up")]
    assert server.wire().holds(b"content")


def test_settle_waits_for_connections_not_yet_accepted(lab: Lab) -> None:
    """Many clients that connect and leave at once are all in the record."""
    server = lab.serve("plain")
    for turn in range(20):
        server.record()
        server.waker.call(partial(time.sleep, turn / 1000))  # all of them arrive before the server looks
        for number in range(40):
            with socket.create_connection((server.host, server.port), 5) as sock:
                sock.sendall(b"USER %d\r\n" % number)
        testimony = lab.testimony(server)
        assert len(testimony.connections) == 40
        assert [command.argument for command in testimony.commands] == [str(number) for number in range(40)]


def test_call_within_a_call_runs_in_a_later_turn() -> None:
    """settle() counts turns of the event loop: two of its calls never run in the same one."""
    ioloop = IOLoop()
    waker = Waker(ioloop)
    ran: list[int] = []

    def first() -> None:
        ran.append(1)
        waker.call(lambda: ran.append(2))

    with contextlib.closing(ioloop):
        waker.call(first)
        waker.handle_read_event()
        assert ran == [1]
        waker.handle_read_event()
        assert ran == [1, 2]


def test_settle_times_out_while_a_client_is_connected(lab: Lab) -> None:
    server = lab.serve()
    client = lab.login(server)
    began = time.monotonic()
    assert not server.settle(0.05)
    assert 0.04 < time.monotonic() - began < 4
    client.quit()
    assert server.settle()


def test_connection_belongs_to_the_record_in_which_it_started(lab: Lab) -> None:
    """Its later data connections too."""
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


def test_concurrent_clients_are_recorded_separately(lab: Lab) -> None:
    """Credentials and transfers name the connections of their own client."""
    server = lab.serve()
    anna, bert = lab.login(server, user="anna"), lab.login(server, user="bert")
    for client, content in ((anna, b"a"), (bert, b"bb"), (anna, b"aaa")):
        client.put("up", content)
    for client in (anna, bert):
        client.quit()
    testimony = lab.testimony(server)
    number = {credential.user: credential.connection for credential in testimony.credentials}
    assert [(t.control, t.size) for t in testimony.transfers] == [
        (number["anna"], 1),
        (number["bert"], 2),
        (number["anna"], 3),
    ]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_upload_of_a_client_that_leaves_at_once_is_recorded(lab: Lab, version: str) -> None:
    """The content and the ends of both connections wait to be read at once."""
    server = lab.serve(tls=(version,))
    content = lab.contents["chunk"]
    for _ in range(10):
        server.record()
        client = lab.login(server)
        client.voidcmd("TYPE I")
        data = client.transfercmd("STOR up")
        with lab.blocked(server):
            client.close()
            with data:
                data.sendall(content)
        assert server.settle()
        assert [transfer.size for transfer in server.testimony().transfers] == [len(content)]
