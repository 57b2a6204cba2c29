"""The agent as a process: orders in, answers out, nothing else on stdout, and nothing left running at its end."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec
from ftps_lab.remote import agent as agent_module
from ftps_lab.remote import orders
from ftps_lab.remote.agent import Agent, own_address
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 20.0


class Process:
    """`python -m ftps_lab.remote.agent`, driven line by line."""

    def __init__(self, *, code: str = "") -> None:
        what = ["-c", code] if code else ["-m", "ftps_lab.remote.agent"]
        pipe = subprocess.PIPE
        self.child = subprocess.Popen([sys.executable, *what], stdin=pipe, stdout=pipe, stderr=pipe)

    def ask(self, text: bytes) -> orders.Result:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(text)
        self.child.stdin.flush()
        return orders.read_result(self.child.stdout.readline())

    def end(self) -> tuple[int, bytes, bytes]:
        """Close stdin; return the exit code and the rest of stdout and stderr."""
        out, err = self.child.communicate(timeout=SECONDS)
        return self.child.returncode, out, err

    def kill(self) -> None:
        self.child.kill()
        self.child.communicate()


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()
    yield process
    process.kill()


def serve(root: Path, *, kind: str = "lab", spec: ServerSpec | None = None, number: int = 1) -> bytes:
    sent = orders.sent_spec(spec or ServerSpec(protocol="plain"))
    start = orders.Start(kind=kind, root=str(root), password="pw", host="127.0.0.1", port=0)
    return orders.line(orders.Call(number=number, method="serve", start=start, spec=sent))


def call(number: int, method: orders.Method = "ping", server: int = 0) -> bytes:
    return orders.line(orders.Call(number=number, method=method, server=server))


def started(process: Process, root: Path) -> orders.Serving:
    return orders.value_of(process.ask(serve(root)), orders.Serving)


def refuses(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_ping_says_which_versions_serve(process: Process) -> None:
    answer = process.ask(call(7))
    assert answer.number == 7
    versions = orders.value_of(answer, dict[str, str])
    assert versions["OpenSSL"].startswith("OpenSSL ")
    assert versions["pyftpdlib"]


def test_the_end_of_stdin_stops_the_server_and_exits_0(process: Process, tmp_path: Path) -> None:
    serving = started(process, tmp_path)
    assert not refuses(serving.port)
    assert process.end() == (0, b"", b"")
    assert refuses(serving.port)


def test_sigterm_stops_the_server_and_exits_0(process: Process, tmp_path: Path) -> None:
    serving = started(process, tmp_path)
    process.child.send_signal(signal.SIGTERM)
    assert process.child.wait(SECONDS) == 0
    assert refuses(serving.port)


def test_sigterm_that_the_kernel_gives_to_another_thread_ends_it_too(process: Process, tmp_path: Path) -> None:
    """Python's handler runs in the main thread, which would keep sleeping in its read of stdin."""
    started(process, tmp_path)
    others = [int(task.name) for task in Path(f"/proc/{process.child.pid}/task").iterdir()]
    others.remove(process.child.pid)
    assert ctypes.CDLL(None).tgkill(process.child.pid, others[0], signal.SIGTERM) == 0
    assert process.child.wait(SECONDS) == 0


def test_ctrl_c_is_the_owners_matter(process: Process) -> None:
    process.ask(call(1))
    process.child.send_signal(signal.SIGINT)
    time.sleep(0.05)
    assert not process.ask(call(2)).failure
    assert process.end() == (0, b"", b"")


