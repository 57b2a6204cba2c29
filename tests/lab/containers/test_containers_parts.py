"""The parts of ftps_lab.containers that need no engine: frames, lines, owners, error sentences."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest
import requests.exceptions

from ftps_lab.containers import Engine, clear_leftovers, connect, owners, why_no_engine
from ftps_lab.containers.engine import too_old
from ftps_lab.containers.failures import DISK_FULL, engine_errors, sentence
from ftps_lab.containers.frames import STDERR, STDOUT, Frames
from ftps_lab.containers.line import ContainerLine, raw_socket
from ftps_lab.containers.owners import LABEL_RUN, Owner
from ftps_lab.containers.removing import left_behind, remove_network
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 20.0


def frame(stream: int, content: bytes) -> bytes:
    return bytes((stream, 0, 0, 0)) + len(content).to_bytes(4, "big") + content


STREAM = [(STDOUT, b"one\n"), (STDERR, b""), (STDERR, b"warning\n"), (STDOUT, b"tw"), (STDOUT, b"o\n" * 300)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 4096])
def test_frames_are_read_however_they_are_split(size: int) -> None:
    data = b"".join(frame(*each) for each in STREAM)
    frames, out = Frames(), {STDOUT: b"", STDERR: b""}
    for at in range(0, len(data), size):
        for stream, content in frames.feed(data[at : at + size]):
            out[stream] += content
    assert out == {STDOUT: b"one\ntwo\n" + b"o\n" * 299, STDERR: b"warning\n"}


def test_stream_without_frames_is_an_error() -> None:
    """A terminal's stream has no frames: its bytes must not be taken for lengths."""
    with pytest.raises(LabError, match="does not consist of frames"):
        Frames().feed(b"Python 3.11.2 (main)\r\n")


@pytest.fixture
def ends() -> Iterator[tuple[ContainerLine, socket.socket]]:
    """A line and the engine's end of it."""
    ours, engines = socket.socketpair()
    line = ContainerLine(ours, "box")
    yield line, engines
    line.close()
    engines.close()


Ends = tuple[ContainerLine, socket.socket]


def test_lines_are_whole_whatever_the_frames(ends: Ends) -> None:
    line, engine = ends
    data = frame(STDOUT, b"first\nsec") + frame(STDERR, b"noise\n") + frame(STDOUT, b"ond\n\nlast")

    def trickle() -> None:
        for byte in data:
            engine.sendall(bytes((byte,)))

    sent = threading.Thread(target=trickle)
    sent.start()
    assert [line.receive(SECONDS) for _ in range(3)] == [b"first\n", b"second\n", b"\n"]
    sent.join()
    with pytest.raises(TimeoutError):
        line.receive(0.01)
    assert line.last_words() == "noise"
    engine.close()
    with pytest.raises(EOFError):
        line.receive(SECONDS)


def test_line_of_20_mib_is_received(ends: Ends) -> None:
    line, engine = ends
    big = random.Random(4).randbytes(20 << 20).replace(b"\n", b"") + b"\n"
    parts = b"".join(frame(STDOUT, big[at : at + 32768]) for at in range(0, len(big), 32768))
    sent = threading.Thread(target=engine.sendall, args=(parts,))
    sent.start()
    assert line.receive(SECONDS) == big
    sent.join()


def test_receive_times_out_despite_partial_output(ends: Ends) -> None:
    """Output on stderr, or a line that never ends, is not an answer."""
    line, engine = ends
    stop = threading.Event()

    def chatter() -> None:
        until = time.monotonic() + SECONDS  # then the line ends, so that code without a limit does not hang
        while not stop.wait(0.01) and time.monotonic() < until:
            engine.sendall(frame(STDERR, b"tick\n") + frame(STDOUT, b"x"))
        engine.sendall(frame(STDOUT, b"\n"))

    thread = threading.Thread(target=chatter)
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            line.receive(0.2)
        assert time.monotonic() - began >= 0.2
    finally:
        stop.set()
        thread.join()


