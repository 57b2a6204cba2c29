"""A program is killed, or its disk is full, at exactly the chosen file change."""

from __future__ import annotations

import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox.changes import CALLS_KEPT, HELD, RELEASE, Call, Changes, Interrupt
from ftps_harness.sandbox.home import Home
from ftps_harness.sandbox.sandbox import Sandbox
from ftps_harness.sandbox.system_calls import table
from ftps_harness.sandbox.view import INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.sandbox import process

pytestmark = pytest.mark.usefixtures("sealed_here")

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": INSIDE, "PYTHONDONTWRITEBYTECODE": "1"}
FOLDER = "a"
OLD = "old\n"

SH = ["/bin/sh", "-c"]
BASH = ["/bin/bash", "-c"]
PYTHON = ["/usr/bin/python3", "-c"]

IN_PLACE = "f = open('rc', 'w'); f.write('ne'); f.flush(); f.write('w\\n'); f.flush()"
RENAMED = (
    "import os; f = open('rc.new', 'w'); f.write('new\\n'); f.flush(); os.fsync(f.fileno()); f.close()\n"
    "os.rename('rc.new', 'rc')"
)
APPENDED = "echo said; echo 'set a 1' >>rc; echo said >&2; echo 'set b 2' >>rc; echo x >/dev/null; echo x >/tmp/other"
FOLDERS = (
    "import os; os.mkdir('d'); os.rename('rc', 'd/rc'); os.symlink('d/rc', 'rc'); os.unlink('rc'); os.unlink('d/rc')\n"
    "os.rmdir('d')"
)
CLEANS_UP = """
import os
try:
    with open('rc.new', 'w') as f:
        f.write('new\\n')
    os.rename('rc.new', 'rc')
except OSError as error:
    os.path.exists('rc.new') and os.unlink('rc.new')
    raise SystemExit(error.strerror)
"""