@pytest.mark.parametrize(
    "text",
    [
        b"\n",
        b"no json\n",
        b"[]\n",
        b'{"method":"ping"}\n',
        b'{"method":"dance","number":1}\n',
        b'{"method":"ping","number":1,"more":2}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_malformed_line_is_answered_and_the_next_one_obeyed(process: Process, text: bytes) -> None:
    answer = process.ask(text)
    assert "no order of this version" in answer.failure
    assert (answer.number, answer.bug) == (0, False)
    assert not process.ask(call(2)).failure


def test_what_prints_never_reaches_stdout() -> None:
    """Output of children, of print and to the descriptor itself goes to stderr; nothing else reads stdin."""
    code = (
        "import os, subprocess, ftps_lab.remote.agent as a\n"
        "def noisy():\n"
        "    print('printed', flush=True)\n"
        "    os.write(1, b'written\\n')\n"
        "    subprocess.run(['sh', '-c', 'echo child; cat'], check=True)\n"
        "    return {}\n"
        "a.versions = noisy\n"
        "raise SystemExit(a.main())\n"
    )
    process = Process(code=code)
    assert not process.ask(call(1)).failure
    assert process.end() == (0, b"", b"printed\nwritten\nchild\n")


def test_one_server_after_the_other_and_never_two(process: Process, tmp_path: Path) -> None:
    first = started(process, tmp_path)
    again = process.ask(serve(tmp_path, number=2))
    assert "a server runs here already" in again.failure
    assert not process.ask(call(3, "stop", first.server)).failure
    assert refuses(first.port)
    second = started(process, tmp_path)
    assert second.server != first.server
    stale = process.ask(call(4, "testimony", first.server))
    assert "this server was stopped" in stale.failure


def test_a_lab_error_comes_back_as_its_sentence(process: Process, tmp_path: Path) -> None:
    """The error is a server that needs a certificate and has none."""
    answer = process.ask(serve(tmp_path, spec=ServerSpec()))
    assert "needs a certificate" in answer.failure
    assert not answer.bug


def test_what_nobody_foresaw_is_called_a_bug_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, str]:
        raise ZeroDivisionError("a name that is no UTF-8: \udc80")

    monkeypatch.setattr(agent_module, "versions", broken)
    answer = orders.read_result(Agent().answer(call(3)))
    assert (answer.number, answer.bug) == (3, True)
    assert "ZeroDivisionError: a name that is no UTF-8: \\udc80" in answer.failure
    assert "in broken" in answer.failure


def test_own_address_is_never_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostbyname", lambda _name: "172.20.0.2")
    assert own_address() == "172.20.0.2"
    monkeypatch.setattr(socket, "gethostbyname", lambda _name: "127.0.1.1")
    with pytest.raises(LabError, match=r"resolves only to loopback 127\.0\.1\.1; give an address"):
        own_address()

    def nameless(_name: str) -> str:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", nameless)
    with pytest.raises(LabError, match="connect the container to a network"):
        own_address()


def test_an_empty_host_is_replaced_by_the_own_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(agent_module, "own_address", lambda: "127.0.0.1")
    agent = Agent()
    order = orders.read_call(serve(tmp_path))
    assert order.start is not None
    order = msgspec.structs.replace(order, start=msgspec.structs.replace(order.start, host=""))
    answer = orders.read_result(agent.answer(orders.line(order)))
    agent.close()
    assert orders.value_of(answer, orders.Serving).host == "127.0.0.1"


@pytest.mark.parametrize("missing", ["start", "spec"])
def test_a_call_that_lacks_something_starts_nothing(tmp_path: Path, missing: str) -> None:
    order = msgspec.structs.replace(orders.read_call(serve(tmp_path)), **{missing: None})
    answer = orders.read_result(Agent().answer(orders.line(order)))
    assert "is missing" in answer.failure
    assert not answer.bug


def test_the_dead_children_of_daemons_are_buried_by_the_first_process_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any other process the children may belong to someone else."""
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    agent_module._bury_children()
    assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    buried: list[int] = []

    def waitpid(_pid: int, _options: int) -> tuple[int, int]:
        buried.append(len(buried))
        return (0, 0) if len(buried) == 3 else (99, 0)

    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(os, "waitpid", waitpid)
    agent_module._bury_children()
    assert len(buried) == 3
    monkeypatch.undo()
    child.wait()


def test_an_end_while_a_server_cannot_be_stopped_is_said_on_stderr(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = Agent()
    agent.answer(serve(tmp_path))
    stop = FtpsServer.stop

    def stuck(server: FtpsServer) -> None:
        stop(server)
        raise LabError("it does not end")

    monkeypatch.setattr(FtpsServer, "stop", stuck)
    agent_module._last_act(agent)
    assert "it does not end" in capsys.readouterr().err


def test_an_unknown_kind_names_those_that_are_known(tmp_path: Path) -> None:
    answer = orders.read_result(Agent().answer(serve(tmp_path, kind="wu-ftpd")))
    assert "there is no server of kind 'wu-ftpd': use one of lab, " in answer.failure
