"""A process always ends: none of its children survives, its output cannot deadlock, and nothing is inherited."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import process
from ftps_harness.sandbox.process import OUTPUT_LIMIT, Finished

PYTHON = sys.executable
LINUX_ONLY = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finding processes needs /proc")


def python(code: str, cwd: Path, *, timeout: float = 20.0, env: dict[str, str] | None = None) -> Finished:
    return process.run([PYTHON, "-S", "-c", code], env=env or {}, cwd=cwd, timeout=timeout)


def run_until_it_prints(code: str, cwd: Path) -> tuple[Finished, float]:
    """Run a program that prints its number and then hangs; the time limit lets it print first."""
    for limit in (0.5, 2.0, 15.0):
        done = python(code, cwd, timeout=limit)
        if done.stdout:
            break
    return done, limit


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ends_within(pid: int, within: float = 20.0) -> bool:
    until = time.monotonic() + within
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_alive(pid)


def test_streams_and_exit_code_are_reported_separately(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('a\\r\\nb'); sys.stderr.write('c'); sys.exit(7)"
    done = python(code, tmp_path)
    assert (done.stdout, done.stderr, done.exit_code, done.signal, done.timed_out) == (b"a\r\nb", b"c", 7, None, False)


def test_death_by_signal_has_no_exit_code(tmp_path: Path) -> None:
    done = python("import os; os.kill(os.getpid(), 11)", tmp_path)
    assert (done.exit_code, done.signal, done.timed_out) == (None, signal.SIGSEGV, False)


def test_large_output_on_both_streams_does_not_deadlock(tmp_path: Path) -> None:
    code = "import os\nfor _ in range(64): os.write(1, b'o' * 65536); os.write(2, b'e' * 65536)"
    done = python(code, tmp_path)
    assert (len(done.stdout), len(done.stderr), done.truncated) == (64 * 65536, 64 * 65536, False)


def test_output_beyond_the_limit_is_read_and_dropped(tmp_path: Path) -> None:
    code = f"import os\nfor _ in range({OUTPUT_LIMIT // 65536 + 40}): os.write(1, b'o' * 65536)"
    done = python(code, tmp_path)
    assert (len(done.stdout), done.truncated, done.exit_code) == (OUTPUT_LIMIT, True, 0)


def test_timeout_kills_the_process_group(tmp_path: Path) -> None:
    code = "import os, time; pid = os.fork(); print(os.getpid(), flush=True); time.sleep(60)"
    done, limit = run_until_it_prints(code, tmp_path)
    assert (done.timed_out, done.exit_code, done.signal) == (True, None, None)
    assert limit - 0.1 < done.seconds < limit + 10
    assert done.stdout
    assert all(ends_within(int(pid)) for pid in done.stdout.split())


def test_timeout_kills_a_stopped_process_that_ignores_sigterm(tmp_path: Path) -> None:
    code = (
        "import os, signal; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); os.kill(os.getpid(), 19)"
    )
    done, _ = run_until_it_prints(code, tmp_path)
    assert done.timed_out
    assert ends_within(int(done.stdout))


@LINUX_ONLY
def test_timeout_kills_a_process_in_another_session(tmp_path: Path) -> None:
    """As of lftp in the background (src/lftp.cc, detach)."""
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); print(os.getpid(), flush=True)\n"
        "    null = os.open('/dev/null', os.O_RDWR); os.dup2(null, 1); os.dup2(null, 2); time.sleep(60)\n"
    )
    done, _ = run_until_it_prints(code, tmp_path)
    assert (done.timed_out, done.exit_code) == (True, 0)
    assert ends_within(int(done.stdout))


def test_run_waits_for_a_background_process(tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); time.sleep(0.3); print('late', flush=True); open('late', 'w').close()\n"
    )
    done = python(code, tmp_path)
    assert (done.timed_out, done.exit_code, done.stdout) == (False, 0, b"late\n")
    assert (tmp_path / "late").exists()


def test_process_without_descriptors_is_waited_for(tmp_path: Path) -> None:
    done = python("import os, time; os.closerange(0, 1000); time.sleep(0.3); open('late', 'w').close()", tmp_path)
    assert (done.timed_out, done.exit_code) == (False, 0)
    assert (tmp_path / "late").exists()


def test_process_has_no_terminal_and_empty_stdin(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "print(len(sys.stdin.read()), os.getpid() == os.getsid(0) == os.getpgid(0))\n"
        "try: os.open('/dev/tty', os.O_RDWR)\n"
        "except OSError: print('no terminal')\n"
    )
    assert python(code, tmp_path).stdout == b"0 True\nno terminal\n"


def test_environment_is_exactly_the_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTP_PROXY", "http://proxy.example:3128")
    done = python("import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))", tmp_path, env={"HOME": "/x"})
    assert done.stdout == b"['HOME']\n"


@pytest.mark.parametrize("command", ["/nonexistent/lftp", "/", "a\0b"])
def test_program_that_cannot_be_started_is_an_error(command: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="cannot start"):
        process.run([command], env={}, cwd=tmp_path, timeout=5)


def test_missing_working_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="cannot start"):
        python("", tmp_path / "gone")


def test_ctrl_c_kills_the_process(tmp_path: Path) -> None:

    def interrupt() -> None:
        until = time.monotonic() + 15
        while not (tmp_path / "pid").exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.5)  # until this process waits for the program, also on a busy machine
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = "import os, time; open('new', 'w').write(str(os.getpid())); os.rename('new', 'pid'); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        python(code, tmp_path)
    thread.join()
    assert ends_within(int((tmp_path / "pid").read_text()))


@LINUX_ONLY
def test_hundred_runs_leave_no_descriptor_and_no_child(tmp_path: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    python("", tmp_path)
    before = count()
    for _ in range(100):
        process.run(["/bin/true"], env={}, cwd=tmp_path, timeout=5)
    assert count() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_exit_is_noticed_without_pidfd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no pidfd."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    done = python("import os; os.closerange(3, 100); os.write(1, b'x')", tmp_path)
    assert (done.stdout, done.exit_code, done.timed_out) == (b"x", 0, False)
