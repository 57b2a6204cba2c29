"""The classroom's hosts: each presents the subject of its lesson, and its health check fails for anything else."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import signal
import socket
import ssl
import sys
import threading
import time
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from tests.waiting import started

from ftps_lab import certificates
from ftps_lab.classroom import __main__ as command
from ftps_lab.classroom import check as checking
from ftps_lab.classroom import events, folders, ident
from ftps_lab.classroom.check import check, fingerprint, shown_certificate
from ftps_lab.classroom.hosts import HOSTS, PASSWORD, USER, Host
from ftps_lab.classroom.journal import Journal, report_daemon_sessions
from ftps_lab.classroom.learners import GUEST, Learner
from ftps_lab.classroom.serve import ClassroomHost, Folders, own_address, running
from ftps_lab.errors import LabError
from ftps_lab.servers import FtpsServer
from ftps_lab.testimony import Command, Connection, Credential, Handshake, Testimony, Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOPBACK = "127.0.0.1"
LEARNER = "127.0.0.9"
LAB_HOSTS = [host for host in HOSTS.values() if host.server == "lab"]
"""The hosts without a real daemon; the others are tested in their containers."""

SECONDS = 20.0

ANNA = Learner("anna", "amber-otter-27", "k7wq")
BEN = Learner("ben", "coral-robin-11", "z3mm")


class Room:
    """Hosts on loopback, each with its own folders and its own lines for the teacher."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.handed_out = folder / "handout"
        self.handed_out.mkdir()
        self.staff = folder / "staff"
        self.staff.mkdir()
        self.lines: dict[str, list[str]] = {}

    def open(self, host: Host) -> ClassroomHost:
        """Start a host on loopback, with its own folder and its own lines."""
        root = self._folder / host.name
        root.mkdir()
        lines = self.lines[host.name] = []
        where = Folders(root=root, handed_out=self.handed_out, staff=self.staff)
        return self._stack.enter_context(
            running(host, lines.append, where, (ANNA, BEN, GUEST), address=LOOPBACK, port=0)
        )

    def check(self, host: Host, running_host: ClassroomHost) -> None:
        check(host, LOOPBACK, running_host.server.port, self.handed_out)

    def learner(
        self, running_host: ClassroomHost, *, tls: bool = True, user: str = USER, password: str = PASSWORD
    ) -> None:
        """List, download and upload without verification."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = ftplib.FTP_TLS(context=context, timeout=SECONDS, source_address=(LEARNER, 0))
        with client:
            client.connect(LOOPBACK, running_host.server.port)
            client.login(user, password, secure=tls)
            if tls:
                client.prot_p()
            client.retrlines("LIST", lambda _: None)
            client.retrbinary("RETR backup/tuesday.txt", lambda _: None)
            client.storbinary("STOR new\x1b[31m.txt", io.BytesIO(b"mine"))

    def wait_for_line(self, host: Host, words: str) -> list[str]:
        """Wait until a line ends in these words, and return all lines so far."""
        deadline = time.monotonic() + SECONDS
        while not any(line.endswith(words) for line in self.lines[host.name]):
            assert time.monotonic() < deadline, self.lines[host.name]
            time.sleep(0.005)
        return self.lines[host.name]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with contextlib.ExitStack() as stack:
        yield Room(tmp_path, stack)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ftps-lab")] == []


# The table.


def test_every_host_has_valid_specs_and_its_own_address() -> None:
    for name, host in HOSTS.items():
        assert certificates.check(host.specs) == []
        assert host.name == name
        assert host.address in {"example.com", f"{name}.example.com"}
    assert len({host.address for host in HOSTS.values()}) == len(HOSTS)


def test_about_line_fits_in_80_columns_beside_the_host_name() -> None:
    """Compose v2 prefixes each line with a number and a bar after a name padded to the longest one."""
    prefix = max(map(len, HOSTS)) + len("-1  | ready: ")
    assert [host.about for host in HOSTS.values() if prefix + len(host.about) > 80] == []


def test_hosts_cover_every_fault() -> None:
    assert {host.fault for host in HOSTS.values()} == {"", "another name", "expired", "not yet valid"}


# The health check.


@pytest.mark.parametrize("host", LAB_HOSTS, ids=lambda host: host.name)
def test_every_host_passes_its_own_health_check(room: Room, host: Host) -> None:
    room.check(host, room.open(host))


def test_no_host_passes_the_health_check_of_another(room: Room) -> None:
    """A check that ignored the certificate would pass any host as any other."""
    stands = {host.name: room.open(host) for host in LAB_HOSTS}
    for one, other in permutations(LAB_HOSTS, 2):
        with pytest.raises(LabError, match=f"'{one.name}'|the attacker is missing|502 AUTH"):
            room.check(one, stands[other.name])


def test_intercepted_host_without_interceptor_is_unhealthy(room: Room) -> None:
    host = HOSTS["intercepted"]
    running_host = room.open(host)
    room.check(host, running_host)
    running_host.server.change(replace(running_host.server.spec, attack="none", attack_certificate=None))
    with pytest.raises(LabError, match="the attacker is missing"):
        room.check(host, running_host)


def test_host_with_an_authority_not_handed_out_is_unhealthy(room: Room) -> None:
    host = HOSTS["issued"]
    running_host = room.open(host)
    (name,) = host.handed_out
    (room.handed_out / name).write_bytes(certificates.issue({"a": certificates.CertificateSpec()})["a"].pem)
    with pytest.raises(LabError, match="unable to get local issuer"):
        room.check(host, running_host)


def test_closed_port_is_unhealthy(room: Room) -> None:
    running_host = room.open(HOSTS["example"])
    running_host.server.stop()
    with pytest.raises(LabError, match=r"failed before the TLS handshake was complete: .*refused"):
        room.check(HOSTS["example"], running_host)


def test_server_without_tls_is_unhealthy(room: Room) -> None:
    running_host = room.open(HOSTS["example"])
    running_host.server.change(replace(running_host.server.spec, protocol="plain", certificate=None))
    with pytest.raises(LabError, match="failed before the TLS handshake was complete: 500"):
        room.check(HOSTS["example"], running_host)


@pytest.mark.parametrize("greeting", [b"", b"421 Too many users.\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_port_without_an_ftp_greeting_is_unhealthy(monkeypatch: pytest.MonkeyPatch, greeting: bytes) -> None:
    monkeypatch.setattr(checking, "_PATIENCE", 0.2)
    with socket.create_server((LOOPBACK, 0)) as listener:

        def answer() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(greeting)
                accepted.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(LabError, match="failed before the TLS handshake was complete"):
            shown_certificate(LOOPBACK, listener.getsockname()[1])
        thread.join(SECONDS)


def test_host_that_offers_tls_fails_the_check_of_stripped(room: Room) -> None:
    running_host = room.open(HOSTS["example"])
    with pytest.raises(LabError, match="should deny TLS as 'stripped', but answered"):
        room.check(HOSTS["stripped"], running_host)


def test_closed_port_fails_the_check_of_stripped(room: Room) -> None:
    running_host = room.open(HOSTS["stripped"])
    running_host.server.stop()
    with pytest.raises(LabError, match="failed before AUTH"):
        room.check(HOSTS["stripped"], running_host)


# Learners.


@pytest.mark.parametrize("name", ["example", "intercepted"])
def test_learner_logs_in_with_their_own_password_only(room: Room, name: str) -> None:
    running_host = room.open(HOSTS[name])
    for learner in (ANNA, BEN):
        room.learner(running_host, user=learner.name, password=learner.password)
    with pytest.raises(ftplib.error_perm, match="530"):
        room.learner(running_host, user=ANNA.name, password=BEN.password)


@pytest.mark.parametrize("name", ["example", "intercepted", "stripped"])
@pytest.mark.parametrize("user", ["anonymous", "ftp", "carla"])
def test_anonymous_and_unknown_users_are_refused(room: Room, name: str, user: str) -> None:
    """A short host name makes lftp log in anonymously, in clear: that gets 530, not a listing."""
    running_host = room.open(HOSTS[name])
    with pytest.raises(ftplib.error_perm, match="530"):
        room.learner(running_host, user=user, tls=False)


def test_learner_can_delete_files_in_their_own_folder_only(room: Room, tmp_path: Path) -> None:
    running_host = room.open(HOSTS["example"])
    client = ftplib.FTP(timeout=SECONDS)
    client.connect(LOOPBACK, running_host.server.port)
    with client:
        client.login(ANNA.name, ANNA.password)
        client.delete("backup/tuesday.txt")
        client.delete("welcome.txt")
        with pytest.raises(ftplib.error_perm):
            client.delete("../ben/welcome.txt")
    left = {path.name for path in (tmp_path / "example" / "anna").rglob("*.txt")}
    assert left == {"monday.txt"}
    room.learner(running_host, user=BEN.name, password=BEN.password)


def test_reset_restores_only_the_named_learners_folder(room: Room, tmp_path: Path) -> None:
    hosts = [room.open(HOSTS[name]) for name in ("example", "stripped")]
    for name in ("example", "stripped"):
        for learner in ("anna", "ben"):
            (tmp_path / name / learner / "welcome.txt").unlink()
            (tmp_path / name / learner / "mine").mkdir()
    number = folders.order_reset(room.staff, ["anna"])
    with pytest.raises(LabError, match="have not restored the folders: example, stripped"):
        folders.wait_until_done(room.staff, ["example", "stripped"], number, seconds=0.0)
    for host in hosts:
        host.look()
    folders.wait_until_done(room.staff, ["example", "stripped"], number)
    for name in ("example", "stripped"):
        assert (tmp_path / name / "anna" / "welcome.txt").is_file()
        assert not (tmp_path / name / "anna" / "mine").exists()
        assert not (tmp_path / name / "ben" / "welcome.txt").exists()
        assert (tmp_path / name / "ben" / "mine").is_dir()


def test_host_ignores_reset_orders_from_before_its_start(room: Room, tmp_path: Path) -> None:
    folders.order_reset(room.staff, ["anna"])
    running_host = room.open(HOSTS["example"])
    (tmp_path / "example" / "anna" / "welcome.txt").unlink()
    running_host.look()
    assert not (tmp_path / "example" / "anna" / "welcome.txt").exists()


# The teacher's window.


def wait_for_event(room: Room, what: str) -> events.Event:
    """Wait for an event of this kind, and return the last one."""
    deadline = time.monotonic() + SECONDS
    while not (found := [event for event in events.read(room.staff) if event.what == what]):
        assert time.monotonic() < deadline, events.read(room.staff)
        time.sleep(0.005)
    return found[-1]


def test_events_hold_each_learners_intercepted_password(room: Room) -> None:
    running_host = room.open(HOSTS["intercepted"])
    for learner in (ANNA, BEN):
        room.learner(running_host, user=learner.name, password=learner.password)
    wait_for_event(room, "done, 2 files")
    captured = {event.learner: event.captured for event in events.read(room.staff) if event.captured}
    assert captured == {ANNA.name: ANNA.password, BEN.name: BEN.password}


def test_event_holds_password_sent_after_auth_was_refused(room: Room) -> None:
    running_host = room.open(HOSTS["stripped"])
    with ftplib.FTP(timeout=SECONDS, source_address=(LEARNER, 0)) as client:
        client.connect(LOOPBACK, running_host.server.port)
        with pytest.raises(ftplib.error_perm, match="502"):
            client.sendcmd("AUTH TLS")
        client.login(ANNA.name, ANNA.password)
    event = wait_for_event(room, "password captured")
    assert (event.learner, event.channel, event.captured) == (ANNA.name, "clear", ANNA.password)


def test_event_holds_password_sent_in_clear(room: Room) -> None:
    room.learner(room.open(HOSTS["example"]), user=BEN.name, password=BEN.password, tls=False)
    event = wait_for_event(room, "password readable")
    assert (event.learner, event.channel, event.captured) == (BEN.name, "clear", BEN.password)


def test_event_holds_no_password_of_a_genuine_tls_login(room: Room) -> None:
    room.learner(room.open(HOSTS["example"]), user=BEN.name, password=BEN.password)
    wait_for_event(room, "done, 2 files")
    assert [event.captured for event in events.read(room.staff)] == ["", ""]


def test_event_of_refused_certificate_names_the_ident_user(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client never sends a user name; its machine supplies it over ident (RFC 1413)."""
    monkeypatch.setattr("ftps_lab.classroom.serve.user_of", lambda peer, _port: "anna" if peer[0] == LEARNER else "")
    running_host = room.open(HOSTS["example"])
    pinned = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = ftplib.FTP_TLS(context=pinned, timeout=SECONDS, source_address=(LEARNER, 0))
    client.connect(LOOPBACK, running_host.server.port)
    with client, pytest.raises(ssl.SSLCertVerificationError):
        client.auth()
    assert wait_for_event(room, "left before the login").who == "anna"


