"""A server behind a line: the methods of a local server, and a message for every way in which an agent can fail."""

from __future__ import annotations

import contextlib
import ftplib
import hashlib
import io
import queue
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Literal

import pytest

from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.remote.handle import RemoteHost, RemoteServer
from ftps_lab.testimony import Record, Testimony, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ftps_lab.certificates import Certificate

SECONDS = 20.0


class ProcessLine:
    """A line to an agent on this machine."""

    def __init__(self, code: str = "") -> None:
        what = ["-c", code] if code else ["-m", "ftps_lab.remote.agent"]
        pipe = subprocess.PIPE
        self.child = subprocess.Popen([sys.executable, *what], stdin=pipe, stdout=pipe, stderr=pipe)
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def send(self, line: bytes) -> None:
        assert self.child.stdin is not None
        try:
            self.child.stdin.write(line)
            self.child.stdin.flush()
        except BrokenPipeError:
            raise LabError("the process does not read") from None

    def receive(self, timeout: float) -> bytes:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None
        if not line:
            raise EOFError
        return line

    def last_words(self) -> str:
        if self.child.poll() is None:
            return ""
        assert self.child.stderr is not None
        return self.child.stderr.read().decode().strip()

    def close(self) -> None:
        assert self.child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        try:
            self.child.wait(SECONDS)
        finally:
            self.child.kill()
            self._reader.join(SECONDS)
            for stream in (self.child.stdout, self.child.stderr):
                assert stream is not None
                stream.close()


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[RemoteHost, ProcessLine]]]:
    """Starts agents, or programs that replace one; all ended after the test."""
    lines: list[ProcessLine] = []

    def make(code: str = "") -> tuple[RemoteHost, ProcessLine]:
        lines.append(ProcessLine(code))
        return RemoteHost(lines[-1]), lines[-1]

    yield make
    for each in lines:
        each.close()


if TYPE_CHECKING:
    Start = Callable[..., tuple[RemoteHost, ProcessLine]]

PATCHED_AGENT = """
import sys
import ftps_lab.remote.agent as agent
from ftps_lab.servers import FtpsServer
{patch}
sys.exit(agent.main())
"""
"""An agent with a change in it."""


def serve_lab(host: RemoteHost, root: Path, spec: ServerSpec) -> RemoteServer:
    return host.serve("lab", spec, root=root, password="pw", users=("anna",), host="127.0.0.1", port=0)


def serve_plain(host: RemoteHost, root: Path) -> RemoteServer:
    return serve_lab(host, root, ServerSpec(protocol="plain"))


def fetch(server: RemoteServer, name: str) -> tuple[str, bytes]:
    """The fingerprint that a client sees, and a file's content, over TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    got = io.BytesIO()
    with ftplib.FTP_TLS(context=context, timeout=SECONDS) as client:
        client.connect(server.host, server.port)
        client.login("anna", "pw")
        client.prot_p()
        client.retrbinary(f"RETR {name}", got.write)
        assert isinstance(client.sock, ssl.SSLSocket)
        leaf = client.sock.getpeercert(binary_form=True)
    assert leaf is not None
    return hashlib.sha256(leaf).digest().hex(":").upper(), got.getvalue()


def test_remote_server_serves_records_changes_and_stops(
    start: Start, tmp_path: Path, certificates: dict[str, Certificate]
) -> None:
    """serve, record, change, settle, testimony, wire, stop, and the next server."""
    (tmp_path / "file").write_bytes(b"content")
    host, _ = start()
    server = serve_lab(host, tmp_path, ServerSpec(certificate=certificates["genuine"]))
    server.record()
    assert fetch(server, "file") == (certificates["genuine"].sha256, b"content")
    assert server.settle()
    testimony = server.testimony()
    assert testimony.passwords == ["pw"]
    assert [(each.verb, each.size, each.completed) for each in testimony.transfers] == [("RETR", 7, True)]
    assert {each.certificate for each in testimony.handshakes} == {certificates["genuine"].sha256}
    wire = server.wire()
    assert wire.holds(b"AUTH TLS\r\n")
    assert not wire.holds(b"content")
    assert {(each.kind, each.peer) for each in wire.records} == {
        (each.kind, each.peer) for each in testimony.connections
    }

    server.change(ServerSpec(certificate=certificates["leaf"], chain=certificates["leaf"].chain))
    server.record()
    assert server.testimony() == Testimony(role="genuine")  # nothing from before
    assert server.wire().records == ()
    assert fetch(server, "file") == (certificates["leaf"].sha256, b"content")
    assert server.settle()
    assert {each.certificate for each in server.testimony().handshakes} == {certificates["leaf"].sha256}
    server.stop()
    server.stop()
    second = serve_lab(host, tmp_path, ServerSpec(certificate=certificates["other"]))
    assert second.testimony() == Testimony(role="genuine")
    assert fetch(second, "file")[0] == certificates["other"].sha256
    with pytest.raises(LabError, match="this server was stopped"):
        server.testimony()


def test_begin_and_finish_take_one_round_trip_each(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their result equals that of separate calls of `record`, `settle`, `testimony` and `wire`."""
    host, line = start()
    server = serve_plain(host, tmp_path)
    sent: list[bytes] = []
    send = line.send

    def noted(text: bytes) -> None:
        sent.append(text)
        send(text)

    monkeypatch.setattr(line, "send", noted)
    assert server.begin()
    with ftplib.FTP() as client:
        client.connect(server.host, server.port, SECONDS)
        client.login("anna", "pw")
    record = server.finish()
    assert len(sent) == 2
    assert record == Record(server.settle(), server.testimony(), server.wire())
    assert (record.complete, record.testimony.passwords) == (True, ["pw"])


