"""Programs started through a shell that reads orders: the same results as `process.run`.

The shell's `/proc` must hold its own processes only, as in a container; a PID namespace on this machine is enough.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.matrix.shell import MAIN, Shell
from ftps_harness.sandbox import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


class LocalConnection:
    """A connection to a process on this machine."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self._held = b""

    def send(self, line: bytes) -> None:
        self.stdin.write(line)
        self.stdin.flush()

    def receive(self, timeout: float) -> bytes:
        while b"\n" not in self._held:
            if not select.select([self.stdout], [], [], timeout)[0]:
                raise TimeoutError
            data = os.read(self.stdout.fileno(), 4096)
            if not data:
                raise EOFError
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line + b"\n"

    def last_words(self) -> str:
        return "the last words"

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@functools.cache
def why_not() -> str:
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "unshare --pid is not permitted here (doctor: unshare)"


@pytest.fixture
def line() -> Iterator[LocalConnection]:
    if why_not():
        pytest.skip(why_not())
    with contextlib.closing(LocalConnection(*UNSHARE, *MAIN)) as line:
        line.send(b"echo ready\n")  # before it answers, `unshare` may not yet have arranged that the shell ends with it
        assert line.receive(60) == b"ready\n"
        yield line


@pytest.fixture
def shell(line: LocalConnection, tmp_path: Path) -> Shell:
    return Shell(line, tmp_path)