@pytest.mark.parametrize(
    ("answer", "user"),
    [
        (b"4000 , 21 : USERID : UNIX : anna\r\n", "anna"),
        (b"4000,21:ERROR:NO-USER\r\n", ""),
        (b"4000,21:USERID:UNIX:\x1b[31m\r\n", ""),
        (b"", ""),
    ],
)
def test_ident_query_and_reply_are_parsed(answer: bytes, user: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        asked: list[bytes] = []

        def reply() -> None:
            accepted, _ = listener.accept()
            with accepted:
                asked.append(accepted.recv(100))
                accepted.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        assert ident.user_of((LOOPBACK, 4000), 21, ident_port=listener.getsockname()[1]) == user
        thread.join(SECONDS)
    assert asked == [b"4000, 21\r\n"]


def test_ident_without_a_server_gives_no_user_at_once() -> None:
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    began = time.monotonic()
    assert ident.user_of((LOOPBACK, 4000), 21, ident_port=port) == ""
    assert time.monotonic() - began < 0.4


# Rotation.


def test_rotated_host_refuses_the_old_pin_and_stays_healthy(room: Room) -> None:
    host = HOSTS["rotated"]
    running_host = room.open(host)
    before = shown_certificate(LOOPBACK, running_host.server.port)
    running_host.rotate()
    now = shown_certificate(LOOPBACK, running_host.server.port)
    assert now != before
    room.check(host, running_host)
    pinned = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pinned.load_verify_locations(cadata=before)
    client = ftplib.FTP_TLS(context=pinned, timeout=SECONDS)
    client.connect(LOOPBACK, running_host.server.port)
    client.host = host.address
    with client, pytest.raises(ssl.SSLCertVerificationError):
        client.auth()
    assert room.lines[host.name][-2:] == ["now showing another certificate:", fingerprint(now)]


@pytest.mark.parametrize("name", ["issued", "intercepted"])
def test_rotation_replaces_the_file_handed_out(room: Room, name: str) -> None:
    running_host = room.open(HOSTS[name])
    (path,) = room.handed_out.iterdir()
    before = path.read_bytes()
    running_host.rotate()
    assert path.read_bytes() != before
    room.check(HOSTS[name], running_host)


# The teacher's log.


def test_log_has_one_line_per_session_without_password(room: Room) -> None:
    host = HOSTS["example"]
    running_host = room.open(host)
    room.learner(running_host)
    line = room.wait_for_line(host, "STOR new\\x1b[31m.txt 4 B")[-1]
    assert line.startswith(f"{LEARNER} student logged in over TLS; LIST ")
    assert "RETR backup/tuesday.txt 42 B; STOR " in line
    assert PASSWORD not in "".join(room.lines[host.name])


def test_log_marks_what_went_in_clear(room: Room) -> None:
    host = HOSTS["expired"]
    running_host = room.open(host)
    room.learner(running_host, tls=False)
    first, last = room.wait_for_line(host, "STOR new\\x1b[31m.txt 4 B IN CLEAR")[-2:]
    assert first == f"{LEARNER} password classroom IN CLEAR: anyone on the path can read it"
    assert last.startswith(f"{LEARNER} student logged in IN CLEAR; LIST ")
    assert last.count("IN CLEAR") == 4


def test_log_of_interceptor_shows_captured_password_and_files(room: Room) -> None:
    host = HOSTS["intercepted"]
    running_host = room.open(host)
    room.learner(running_host)
    lines = room.wait_for_line(host, "new\\x1b[31m.txt: mine")
    assert f"{LEARNER} CAPTURED: user student, password classroom" in lines
    assert f"{LEARNER} CAPTURED: backup/tuesday.txt: Tuesday's backup, with everyone's salary" in lines


def test_log_of_interceptor_shows_password_during_the_session(room: Room) -> None:
    host = HOSTS["intercepted"]
    running_host = room.open(host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ftplib.FTP_TLS(context=context, timeout=SECONDS, source_address=(LEARNER, 0)) as client:
        client.connect(LOOPBACK, running_host.server.port)
        client.login(USER, PASSWORD)
        room.wait_for_line(host, "CAPTURED: user student, password classroom")
        assert not any("logged in" in line for line in room.lines[host.name])


def test_log_shows_refused_logins_and_refused_certificates(room: Room) -> None:
    host = HOSTS["example"]
    running_host = room.open(host)
    with pytest.raises(ftplib.error_perm):
        room.learner(running_host, password="wrong")
    assert room.wait_for_line(host, "student was refused over TLS")[-1].startswith(LEARNER)
    pinned = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = ftplib.FTP_TLS(context=pinned, timeout=SECONDS, source_address=(LEARNER, 0))
    client.connect(LOOPBACK, running_host.server.port)
    with client, pytest.raises(ssl.SSLCertVerificationError):
        client.auth()
    room.wait_for_line(host, "left without logging in")


def test_log_omits_health_checks_and_bare_connections(room: Room) -> None:
    host = HOSTS["intercepted"]
    running_host = room.open(host)
    before = list(room.lines[host.name])
    for _ in range(3):
        room.check(host, running_host)
    with socket.create_connection((LOOPBACK, running_host.server.port), SECONDS, source_address=(LEARNER, 0)) as knock:
        assert knock.recv(3) == b"220"
    room.learner(running_host)
    room.wait_for_line(host, "new\\x1b[31m.txt: mine")
    assert [line for line in room.lines[host.name] if line not in before and not line.startswith(LEARNER)] == []
    assert sum("left" in line for line in room.lines[host.name]) == 0


def test_log_separates_the_sessions_of_a_daemon() -> None:
    """Its testimony covers all its clients together, including the host's own health check."""
    server = FakeDaemonServer(
        Testimony(
            "genuine",
            connections=(
                Connection(1, "control", (LEARNER, 1), 0.0),
                Connection(2, "control", (LOOPBACK, 2), 0.0),
                Connection(3, "control", ("127.0.0.8", 3), 0.0),
                Connection(4, "data", (LEARNER, 4), 0.0),
            ),
            handshakes=(Handshake(3, completed=True, version="", cipher="", server_name=None, certificate=""),),
            commands=tuple(Command(number, "AUTH", "TLS", "clear") for number in (1, 2, 3)),
            credentials=(Credential(1, USER, None, "clear", accepted=True),),
            transfers=(Transfer(4, 1, "RETR", "a", "download", 7, "", "clear", "", completed=False),),
        )
    )
    lines: list[str] = []
    report_daemon_sessions(server, Journal("vsftpd", lines.append, unseen=frozenset({LOOPBACK})))  # type: ignore[arg-type]  # what it needs of one
    assert lines == [
        f"{LEARNER} student logged in IN CLEAR; RETR a 7 B IN CLEAR incomplete",
        "127.0.0.8 left without logging in, after the TLS handshake",
    ]
    assert server.records == 1


class FakeDaemonServer:
    """A daemon's server, reduced to the calls made here."""

    def __init__(self, testimony: Testimony) -> None:
        self._testimony = testimony
        self.records = 0

    def testimony(self) -> Testimony:
        return self._testimony

    def record(self) -> None:
        self.records += 1


def test_health_checks_accumulate_no_connections(room: Room) -> None:
    """One runs every few seconds, for days."""
    host = HOSTS["intercepted"]
    running_host = room.open(host)
    for _ in range(5):
        room.check(host, running_host)
    assert running_host.server.settle()
    assert isinstance(running_host.server, FtpsServer)
    assert running_host.server.behind is not None
    assert len(running_host.server.recorder.connections) == 0
    assert len(running_host.server.behind.recorder.connections) <= 1


@pytest.mark.parametrize("missing", ["root", "handed_out", "staff"])
def test_missing_folder_is_an_error_that_names_compose_yaml(tmp_path: Path, missing: str) -> None:
    """A container started by hand lacks what compose.yaml mounts."""
    blocked = tmp_path / "file"
    blocked.touch()
    folders = {"root": tmp_path, "handed_out": tmp_path, "staff": tmp_path, missing: blocked / "folder"}
    with (
        pytest.raises(LabError, match=r"cannot write .*/file/folder.*: Not a directory; use compose.yaml"),
        running(HOSTS["issued"], print, Folders(**folders), (GUEST,), address=LOOPBACK, port=0),
    ):
        raise AssertionError("never")


# The command.


@pytest.mark.parametrize("leads_to", ["192.0.2.7", None])
def test_host_starts_only_if_its_name_resolves_to_this_machine(
    monkeypatch: pytest.MonkeyPatch, leads_to: str | None
) -> None:
    """On a machine outside the classroom example.com is another host, so the command opens no port there."""

    def resolve(name: str) -> str:
        assert name == "example.com"
        if leads_to is None:
            raise socket.gaierror(-2, "Name or service not known")
        return leads_to

    monkeypatch.setattr(socket, "gethostbyname", resolve)
    with pytest.raises(LabError, match=r"example.com does not resolve to this machine .*docker compose up"):
        own_address(HOSTS["example"])


def test_failed_check_prints_a_sentence_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "HOSTS", {"example": replace(HOSTS["example"], address=LOOPBACK)})
    monkeypatch.setattr(command, "PORT", 1)
    assert command.main(["check", "example"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{LOOPBACK} port 1 failed before the TLS handshake was complete: ")
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_command_names_the_hosts_on_any_other_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")
    assert command.main(["check"]) == 1
    assert "'laptop' is not a host of the classroom: name one of example, " in capsys.readouterr().err


PROGRAM = """
import sys
from pathlib import Path
from ftps_lab.classroom import serve
from ftps_lab.classroom.hosts import HOSTS
serve.PORT = int(sys.argv[1])
serve.own_address = lambda host: "127.0.0.1"
folder = Path(sys.argv[2])
folders = serve.Folders(root=folder, handed_out=folder, staff=folder)
serve.serve(HOSTS["rotated"], lambda line: print(line, flush=True), folders, ())
"""


GRACE = 10.0
"""Seconds after which Docker kills a container that ignores SIGTERM."""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_sighup_rotates_and_sigterm_or_sigint_ends_the_host(tmp_path: Path, end: signal.Signals) -> None:
    """SIGTERM comes from `docker compose down`, SIGINT from Ctrl-C; it ends at once and prints nothing."""
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", PROGRAM, str(port), str(tmp_path)]
    with started(*command, env={**os.environ, "PYTHONWARNINGS": "ignore"}) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready: ")
        first = process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "now showing another certificate:\n"
        assert process.stdout.readline() != first
        process.send_signal(end)
        rest, errors = process.communicate(timeout=GRACE)
    assert (process.returncode, rest, errors) == (0, "", "")