def test_last_words_are_the_end_of_stderr(ends: Ends) -> None:
    line, engine = ends
    engine.sendall(b"".join(frame(STDERR, b"%d\n" % number) for number in range(2000)))
    engine.close()
    words = line.last_words()
    assert words.startswith("…")
    assert words.endswith("\n1998\n1999")
    assert len(words) < 4200


def test_sending_to_a_container_that_is_gone_is_an_error(ends: Ends) -> None:
    line, engine = ends
    engine.sendall(frame(STDERR, b"so long\n"))
    engine.close()
    with pytest.raises(LabError, match="the container box is gone: Broken pipe"):
        line.send(b"x" * 4096)
    assert line.last_words() == "so long"
    line.close()
    line.close()


def test_line_longer_than_the_limit_is_an_error(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftps_lab.containers.line._MOST", 100)
    line, engine = ends
    engine.sendall(frame(STDOUT, b"x" * 101))
    with pytest.raises(LabError, match="a line that is too long"):
        line.receive(SECONDS)


def test_engine_behind_ssh_is_refused(ends: Ends) -> None:
    line, _ = ends
    assert raw_socket(line._sock) is line._sock
    with pytest.raises(LabError, match="is a BytesIO, not a socket"):
        raw_socket(io.BytesIO())
    with pytest.raises(LabError, match="the engine must run here"):
        connect("ssh://elsewhere")


# Owners


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def owner_of(child: subprocess.Popen[bytes]) -> Owner:
    started = owners.start_of(child.pid)
    assert started
    return replace(Owner.me(), pid=child.pid, started=started)


def test_owner_is_dead_once_its_process_has_died(child: subprocess.Popen[bytes]) -> None:
    """Even as a zombie, before its parent has reaped it: it holds nothing."""
    owner = owner_of(child)
    assert not owner.is_dead()
    assert not Owner.me().is_dead()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert owner.is_dead()
    child.communicate()
    assert owner.is_dead()


@pytest.mark.parametrize(
    ("changes", "dead"),
    [
        ({}, False),
        ({"started": "1"}, True),  # the PID belongs to a later process
        ({"pid": 2**22 + 1}, True),
        ({"boot": "an earlier one"}, True),
        ({"boot": ""}, False),
        ({"host": "another"}, False),
        ({"host": "another", "boot": "b", "pid": 2**22 + 1}, False),
        ({"space": "1", "pid": 2**22 + 1}, False),  # its processes cannot be seen from here
    ],
)
def test_owner_that_cannot_be_seen_is_not_dead(changes: dict[str, Any], dead: bool) -> None:
    assert replace(Owner.me(), **changes).is_dead() is dead


def test_owner_is_read_back_from_its_labels() -> None:
    assert Owner.of(Owner.me().labels) == Owner.me()
    assert Owner.of({}) is None
    assert Owner.of({**Owner.me().labels, "org.ftps-lab.owner.pid": "-1"}) is None


def test_start_time_is_read_despite_parentheses_in_the_name(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as child:
        try:
            assert (
                owners.start_of(child.pid) == Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
            )
        finally:
            child.kill()


def test_process_existence_is_known_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: real(path) and not str(path).startswith("/proc"))
    monkeypatch.setattr(Path, "read_text", lambda *_: (_ for _ in ()).throw(FileNotFoundError()))
    assert owners.start_of(os.getpid()) == ""
    assert owners.start_of(2**22 + 1) is None


def test_only_things_of_dead_owners_are_left_behind() -> None:
    dead = replace(Owner.me(), started="1")
    things: list[dict[str, Any]] = [
        {"Id": "ours", "Labels": {LABEL_RUN: "a", **Owner.me().labels}},
        {"Id": "nobody's", "Labels": {LABEL_RUN: "b"}},
        {"Id": "bare", "Labels": None},
        {"Id": "dead", "Labels": {LABEL_RUN: "c", **dead.labels}},
    ]
    assert [each["Id"] for each in left_behind(things)] == ["dead"]


# Sentences


def api_error(status: int, text: str, kind: type[docker.errors.APIError] = docker.errors.APIError) -> Exception:
    response = requests.Response()
    response.status_code = status
    return kind("500 Server Error for http+docker://…", response=response, explanation=text)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (api_error(500, "write /x: no space left on device"), DISK_FULL),
        (api_error(404, "No such image: x", docker.errors.ImageNotFound), "its image was removed meanwhile"),
        (api_error(404, "No such container: x", docker.errors.NotFound), "it was removed during the run"),
        (api_error(500, "could not find an available, non-overlapping IPv4 address pool"), "docker network prune"),
        (api_error(400, "invalid volume"), "the Docker engine at here refused: invalid volume"),
        (requests.exceptions.ReadTimeout("Read timed out."), "does not answer"),
        (requests.exceptions.ConnectionError(ConnectionResetError(errno.ECONNRESET, "reset")), "closed the connection"),
        (docker.errors.DockerException("odd"), "cannot communicate with the Docker engine at here: odd"),
    ],
)
def test_engine_error_becomes_a_sentence_with_its_cause(error: Exception, words: str) -> None:
    message = sentence(error, "start it", "here")
    assert message.startswith("cannot start it: ")
    assert words in message