def test_program_gets_environment_and_folder_and_returns_streams(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "a folder, with 'quotes'"
    folder.mkdir()
    script = 'pwd; echo "$0|$1|$A|${HOME-none}"; echo err >&2; exit 7'
    argv = ["/bin/sh", "-c", script, "two\nlines", "it's; $(echo no)"]
    done = shell(argv, env={**ENVIRONMENT, "A": "b c"}, cwd=folder, timeout=10)
    assert done.exit_code == 7
    assert done.stdout.decode() == f"{folder}\ntwo\nlines|it's; $(echo no)|b c|none\n"
    assert done.stderr == b"err\n"
    assert (done.signal, done.timed_out, done.truncated) == (None, False, False)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_standard_input_is_empty(shell: Shell, tmp_path: Path) -> None:
    """Standard input is empty; otherwise the program would read the next order."""
    assert shell(["cat"], env=ENVIRONMENT, cwd=tmp_path, timeout=10).stdout == b""
    assert shell(["echo", "x"], env=ENVIRONMENT, cwd=tmp_path, timeout=10).stdout == b"x\n"


@pytest.mark.parametrize("number", [6, 9, 11, 15])
def test_death_by_a_signal_is_reported_as_that_signal(shell: Shell, tmp_path: Path, number: int) -> None:
    done = shell(["/bin/sh", "-c", f"kill -{number} $$"], env=ENVIRONMENT, cwd=tmp_path, timeout=10)
    assert (done.exit_code, done.signal, done.timed_out) == (None, number, False)


def test_program_over_its_time_limit_is_killed(shell: Shell, tmp_path: Path) -> None:
    done = shell(["sleep", "60"], env=ENVIRONMENT, cwd=tmp_path, timeout=0.3)
    assert (done.exit_code, done.signal, done.timed_out) == (None, None, True)
    assert done.seconds < 10
    assert shell(["true"], env=ENVIRONMENT, cwd=tmp_path, timeout=10).exit_code == 0


def test_background_process_is_waited_for(shell: Shell, tmp_path: Path) -> None:
    """As with lftp, which moves to the background with setsid: its remaining work belongs to the run."""
    script = "setsid sh -c 'sleep 0.4; echo late > done' >/dev/null 2>&1 &"
    done = shell(["/bin/sh", "-c", script], env=ENVIRONMENT, cwd=tmp_path, timeout=20)
    assert (done.exit_code, done.timed_out) == (0, False)
    assert (tmp_path / "done").read_text() == "late\n"


def test_background_process_over_the_time_limit_is_killed(shell: Shell, tmp_path: Path) -> None:
    script = "setsid sh -c 'sleep 60; echo late > done' >/dev/null 2>&1 &"
    done = shell(["/bin/sh", "-c", script], env=ENVIRONMENT, cwd=tmp_path, timeout=0.5)
    assert (done.exit_code, done.timed_out) == (None, True)
    left = shell(["/bin/sh", "-c", "echo /proc/[0-9]*"], env=ENVIRONMENT, cwd=tmp_path, timeout=10).stdout
    assert len(left.split()) == 3, left  # process 1, `timeout`, and the shell that looks
    assert not (tmp_path / "done").exists()


@pytest.mark.long
def test_hung_program_with_a_hung_background_process_times_out(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both reach the time limit, one after the other; the next run is not mistaken for this one."""
    monkeypatch.setattr("ftps_harness.matrix.shell._GRACE_SECONDS", 0.5)
    monkeypatch.setattr("ftps_harness.matrix.shell._DYING_SECONDS", 0.5)
    script = "setsid sleep 60 & exec sleep 60"
    done = shell(["/bin/sh", "-c", script], env=ENVIRONMENT, cwd=tmp_path, timeout=1.5)
    assert (done.exit_code, done.timed_out) == (None, True)
    assert shell(["echo", "next"], env=ENVIRONMENT, cwd=tmp_path, timeout=10).stdout == b"next\n"


def test_output_is_truncated_at_the_limit(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "OUTPUT_LIMIT", 1000)
    done = shell(["head", "-c", "5000", "/dev/zero"], env=ENVIRONMENT, cwd=tmp_path, timeout=10)
    assert (len(done.stdout), done.truncated) == (1000, True)


def test_program_that_cannot_start_exits_127(shell: Shell, tmp_path: Path) -> None:
    assert shell(["/nonexistent/lftp"], env=ENVIRONMENT, cwd=tmp_path, timeout=10).exit_code == 127
    with pytest.raises(HarnessError, match="its start folder does not exist"):
        shell(["true"], env=ENVIRONMENT, cwd=tmp_path / "nowhere", timeout=10)


def test_ended_container_is_an_error(line: LocalConnection, tmp_path: Path) -> None:
    line.process.kill()
    assert line.stdout.read() == b""  # its shell has ended too; `unshare` ends it a moment later
    with pytest.raises((HarnessError, BrokenPipeError)):
        Shell(line, tmp_path)(["true"], env=ENVIRONMENT, cwd=tmp_path, timeout=10)


def test_container_that_ends_during_a_run_is_an_error_with_its_output(line: LocalConnection, tmp_path: Path) -> None:
    threading.Timer(0.4, line.process.kill).start()
    with pytest.raises(HarnessError, match="the client's container has ended; its last output:\nthe last words"):
        Shell(line, tmp_path)(["sleep", "30"], env=ENVIRONMENT, cwd=tmp_path, timeout=30)


def test_answer_to_another_order_is_an_error(tmp_path: Path) -> None:
    liar = LocalConnection(sys.executable, "-c", "input(); print('99 0')")
    with contextlib.closing(liar) as line, pytest.raises(HarnessError, match="answered b'99 0"):
        Shell(line, tmp_path)(["true"], env=ENVIRONMENT, cwd=tmp_path, timeout=10)


@pytest.mark.long
def test_container_that_never_answers_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftps_harness.matrix.shell._GRACE_SECONDS", 0.3)
    mute = LocalConnection("sleep", "60")
    with contextlib.closing(mute) as line, pytest.raises(HarnessError, match="did not report the end of true"):
        Shell(line, tmp_path)(["true"], env=ENVIRONMENT, cwd=tmp_path, timeout=0.1)


def test_ctrl_c_ends_the_wait(line: LocalConnection, tmp_path: Path) -> None:
    shell, interruption = Shell(line, tmp_path), process.Interruption()
    token = process.INTERRUPTION.set(interruption)
    threading.Timer(0.3, interruption.ask).start()
    began = time.monotonic()
    try:
        with pytest.raises(process.Interrupted):
            shell(["sleep", "30"], env=ENVIRONMENT, cwd=tmp_path, timeout=30)
    finally:
        process.INTERRUPTION.reset(token)
        interruption.close()
    assert time.monotonic() - began < 15