FOREIGN = {
    "i386": """
m = mmap.mmap(-1, 4096, prot=7)
m.write(bytes.fromhex('b814000000 cd80 c3'))  # getpid by int 0x80
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()
""",
    "x32": "ctypes.CDLL(None).syscall(0x40000000 | 39)",
}
UNUSUAL_PROGRAMS = {
    "addresses": """
import ctypes
libc = ctypes.CDLL(None)
for address in map(ctypes.c_void_p, (0, 1, 2**47, 2**63, 2**64 - 1)):
    libc.open(address, 577), libc.rename(address, b'x'), libc.openat(2**31 - 1, b'x', 577)
    libc.syscall(437, -100, b'rc', address, 24)
""",
    "a path that another thread changes": """
import ctypes, threading
libc, path, stop = ctypes.CDLL(None), ctypes.create_string_buffer(4096), []
def race():
    while not stop:
        path.value = b'/tmp/x'
        path.raw = b'/' * 4096
        path.value = b'a/../' * 700
thread = threading.Thread(target=race)
thread.start()
for _ in range(300):
    libc.open(path, 577, 384)
stop.append(1)
thread.join()
""",
    "killed while it is asked about": """
import os, time
for _ in range(30):
    child = os.fork()
    while child == 0:
        os.close(os.open('/tmp/x', 577))
    time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
""",
    "signals": """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(0, 0.001, 0.001)
for _ in range(1000):
    os.write(os.open('/tmp/x', 577), b'x')
signal.setitimer(0, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
""",
    "links in a circle": """
import os
os.symlink('b', '/tmp/a')
os.symlink('a', '/tmp/b')
try:
    open('/tmp/a', 'w')
except OSError:
    pass
""",
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def program_folder(box: Sandbox) -> Iterator[Path]:
    """The program's folder with an rc."""
    folder = box.folder / FOLDER
    folder.mkdir()
    (folder / "rc").write_text(OLD)
    yield folder
    shutil.rmtree(folder)


def run(box: Sandbox, argv: list[str], interrupt: Interrupt | None, timeout: float = 20.0) -> process.Finished:
    return box.run(argv, env=ENVIRONMENT, cwd=Path(INSIDE), timeout=timeout, folder=FOLDER, interrupt=interrupt)


def changes(done: process.Finished) -> Changes:
    assert done.changes is not None
    return done.changes


def call_names(done: process.Finished) -> list[str]:
    """Each change as ``write rc``: all variants of a call get one name."""
    found = changes(done)
    assert found.counted == len(found.calls)
    return [f"{re.sub('at2?$', '', each.name)} {each.path.removeprefix(INSIDE + '/')}" for each in found.calls]


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


class TestCounting:
    @pytest.mark.parametrize(
        ("argv", "expected"),
        [
            ([*PYTHON, IN_PLACE], ["open rc", "write rc", "write rc"]),
            ([*PYTHON, RENAMED], ["open rc.new", "write rc.new", "rename rc"]),
            ([*SH, APPENDED], ["open rc", "write rc"] * 2),
            ([*BASH, APPENDED], ["open rc", "write rc"] * 2),
            ([*PYTHON, FOLDERS], ["mkdir d", "rename d/rc", "symlink rc", "unlink rc", "unlink d/rc", "rmdir d"]),
        ],
        ids=["in place", "renamed", "sh", "bash", "folders"],
    )
    def test_changes_are_counted_in_their_order(
        self, box: Sandbox, program_folder: Path, argv: list[str], expected: list[str]
    ) -> None:
        for _ in range(2):
            (program_folder / "rc").write_text(OLD)
            done = run(box, argv, Interrupt())
            assert (done.exit_code, changes(done).interrupted) == (0, None)
            assert call_names(done) == expected

    def test_changes_of_a_static_program_are_counted(self, box: Sandbox, program_folder: Path) -> None:
        """glibc's ldconfig: a library cannot be loaded into it."""
        assert b"ld-linux" not in Path("/sbin/ldconfig").read_bytes()[:4096]
        done = run(box, [*SH, "exec /sbin/ldconfig -p >list"], Interrupt(2))
        assert call_names(done) == ["open list", "write list"]
        assert files(program_folder)["list"] == ""

    def test_program_that_changes_nothing_is_not_interrupted(self, box: Sandbox, program_folder: Path) -> None:
        """Reads, output, pipes, devices, other folders, and files opened only for reading."""
        script = (
            "cat rc | cat; echo said; echo said >&2; ls -la >/dev/stdout; echo x >/dev/null; echo x >/tmp/x; cat rc"
        )
        for interrupt in (Interrupt(1), Interrupt(1, "full-disk")):
            done = run(box, [*SH, script], interrupt)
            assert (done.exit_code, changes(done)) == (0, Changes((), 0))
            assert done.stdout.startswith(b"old\nsaid\n")

    def test_nothing_is_counted_without_an_interrupt(self, box: Sandbox, program_folder: Path) -> None:
        assert run(box, [*SH, APPENDED], None).changes is None

    @pytest.mark.parametrize(
        "script",
        [
            f"cd /; echo x >{INSIDE}/rc",
            "cd /usr; echo x >../tmp/./ftps-lab//rc",
            "ln -s $HOME/rc /tmp/link; echo x >/tmp/link",
            "cd /proc/self/cwd; echo x >rc",
            "exec 3>>rc; cd /; echo x >/proc/self/fd/3; echo x >/dev/fd/3",
            "exec >rc; echo x",
        ],
        ids=["absolute", "dots", "link", "proc", "descriptor", "stdout"],
    )
    def test_changes_are_counted_under_any_path_of_a_file(
        self, box: Sandbox, program_folder: Path, script: str
    ) -> None:
        done = run(box, [*SH, script], Interrupt())
        assert done.exit_code == 0
        assert call_names(done)[-1] == "write rc"

    def test_changes_in_a_mounted_folder_are_counted(self, box: Sandbox, program_folder: Path) -> None:
        (program_folder / "home").mkdir()
        done = box.run(
            [*SH, "echo x >/home/me/rc"],
            env=ENVIRONMENT,
            cwd=Path(INSIDE),
            timeout=20,
            folder=FOLDER,
            shown={"/home/me": "home"},
            interrupt=Interrupt(2),
        )
        assert [each.path for each in changes(done).calls] == ["/home/me/rc", "/home/me/rc"]
        assert (program_folder / "home/rc").read_text() == ""

    @pytest.mark.parametrize(
        ("script", "call"),
        [
            ("import os; os.pwrite(os.open('rc', os.O_WRONLY), b'x', 0)", "pwrite64"),
            ("import os; os.writev(os.open('rc', os.O_WRONLY), [b'x', b'y'])", "writev"),
            ("import os; os.ftruncate(os.open('rc', os.O_WRONLY), 0)", "ftruncate"),
            ("import os; os.posix_fallocate(os.open('rc', os.O_WRONLY), 0, 9)", "fallocate"),
            ("import os; os.sendfile(os.open('rc', os.O_WRONLY), os.open('/etc/passwd', 0), 0, 9)", "sendfile"),
            ("import os; os.copy_file_range(os.open('rc', 0), os.open('b', os.O_WRONLY | 64), 3)", "copy_file_range"),
            ("import os; r, w = os.pipe(); os.write(w, b'x'); os.splice(r, os.open('rc', 1), 1)", "splice"),
            ("import mmap, os; mmap.mmap(os.open('rc', os.O_RDWR), 4)", "mmap"),
            ("import os; os.chmod('rc', 0o644)", "chmod"),
            ("import os; os.chown('rc', os.getuid(), -1)", "chown"),
            ("import os; os.link('rc', 'b')", "link"),
            ("import os; os.mkfifo('b')", "mknod"),
        ],
        ids=lambda value: value if " " not in value else "",
    )
    def test_each_kind_of_change_is_counted(self, box: Sandbox, program_folder: Path, script: str, call: str) -> None:
        done = run(box, [*PYTHON, script], Interrupt())
        assert done.exit_code == 0, done.stderr
        assert call in {each.name.removesuffix("at") for each in changes(done).calls}

    @pytest.mark.parametrize("number", [425, 206 if platform.machine() == "x86_64" else 0], ids=["io_uring", "aio"])
    def test_io_uring_and_aio_are_unavailable(self, box: Sandbox, program_folder: Path, number: int) -> None:
        script = (
            "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
            f"print(libc.syscall({number}, 1, 0), ctypes.get_errno())"
        )
        assert run(box, [*PYTHON, script], Interrupt()).stdout == b"-1 38\n"

    @pytest.mark.skipif(platform.machine() != "x86_64", reason="the machine code is of x86")
    @pytest.mark.parametrize("call", FOREIGN.values(), ids=FOREIGN.keys())
    def test_system_calls_of_another_abi_are_killed(self, box: Sandbox, program_folder: Path, call: str) -> None:
        script = "import ctypes, mmap\n" + call
        assert run(box, [*PYTHON, script], None).signal != signal.SIGSYS
        assert run(box, [*PYTHON, script], Interrupt()).signal == signal.SIGSYS

    def test_all_changes_are_counted_but_only_some_are_kept(self, box: Sandbox, program_folder: Path) -> None:
        script = "import os; d = os.open('rc', 1)\n"
        script += "for _ in range(4998): os.write(d, b'x')\n"
        script += "os.chmod('rc', 384); os.mkdir('d')"
        done = run(box, [*PYTHON, script], Interrupt(4000))
        assert (changes(done).counted, len(changes(done).calls)) == (4000, CALLS_KEPT + 1)
        assert changes(done).interrupted == changes(done).calls[-1]
        assert len((program_folder / "rc").read_text()) == 3998  # after the opening
        done = run(box, [*PYTHON, script], Interrupt(5000, "full-disk"))
        assert (changes(done).counted, len(changes(done).calls)) == (5001, CALLS_KEPT + 1)
        assert changes(done).interrupted == Call("mkdir", f"{INSIDE}/d", "refused")  # a chmod needs no space


class TestKill:
    def test_kill_of_an_in_place_write_leaves_each_exact_state(self, box: Sandbox, program_folder: Path) -> None:
        """The program stops before the chosen call, never after it."""
        states = []
        for at in range(1, 5):
            (program_folder / "rc").write_text(OLD)
            done = run(box, [*PYTHON, IN_PLACE], Interrupt(at))
            states.append((files(program_folder), done.signal, changes(done).interrupted is not None))
        assert states == [
            ({"rc": OLD}, signal.SIGKILL, True),
            ({"rc": ""}, signal.SIGKILL, True),
            ({"rc": "ne"}, signal.SIGKILL, True),
            ({"rc": "new\n"}, None, False),
        ]

    def test_kill_of_an_atomic_write_leaves_old_or_new_file(self, box: Sandbox, program_folder: Path) -> None:
        states = []
        for at in range(1, 5):
            (program_folder / "rc").write_text(OLD)
            (program_folder / "rc.new").unlink(missing_ok=True)
            run(box, [*PYTHON, RENAMED], Interrupt(at))
            states.append(files(program_folder))
        assert states == [
            {"rc": OLD},
            {"rc": OLD, "rc.new": ""},
            {"rc": OLD, "rc.new": "new\n"},
            {"rc": "new\n"},
        ]

    @pytest.mark.parametrize("shell", [SH, BASH], ids=["sh", "bash"])
    def test_kill_ends_all_processes_of_a_script(self, box: Sandbox, program_folder: Path, shell: list[str]) -> None:
        """A child that makes the change, a sleeper in another session, and the script itself."""
        script = (
            "setsid sleep 3600 >/dev/null 2>&1 & sh -c 'echo one >one; echo two >two'; echo three >three; echo said"
        )
        done = run(box, [*shell, script], Interrupt(3))
        assert (done.signal, done.timed_out, done.stdout) == (signal.SIGKILL, False, b"")
        assert done.seconds < 10
        assert files(program_folder) == {"rc": OLD, "one": "one\n"}
        interrupted = changes(done).interrupted
        assert interrupted is not None
        assert (interrupted.path, interrupted.effect) == (f"{INSIDE}/two", "killed")

    def test_changes_of_a_background_job_are_counted(self, box: Sandbox, program_folder: Path) -> None:
        script = "setsid sh -c 'sleep 0.2; echo x >>rc; echo y >>rc' >/dev/null 2>&1 & exit 3"
        done = run(box, [*SH, script], Interrupt(4))
        assert done.exit_code == 3
        assert changes(done).counted == 4
        assert (program_folder / "rc").read_text() == "old\nx\n"

    def test_changes_of_threads_are_counted(self, box: Sandbox, program_folder: Path) -> None:
        script = (
            "import threading\nfor n in range(4):\n t = threading.Thread(target=lambda: open('rc', 'w').write('x'))\n"
        )
        done = run(box, [*PYTHON, script + " t.start(); t.join()"], Interrupt())
        assert call_names(done) == ["open rc", "write rc"] * 4


class TestFullDisk:
    def test_in_place_write_fails_on_a_full_disk(self, box: Sandbox, program_folder: Path) -> None:
        """Truncating the file needs no space, as on a real full disk; data written afterwards is lost."""
        states = []
        for at in range(1, 5):
            (program_folder / "rc").write_text(OLD)
            done = run(box, [*PYTHON, IN_PLACE], Interrupt(at, "full-disk"))
            states.append((files(program_folder)["rc"], done.exit_code != 0 or b"No space left" in done.stderr))
        assert states == [("", True), ("", True), ("ne", True), ("new\n", False)]

    def test_program_can_clean_up_on_a_full_disk(self, box: Sandbox, program_folder: Path) -> None:
        effects = []
        for at in range(1, 5):
            (program_folder / "rc").write_text(OLD)
            done = run(box, [*PYTHON, CLEANS_UP], Interrupt(at, "full-disk"))
            effects.append(" ".join(each.effect for each in changes(done).calls))
            expected = (0, {"rc": "new\n"}) if at == 4 else (1, {"rc": OLD})
            assert (done.exit_code, files(program_folder)) == expected
            assert (done.stderr == b"No space left on device\n") == (at < 4)
        assert effects == ["refused", "made refused refused made", "made made refused made", "made made made"]

    @pytest.mark.parametrize("shell", [SH, BASH], ids=["sh", "bash"])
    def test_disk_stays_full_for_child_processes(self, box: Sandbox, program_folder: Path, shell: list[str]) -> None:
        script = "echo a >>rc; mkdir -p d; sh -c 'echo b >>rc'; cp /etc/passwd p; mkdir -p .; echo said"
        done = run(box, [*shell, script], Interrupt(3, "full-disk"))
        assert files(program_folder) == {"rc": "old\na\n"}
        assert (done.exit_code, done.stdout) == (0, b"said\n")
        assert done.stderr.count(b"No space left on device") == 2
        assert b"I/O error" in done.stderr  # a shell's own message for it


class TestRobustness:
    @pytest.mark.parametrize("number", [0, -1])
    def test_interrupt_before_the_first_change_is_refused(self, number: int) -> None:
        with pytest.raises(ValueError, match="at must be 1 or more"):
            Interrupt(number)

    def test_missing_program_is_an_error(self, box: Sandbox, program_folder: Path) -> None:
        with pytest.raises(HarnessError, match=r"^cannot start /no/such/program: No such file or directory"):
            run(box, ["/no/such/program"], Interrupt(1))

    def test_changes_are_reported_after_a_timeout(self, box: Sandbox, program_folder: Path) -> None:
        done = run(box, [*SH, "echo x >rc; sleep 3600"], Interrupt(3), timeout=1)
        assert (done.timed_out, done.exit_code, call_names(done)) == (True, None, ["open rc", "write rc"])

    @pytest.mark.parametrize("interrupt", [Interrupt(10**6), Interrupt(1, "full-disk")], ids=["kill", "full disk"])
    @pytest.mark.parametrize("script", UNUSUAL_PROGRAMS.values(), ids=UNUSUAL_PROGRAMS.keys())
    @pytest.mark.long
    def test_unusual_programs_end_by_themselves(
        self, box: Sandbox, program_folder: Path, script: str, interrupt: Interrupt
    ) -> None:
        script = "import resource; resource.setrlimit(7, (4096, 4096))\n" + script
        done = run(box, [*PYTHON, script], interrupt)
        assert (done.exit_code, done.timed_out, done.stderr) == (0, False, b"")

    def test_signal_does_not_count_a_change_twice(self, box: Sandbox, program_folder: Path) -> None:
        """A call that a signal interrupts while it is held for a decision starts again."""
        script = """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(0, 0.0002, 0.0002)
rc = os.open('rc', os.O_WRONLY)
for _ in range(1500):
    os.pwrite(rc, b'x', 0)
signal.setitimer(0, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
"""
        assert changes(run(box, [*PYTHON, script], Interrupt())).counted == 1501

    def test_undumpable_program_is_counted(self, box: Sandbox, program_folder: Path) -> None:
        script = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); open('rc', 'w').write('x')"
        done = run(box, [*PYTHON, script], Interrupt(2))
        assert (done.signal, files(program_folder)) == (signal.SIGKILL, {"rc": ""})

    def test_concurrent_processes_are_counted(self, box: Sandbox, program_folder: Path) -> None:
        script = "for i in $(seq 40); do (echo $i >f$i; echo $i >>rc) & done; wait"
        done = run(box, [*BASH, script], Interrupt())
        assert (done.exit_code, changes(done).counted) == (0, 160)
        assert run(box, [*BASH, script], Interrupt(100)).signal == signal.SIGKILL

    def test_each_run_counts_from_1_and_leaks_no_descriptor(self, box: Sandbox, program_folder: Path) -> None:
        run(box, [*SH, "echo x >rc"], Interrupt(1))
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(10):
            assert changes(run(box, [*SH, "echo x >rc"], Interrupt(2))).counted == 2
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_unknown_machine_has_no_system_call_table(self) -> None:
        assert table("riscv64") is None
        for machine in ("x86_64", "aarch64"):
            found = table(machine)
            assert found is not None
            numbers = [*found.changing, *found.denied, found.ioctl, found.seccomp]
            assert len(numbers) == len(set(numbers))


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare of util-linux")
def test_interruption_works_for_an_ordinary_user(tmp_path: Path) -> None:
    """A user without root rights or capabilities, even if root runs the tests."""
    (tmp_path / FOLDER).mkdir()
    script = f"""
from pathlib import Path
from ftps_harness.sandbox.changes import Interrupt
from ftps_harness.sandbox.sandbox import Sandbox
with Sandbox(Path({str(tmp_path)!r})) as box:
    done = box.run(['/bin/sh', '-c', 'id -u; echo x >rc; echo y >>rc'], env={ENVIRONMENT!r},
                   cwd=Path({INSIDE!r}), timeout=20, folder={FOLDER!r}, interrupt=Interrupt(4))
    print(done.stdout, done.signal, done.changes.interrupted.path)
"""
    command = ["unshare", "--user", "--map-user=1234", "--map-group=1234", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"b'1234\\n' 9 {INSIDE}/rc\n", done.stderr
    assert (tmp_path / FOLDER / "rc").read_text() == "x\n"


def test_sealed_place_interrupts(sealed: Sealed) -> None:
    with Home(sealed.parent, sealed.inside) as home:
        start = sealed.interrupting(home, Interrupt(2, "full-disk"))
        done = start(["/bin/sh", "-c", "echo x >rc"], env={"HOME": str(home.home)}, cwd=home.home, timeout=20)
        assert call_names(done) == ["open home/rc", "write home/rc"]
        assert done.exit_code == 1
        assert (home.home / "rc").read_text() == ""
        start = sealed.starter(home)
        assert start(["/bin/sh", "-c", "true"], env={}, cwd=home.home, timeout=20).changes is None


def test_counting_takes_less_than_twice_the_time(box: Sandbox, program_folder: Path) -> None:
    """Of a Python program that starts and changes a file."""
    best = {}
    for asked in (None, Interrupt()):
        times = []
        for _ in range(5):
            began = time.monotonic()
            run(box, [*PYTHON, "import json; open('rc', 'w').write('x')"], asked)
            times.append(time.monotonic() - began)
        best[asked] = min(times)
    assert best[Interrupt()] < 2 * best[None] + 0.05


def test_held_change_waits_for_its_release(box: Sandbox, program_folder: Path) -> None:
    """The held program has already read the file, so the other program's write is lost, as with any two writers."""
    (program_folder / "rc").write_text(OLD)
    (program_folder / "log").mkdir()
    append = "import sys; text = open('rc').read(); open('rc', 'w').write(text + sys.argv[1])"
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(run, box, [*PYTHON, append, "slow"], Interrupt(1, "hold", 20.0))
        while not (program_folder / HELD).exists():
            time.sleep(0.01)
        run(box, [*PYTHON, append, "fast"], None)
        assert (program_folder / "rc").read_text() == f"{OLD}fast"
        (program_folder / RELEASE).touch()
    assert changes(slow.result()).interrupted == Call("openat", f"{INSIDE}/rc", "held")
    assert [call.effect for call in changes(slow.result()).calls[1:]] == ["made"]
    assert (program_folder / "rc").read_text() == f"{OLD}slow"


def test_held_change_is_made_at_its_time_limit(box: Sandbox, program_folder: Path) -> None:
    (program_folder / "rc").write_text(OLD)
    (program_folder / "log").mkdir()
    done = run(box, [*SH, "echo new >>rc"], Interrupt(1, "hold", 0.5))
    assert done.seconds >= 0.5
    assert (program_folder / "rc").read_text() == f"{OLD}new\n"


LONG = "import os; os.execv('/bin/true', ['t'] + ['x' * 9000] * 9 + ['y' * 99999 + 's3' + 'cret'])"


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        ([*SH, "/bin/true s3cret; exit"], "/bin/sh"),
        ([*SH, "/bin/echo `printf s3`cret; exit"], "/bin/echo"),
        ([*SH, 'P=s3; sh -c "/bin/true ${P}cret & wait"'], "/bin/true"),
        ([*SH, "setsid sh -c 'P=s3; /bin/true a b c ${P}cret' </dev/null >/dev/null 2>&1 &"], "/bin/true"),
        ([*PYTHON, "import subprocess; subprocess.run(['/bin/true', 's3' + 'cret'])"], "/bin/true"),
        ([*PYTHON, "import os; os.execve(os.open('/bin/true', 0), ['t', 's3' + 'cret'], {})"], ""),
        ([*PYTHON, LONG], "/bin/true"),
    ],
)  # fmt: skip
def test_text_is_found_in_the_arguments_of_every_process(
    argv: list[str], program: str, box: Sandbox, program_folder: Path
) -> None:
    found = changes(run(box, argv, Interrupt(sought=("nothing like it", "s3cret"))))
    assert program in {each.program for each in found.found}
    assert {each.sought for each in found.found} == {1}
    assert found.started >= 1
    assert not found.unseen


def test_text_outside_arguments_is_not_found(box: Sandbox, program_folder: Path) -> None:
    """The environment, writes and reads are not arguments; every started program counts."""
    text = "export P=s3; P=${P}cret; echo $P >f; cat f; env true | cat; exec /bin/true"
    found = changes(run(box, [*SH, text], Interrupt(sought=("s3cret",))))
    assert (found.found, found.unseen) == ((), 0)
    assert found.started >= 5


def test_execve_with_an_invalid_address_counts_as_unseen(box: Sandbox, program_folder: Path) -> None:
    text = "import ctypes; print(ctypes.CDLL(None).execve(b'/bin/true', ctypes.c_void_p(8), None))"
    done = run(box, [*PYTHON, text], Interrupt(sought=("s3cret",)))
    assert done.stdout == b"-1\n"
    assert changes(done).unseen == 1


def test_starts_are_watched_only_with_a_text_to_find(box: Sandbox, program_folder: Path) -> None:
    assert changes(run(box, [*SH, "/bin/true; exit"], Interrupt())).started == 0