@pytest.mark.parametrize("role", ["genuine", "impostor"])
def test_change_after_switches_between_connections(
    start: Start, tmp_path: Path, role: Literal["genuine", "impostor"]
) -> None:
    """The testimony covers the later connections; the bytes of the earlier ones are kept beside it."""
    server = serve_plain(start()[0], tmp_path)

    def passwords(*, change: ServerSpec | None = None) -> Record:
        if change is not None:
            server.change_after(2, change)
        assert server.begin()
        for number in range(3):
            with ftplib.FTP() as client:
                client.connect(server.host, server.port, SECONDS)
                with contextlib.suppress(ftplib.error_perm):
                    client.login("anna", f"pw-{number}" if number == 2 else "pw")
        return server.finish()

    later = passwords(change=ServerSpec(protocol="plain", role=role, password="pw-2"))
    assert (later.complete, later.testimony.role) == (True, role)
    assert [(c.password, c.accepted) for c in later.testimony.credentials] == [("pw-2", True)]
    assert (len(later.wire.records), len(later.before.records)) == (1, 2)
    assert later.before.holds(b"PASS pw\r\n")
    again = passwords()
    assert [(c.password, c.accepted) for c in again.testimony.credentials] == [
        ("pw", False), ("pw", False), ("pw-2", True),
    ]  # fmt: skip
    assert again.before == Wire()


def test_change_cancels_a_pending_change_after(start: Start, tmp_path: Path) -> None:
    server = serve_plain(start()[0], tmp_path)
    server.change_after(1, ServerSpec(protocol="plain", role="impostor"))
    server.change(ServerSpec(protocol="plain"))
    for _ in range(2):
        assert server.begin()
        with ftplib.FTP() as client:
            client.connect(server.host, server.port, SECONDS)
        assert server.finish().testimony.role == "genuine"


def test_begin_is_false_if_a_client_connects_meanwhile(start: Start, tmp_path: Path) -> None:
    """A client that connects between the start of a record and the answer is in the record."""
    patch = (
        "import socket\nrecord = FtpsServer.record\n"
        "def early(self):\n"
        "    record(self)\n"
        "    if getattr(self, 'begun', False): socket.create_connection((self.host, self.port)).recv(9)\n"
        "    self.begun = True\n"
        "FtpsServer.record = early"
    )
    host, _ = start(PATCHED_AGENT.format(patch=patch))
    server = serve_plain(host, tmp_path)
    assert not server.begin()


def test_finish_with_an_open_connection_is_incomplete(start: Start, tmp_path: Path) -> None:
    host, _ = start()
    server = serve_plain(host, tmp_path)
    with ftplib.FTP() as client:
        client.connect(server.host, server.port, SECONDS)
        assert not server.finish(0.1).complete


def test_remote_interceptor_has_testimony_of_both_sides(
    start: Start, tmp_path: Path, certificates: dict[str, Certificate]
) -> None:
    """Its twin is made where the server runs."""
    (tmp_path / "file").write_bytes(b"content")
    host, _ = start()
    genuine = certificates["genuine"]
    server = serve_lab(host, tmp_path, ServerSpec(certificate=genuine, attack="intercept"))
    shown, _content = fetch(server, "file")
    assert shown != genuine.sha256
    assert server.settle()
    testimony = server.testimony()
    assert (testimony.role, testimony.passwords) == ("impostor", ["pw"])
    assert testimony.behind is not None
    assert (testimony.behind.role, testimony.behind.passwords) == ("genuine", ["pw"])


