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


class AgentProcess:
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
def process() -> Iterator[AgentProcess]:
    process = AgentProcess()
    yield process
    process.kill()


def serve_order(root: Path, *, kind: str = "lab", spec: ServerSpec | None = None, number: int = 1) -> bytes:
    sent = orders.sent_spec(spec or ServerSpec(protocol="plain"))
    start = orders.Start(kind=kind, root=str(root), password="pw", host="127.0.0.1", port=0)
    return orders.line(orders.Call(number=number, method="serve", start=start, spec=sent))


def call_order(number: int, method: orders.Method = "ping", server: int = 0) -> bytes:
    return orders.line(orders.Call(number=number, method=method, server=server))


def started_server(process: AgentProcess, root: Path) -> orders.Serving:
    return orders.value_of(process.ask(serve_order(root)), orders.Serving)


def port_is_closed(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_ping_returns_library_versions(process: AgentProcess) -> None:
    answer = process.ask(call_order(7))
    assert answer.number == 7
    versions = orders.value_of(answer, dict[str, str])
    assert versions["OpenSSL"].startswith("OpenSSL ")
    assert versions["pyftpdlib"]


def test_end_of_stdin_stops_the_server_and_exits_0(process: AgentProcess, tmp_path: Path) -> None:
    serving = started_server(process, tmp_path)
    assert not port_is_closed(serving.port)
    assert process.end() == (0, b"", b"")
    assert port_is_closed(serving.port)


def test_sigterm_stops_the_server_and_exits_0(process: AgentProcess, tmp_path: Path) -> None:
    serving = started_server(process, tmp_path)
    process.child.send_signal(signal.SIGTERM)
    assert process.child.wait(SECONDS) == 0
    assert port_is_closed(serving.port)


def test_sigterm_delivered_to_another_thread_ends_the_agent(process: AgentProcess, tmp_path: Path) -> None:
    """Python's handler runs in the main thread, which would keep sleeping in its read of stdin."""
    started_server(process, tmp_path)
    others = [int(task.name) for task in Path(f"/proc/{process.child.pid}/task").iterdir()]
    others.remove(process.child.pid)
    assert ctypes.CDLL(None).tgkill(process.child.pid, others[0], signal.SIGTERM) == 0
    assert process.child.wait(SECONDS) == 0


def test_sigint_is_ignored(process: AgentProcess) -> None:
    process.ask(call_order(1))
    process.child.send_signal(signal.SIGINT)
    time.sleep(0.05)
    assert not process.ask(call_order(2)).failure
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
def test_malformed_order_is_answered_and_the_next_one_executed(process: AgentProcess, text: bytes) -> None:
    answer = process.ask(text)
    assert "invalid call for this version" in answer.failure
    assert (answer.number, answer.bug) == (0, False)
    assert not process.ask(call_order(2)).failure


def test_all_output_goes_to_stderr() -> None:
    """Of child processes, of print and of the descriptor itself; nothing else reads stdin."""
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
    process = AgentProcess(code=code)
    assert not process.ask(call_order(1)).failure
    assert process.end() == (0, b"", b"printed\nwritten\nchild\n")


def test_agent_runs_one_server_at_a_time(process: AgentProcess, tmp_path: Path) -> None:
    first = started_server(process, tmp_path)
    again = process.ask(serve_order(tmp_path, number=2))
    assert "a server is already running here" in again.failure
    assert not process.ask(call_order(3, "stop", first.server)).failure
    assert port_is_closed(first.port)
    second = started_server(process, tmp_path)
    assert second.server != first.server
    stale = process.ask(call_order(4, "testimony", first.server))
    assert "this server was stopped" in stale.failure


def test_lab_error_is_answered_with_its_message(process: AgentProcess, tmp_path: Path) -> None:
    """Here: a server that needs a certificate and has none."""
    answer = process.ask(serve_order(tmp_path, spec=ServerSpec()))
    assert "needs a certificate" in answer.failure
    assert not answer.bug


def test_unexpected_exception_is_a_bug_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, str]:
        raise ZeroDivisionError("a name that is not UTF-8: \udc80")

    monkeypatch.setattr(agent_module, "versions", broken)
    answer = orders.read_result(Agent().answer(call_order(3)))
    assert (answer.number, answer.bug) == (3, True)
    assert "ZeroDivisionError: a name that is not UTF-8: \\udc80" in answer.failure
    assert "in broken" in answer.failure


def test_own_address_is_never_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails if the host name has no address, or only a loopback one."""
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


def test_empty_host_means_the_own_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(agent_module, "own_address", lambda: "127.0.0.1")
    agent = Agent()
    order = orders.read_call(serve_order(tmp_path))
    assert order.start is not None
    order = msgspec.structs.replace(order, start=msgspec.structs.replace(order.start, host=""))
    answer = orders.read_result(agent.answer(orders.line(order)))
    agent.close()
    assert orders.value_of(answer, orders.Serving).host == "127.0.0.1"


@pytest.mark.parametrize("missing", ["start", "spec"])
def test_incomplete_serve_order_is_refused(tmp_path: Path, missing: str) -> None:
    order = msgspec.structs.replace(orders.read_call(serve_order(tmp_path)), **{missing: None})
    answer = orders.read_result(Agent().answer(orders.line(order)))
    assert "is missing" in answer.failure
    assert not answer.bug


def test_only_pid_1_reaps_the_children_of_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any other process the children may belong to other code."""
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


def test_failed_stop_at_exit_is_reported_on_stderr(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = Agent()
    agent.answer(serve_order(tmp_path))
    stop = FtpsServer.stop

    def stuck(server: FtpsServer) -> None:
        stop(server)
        raise LabError("it does not end")

    monkeypatch.setattr(FtpsServer, "stop", stuck)
    agent_module._last_act(agent)
    assert "it does not end" in capsys.readouterr().err


def test_unknown_kind_of_server_names_the_known_ones(tmp_path: Path) -> None:
    answer = orders.read_result(Agent().answer(serve_order(tmp_path, kind="wu-ftpd")))
    assert "unknown kind of server 'wu-ftpd': use one of lab, " in answer.failure