def test_lab_error_passes_unchanged() -> None:
    with pytest.raises(LabError, match=r"^mine$"), engine_errors("do it"):
        raise LabError("mine")


def test_missing_engine_is_a_reason(tmp_path: Path) -> None:
    reason = why_no_engine(f"unix://{tmp_path}/docker.sock")
    assert reason.startswith(
        f"cannot reach the Docker engine: there is no Docker engine at {tmp_path}/docker.sock: install"
    )


def test_stopped_engine_is_a_reason(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    assert "nothing listens at" in why_no_engine(f"unix://{tmp_path}/s")


def test_missing_permission_on_the_socket_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's error is faked, because root never gets it."""

    def connect_to(_sock: socket.socket, _address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", connect_to)
    reason = why_no_engine(f"unix://{tmp_path}/s")
    assert f"no permission for {tmp_path}/s: add yourself to the group docker" in reason
    assert "sudo" in reason


def test_invalid_engine_address_is_a_reason() -> None:
    assert "cannot reach the Docker engine" in why_no_engine("gopher://x")


def test_missing_sdk_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    assert "the Python package docker is missing" in why_no_engine()


def test_server_that_is_not_an_engine_is_a_reason(tmp_path: Path) -> None:
    """It does not speak HTTP."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def answer() -> None:
            for _ in range(2):  # the probe, then the request
                client, _address = server.accept()
                with client, contextlib.suppress(OSError):
                    client.sendall(b"220 ready\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert "cannot reach the Docker engine" in why_no_engine(f"unix://{tmp_path}/s")
        thread.join()


def test_engines_below_api_1_41_are_too_old() -> None:
    assert [too_old(version) for version in ("1.40", "1.9", "0", "", "1.41", "1.51", "2.0")] == [True] * 4 + [False] * 3


def test_network_still_in_use_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class InUse:
        def remove_network(self, _identity: str) -> None:
            raise api_error(403, "network has active endpoints")

    monkeypatch.setattr("ftps_lab.containers.removing._SECONDS", 0.1)
    with pytest.raises(LabError, match=r"has active endpoints.*docker network inspect abc"):
        remove_network(Engine(InUse(), "here", "20.10"), "abc")  # type: ignore[arg-type]


def test_engine_lost_while_clearing_leftovers_is_an_error() -> None:
    class Gone:
        def containers(self, **_more: object) -> None:
            raise requests.exceptions.ConnectionError(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))

    with pytest.raises(LabError, match="cannot look for leftovers of earlier runs: nothing listens at here"):
        clear_leftovers(Engine(Gone(), "here", "20.10"))  # type: ignore[arg-type]