def test_settle_is_false_while_a_connection_is_open(start: Start, tmp_path: Path) -> None:
    host, _ = start()
    server = serve_plain(host, tmp_path)
    with ftplib.FTP() as client:
        client.connect(server.host, server.port, SECONDS)
        assert not server.settle(0.1)
    assert server.settle()


def test_wire_of_40_mib_arrives(start: Start, tmp_path: Path) -> None:
    patch = (
        "from ftps_lab.testimony import Wire, WireRecord\n"
        "big = bytes(range(256)) * 4096 * 40\n"
        "FtpsServer.wire = lambda self: Wire((WireRecord('data', ('h', 1), big, b''),))"
    )
    host, _ = start(PATCHED_AGENT.format(patch=patch))
    assert serve_plain(host, tmp_path).wire().records[0].to_server == bytes(range(256)) * 4096 * 40


def test_lab_error_arrives_unchanged(start: Start, tmp_path: Path) -> None:
    host, _ = start()
    with pytest.raises(LabError, match=r"^a server of protocol 'explicit' needs a certificate: give `certificate`$"):
        serve_lab(host, tmp_path, ServerSpec())
    assert host.ping()  # and the agent continues


def test_unexpected_exception_arrives_as_a_bug(start: Start, tmp_path: Path) -> None:
    host, _ = start(PATCHED_AGENT.format(patch="FtpsServer.testimony = lambda self: 1 // 0"))
    server = serve_plain(host, tmp_path)
    with pytest.raises(LabError, match=r"(?s)a bug in the lab; please report it\):\n.*ZeroDivisionError"):
        server.testimony()


def test_dead_agent_is_an_error_with_its_last_output(start: Start, tmp_path: Path) -> None:
    host, line = start("import sys; sys.stderr.write('out of luck\\n'); sys.exit(3)")
    line.child.wait(SECONDS)
    with pytest.raises(LabError, match=r"(?s)the server's agent .*the end of its stderr:\nout of luck"):
        serve_plain(host, tmp_path)
    with pytest.raises(LabError, match="failed earlier and gets no more calls"):
        host.ping()


def test_stop_after_a_reported_death_is_silent(start: Start, tmp_path: Path) -> None:
    """The first call after its death reports it; the clean-up does not report it again."""
    host, line = start()
    server = serve_plain(host, tmp_path)
    line.child.kill()
    line.child.wait(SECONDS)
    with pytest.raises(LabError, match="start it again"):
        server.settle()
    server.stop()


def test_stop_reports_a_death_not_reported_before(start: Start, tmp_path: Path) -> None:
    host, line = start()
    server = serve_plain(host, tmp_path)
    line.child.kill()
    line.child.wait(SECONDS)
    with pytest.raises(LabError, match="start it again"):
        server.stop()


def test_agent_that_timed_out_is_not_used_again(start: Start) -> None:
    """Its answer may still come, and must not be taken for the next one."""
    host, _ = start("import sys; [None for _ in sys.stdin]")
    with pytest.raises(LabError, match=r"did not answer within 0\.2 seconds"):
        host.ping(0.2)
    with pytest.raises(LabError, match="failed earlier and gets no more calls: did not answer"):
        host.ping()


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ("nonsense", "invalid answer from the agent for this version of ftps-lab: 'nonsense'"),
        ('{"number":7}', "answered call 7, not 1"),
        ('{"number":0}', "answered call 0, not 1"),
        ('{"number":1}', "the answer is null, not a value of type dict"),
    ],
)
def test_invalid_answer_is_an_error(start: Start, reply: str, sentence: str) -> None:
    host, _ = start(f"import sys; sys.stdin.readline(); print({reply!r}, flush=True); sys.stdin.read()")
    with pytest.raises(LabError, match=sentence):
        host.ping()


def test_agent_is_not_used_again_after_an_interrupted_call(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    host, line = start()

    def interrupted(_timeout: float) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(line, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        host.ping()
    monkeypatch.undo()
    with pytest.raises(LabError, match="a call was interrupted"):
        host.ping()


def test_agent_is_usable_after_an_order_that_cannot_be_sent(start: Start, tmp_path: Path) -> None:
    host, _ = start()
    with pytest.raises(TypeError):
        serve_lab(host, tmp_path, ServerSpec(attack_how={}))  # type: ignore[arg-type]
    assert host.ping()


def test_concurrent_calls_get_their_own_answers(start: Start, tmp_path: Path) -> None:
    """Four threads call `settle`, `testimony` and `wire`."""
    host, _ = start()
    server = serve_plain(host, tmp_path)
    answers: list[object] = []

    def ask() -> None:
        for _ in range(30):
            answers.extend((server.settle(), server.testimony().role, server.wire().records))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert answers.count(True) == answers.count("genuine") == answers.count(()) == 120
