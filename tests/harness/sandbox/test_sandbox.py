"""A sandbox: nothing leaves it, outlives it or passes unrecorded in it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import process
from ftps_harness.sandbox.sandbox import Sandbox, Unavailable, how_to_grant
from ftps_harness.sandbox.supervisor import no_such_name
from ftps_harness.sandbox.view import INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("sealed_here")

PYTHON = "/usr/bin/python3"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": INSIDE}
FOLDER = "a"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    (folder / FOLDER).mkdir()
    with Sandbox(folder) as sandbox:
        yield sandbox


def shell(box: Sandbox, script: str, timeout: float = 20.0) -> process.Finished:
    return box.run(["/bin/sh", "-c", script], env=ENVIRONMENT, cwd=Path(INSIDE), timeout=timeout, folder=FOLDER)


def python(box: Sandbox, script: str, timeout: float = 20.0) -> process.Finished:
    """Debian's Python: the tests' own Python may be in a folder that is empty inside."""
    return box.run([PYTHON, "-c", script], env=ENVIRONMENT, cwd=Path(INSIDE), timeout=timeout, folder=FOLDER)


class TestIsolation:
    @pytest.mark.parametrize("address", ["198.51.100.9", "8.8.8.8", "2001:db8::9", "2606:4700::1", "169.254.169.254"])
    def test_outside_address_is_refused_and_recorded(self, box: Sandbox, address: str) -> None:
        box.begin()
        done = python(box, f"import socket; socket.create_connection(({address!r}, 443), 5)")
        assert b"ConnectionRefusedError" in done.stderr
        (flow,) = box.traffic().flows
        assert (flow.server, flow.state) == ((address, 443), "refused")

    def test_name_look_up_is_recorded_and_fails(self, box: Sandbox) -> None:
        box.begin()
        done = python(box, "import socket; socket.getaddrinfo('somebody.example', 21)")
        assert done.exit_code == 1
        flows = box.traffic().flows
        assert {flow.server[1] for flow in flows} == {53}

    @pytest.mark.parametrize("query", [b"", b"\1", bytes(12), bytes(12) + b"\4abc", b"\0" * 11 + b"\xff" * 40])
    def test_malformed_dns_query_gets_no_answer(self, query: bytes) -> None:
        assert no_such_name(query) == b""

    def test_folders_with_sockets_of_this_machine_are_empty(self, box: Sandbox) -> None:
        """A path leads out of a network namespace, such as the Docker engine's socket or a resolver's."""
        assert shell(box, "ls -A /run /home /root /var/tmp").stdout == b"/home:\n\n/root:\n\n/run:\n\n/var/tmp:\n"
        kept = b"bin dev etc gnu lib lib32 lib64 libx32 nix opt proc sbin sys tmp usr".split()
        for name in shell(box, "ls -A /").stdout.split():
            path = Path("/", name.decode())
            if name not in kept and path.is_dir() and not path.is_symlink():
                assert shell(box, f"find {path} -mindepth 1 ! -path /var/tmp").stdout == b"", name

    @pytest.mark.parametrize("kind", ["socket", "fifo"])
    def test_sockets_and_fifos_anywhere_are_unreachable(
        self, box: Sandbox, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The test uses its own folder."""
        folder = Path(tempfile.mkdtemp(dir=Path(__file__).parent))
        way = folder / "way"
        try:
            with monkeypatch.context() as there, socket.socket(socket.AF_UNIX) as listener:
                there.chdir(folder)
                if kind == "fifo":
                    os.mkfifo("way")
                else:
                    listener.bind("way")  # a whole path may exceed the limit for an address
                    listener.listen()
                connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(way)!r})"
                say = f"open({str(way)!r}, 'r+')" if kind == "fifo" else connect
                assert python(box, say).exit_code == 1
                if kind == "fifo":
                    assert b"FileNotFoundError" in python(box, say).stderr
        finally:
            shutil.rmtree(folder)

    def test_sockets_in_program_folders_are_unreachable(self, tmp_path: Path) -> None:
        """Such as the Nix daemon's in /nix; the program's folder stands for one here."""
        (tmp_path / "sealed" / FOLDER).mkdir(parents=True)
        (tmp_path / "bin").mkdir()
        way = tmp_path / "bin" / "way"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(way))
            listener.listen()
            with Sandbox(tmp_path / "sealed", visible=[str(tmp_path / "bin")]) as box:
                done = python(box, f"import socket; socket.socket(socket.AF_UNIX).connect({str(way)!r})")
        assert b"ConnectionRefusedError" in done.stderr

    def test_devices_and_kernel_settings_are_unreachable(self, box: Sandbox) -> None:
        """Even for root, who owns them: disks, the kernel's log, /proc/sys."""
        names = shell(box, "ls -A /dev").stdout.split()
        assert names == b"fd full null random shm stderr stdin stdout urandom zero".split()
        settings = ("kernel/core_pattern", "net/ipv4/ip_default_ttl")
        for name in settings:
            assert b"cannot create" in shell(box, f"echo 1 >/proc/sys/{name}").stderr
        assert shell(box, "echo y >/dev/null").exit_code == 0
        assert shell(box, "echo said >/dev/stderr").stderr == b"said\n"

    def test_system_v_ipc_is_private_to_each_program(self, box: Sandbox) -> None:
        """Shared memory and message queues."""
        assert shell(box, "ipcmk -M 64 >/dev/null && ipcmk -Q >/dev/null && ipcs -mq | grep -c 0x").stdout == b"2\n"
        assert shell(box, "ipcs -mq | grep -c 0x").stdout == b"0\n"

    def test_abstract_socket_of_this_machine_is_unreachable(self, box: Sandbox) -> None:
        with socket.socket(socket.AF_UNIX) as outside:
            outside.bind(f"\0ftps-lab-{os.getpid()}")
            outside.listen()
            done = python(box, f"import socket; socket.socket(socket.AF_UNIX).connect('\\0ftps-lab-{os.getpid()}')")
        assert b"ConnectionRefusedError" in done.stderr

    def test_program_has_no_capabilities(self, box: Sandbox) -> None:
        status = shell(box, "cat /proc/self/status").stdout.decode()
        sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith(("Cap", "NoNew")))
        assert {sets[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
        assert sets["NoNewPrivs"] == "1"

    @pytest.mark.parametrize(
        "call",
        [
            "ptrace(16, os.getppid(), None, None)",
            "syscall(438, os.pidfd_open(os.getppid()), 0, 0)",
            "truncate(b'/tmp/file', 1)",
            "syscall(KEYCTL, 1, None)",
            "syscall(425, 1, bytes(120))",
            "process_vm_writev(os.getppid(), None, 0, None, 0, 0)",
        ],
    )
    def test_ptrace_truncate_keyrings_and_io_uring_are_forbidden(self, box: Sandbox, call: str) -> None:
        """lftp's log must contain only lftp's words, and the user's keyring outlives a program."""
        script = (
            "import ctypes, os, platform\nKEYCTL = {'x86_64': 250, 'aarch64': 219}[platform.machine()]\n"
            "open('/tmp/file', 'w').write('long')\nlibc = ctypes.CDLL(None, use_errno=True)\n"
            f"print(libc.{call}, ctypes.get_errno())\n"
        )
        assert python(box, script).stdout == b"-1 1\n"

    def test_only_socket_families_of_its_network_namespace_can_be_opened(self, box: Sandbox) -> None:
        """A virtual machine's AF_VSOCK, for one, leads to its host."""
        script = """if True:
            import itertools, socket
            for family, kind in itertools.product(range(64), (1, 2, 3, 5)):
                try:
                    socket.socket(family, kind)
                except PermissionError: # raw sockets
                    print(family)
                except OSError as error:
                    assert family in (1, 2, 10, 16) or error.errno == 97, (family, error)
                else:
                    print(family)
        """
        done = python(box, script)
        assert done.stderr == b""
        assert set(done.stdout.split()) == {b"1", b"2", b"10", b"16"}

    def test_program_inherits_only_its_streams(self, box: Sandbox) -> None:
        """Another descriptor could lead out, such as the supervisor's socket to us: a message in it outlives a run."""
        script = "import os\nfor name in os.listdir('/proc/self/fd'):\n if int(name) > 2: print(os.fstat(int(name)))"
        assert python(box, script).stderr.count(b"Bad file descriptor") == 1  # of the listed folder itself
        assert python(box, script).stdout == b""

    def test_only_its_own_processes_are_visible(self, box: Sandbox) -> None:
        listed = shell(box, "ls /proc").stdout.split()
        assert [int(name) for name in listed if name.isdigit()] == [1, 2, 3]


class TestFiles:
    def test_only_its_own_folder_is_writable(self, box: Sandbox, tmp_path: Path) -> None:
        script = f"touch /etc/x; touch /usr/x; touch {tmp_path}/x; touch /run/x; touch /var/tmp/x; touch {INSIDE}/mine"
        done = shell(box, script)
        errors = done.stderr.decode()
        assert errors.count("Read-only file system") == 4
        assert f"{tmp_path}/x" in errors  # it does not exist there at all
        assert (box.folder / FOLDER / "mine").exists()
        assert done.exit_code == 0

    def test_tmp_is_private_to_each_program(self, box: Sandbox) -> None:
        assert shell(box, "echo mark >/tmp/mark; echo mark >/dev/shm/mark; ls /tmp /dev/shm").stdout.count(b"mark") == 2
        assert b"mark" not in shell(box, "ls -A /tmp /dev/shm").stdout

    def test_mounts_cannot_be_undone(self, box: Sandbox) -> None:
        """Not even in namespaces that the program creates itself."""
        for script in ("umount /tmp", "unshare --user --map-root-user --mount umount /tmp", "mount -o remount,rw /"):
            assert shell(box, script).exit_code != 0
        assert shell(box, "ls -A /tmp").stdout == b"ftps-lab\n"

    def test_folder_of_a_program_is_visible_and_read_only(self, tmp_path: Path) -> None:
        """Whatever its path."""
        programs = tmp_path / "my own 'lftp' ü"
        programs.mkdir()
        program = programs / "prog"
        program.write_text('#!/bin/sh\ntouch beside; touch "$0.x"; echo ran\n')
        program.chmod(0o755)
        (tmp_path / "all" / FOLDER).mkdir(parents=True)
        with Sandbox(tmp_path / "all", visible=[str(programs)]) as box:
            done = box.run([str(program)], env=ENVIRONMENT, cwd=Path(INSIDE), timeout=20, folder=FOLDER)
        assert done.stdout == b"ran\n"
        assert b"Read-only" in done.stderr
        assert sorted(path.name for path in programs.iterdir()) == ["prog"]
        assert (tmp_path / "all" / FOLDER / "beside").exists()

    def test_system_files_can_be_replaced(self, tmp_path: Path) -> None:
        (tmp_path / FOLDER).mkdir()
        (tmp_path / "ours").write_text("ours\n")
        replaced = {"/etc/hosts": str(tmp_path / "ours"), "/etc/none.of.this.name": str(tmp_path / "ours")}
        with Sandbox(tmp_path, replaced=replaced) as box:
            assert shell(box, "cat /etc/hosts").stdout == b"ours\n"
            (tmp_path / "ours").write_text("changed\n")
            assert shell(box, "cat /etc/hosts").stdout == b"changed\n"
            assert shell(box, "cat /etc/none.of.this.name").exit_code == 1


class TestProcessesEnd:
    def test_exit_code_and_signal_are_the_programs(self, box: Sandbox) -> None:
        ends = [(done.exit_code, done.signal) for done in (shell(box, "exit 7"), shell(box, "kill -SEGV $$"))]
        assert ends == [(7, None), (None, signal.SIGSEGV)]

    def test_missing_program_is_an_error(self, box: Sandbox) -> None:
        with pytest.raises(HarnessError, match=r"^cannot start /no/such/program: No such file or directory"):
            box.run(["/no/such/program"], env={}, cwd=Path(INSIDE), timeout=5, folder=FOLDER)

    def test_run_waits_for_a_background_job(self, box: Sandbox) -> None:
        """Even one that has closed all its descriptors: its remaining work belongs to the run."""
        script = f"setsid sh -c 'exec </dev/null >/dev/null 2>&1; sleep 0.3; touch {INSIDE}/late' & exit 3"
        assert shell(box, script).exit_code == 3
        assert (box.folder / FOLDER / "late").exists()

    def test_daemon_is_killed_at_the_time_limit(self, box: Sandbox) -> None:
        mark = f"3600.{os.getpid()}"
        script = f"trap '' TERM HUP INT; setsid sh -c 'exec </dev/null >/dev/null 2>&1; exec sleep {mark}' & exit 0"
        done = shell(box, script, timeout=0.5)
        assert done.timed_out
        assert not processes_with(mark)

    def test_fifty_daemons_are_killed_at_the_time_limit(self, box: Sandbox) -> None:
        mark = f"3601.{os.getpid()}"
        done = shell(box, f"for i in $(seq 50); do (setsid sleep {mark} >/dev/null 2>&1 &); done", timeout=1.0)
        assert done.timed_out
        assert not processes_with(mark)

    def test_output_beyond_the_limit_is_truncated_and_reported(
        self, box: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process, "OUTPUT_LIMIT", 1000)
        done = shell(box, "head -c 5000 /dev/zero; echo said >&2")
        assert (len(done.stdout), done.stderr, done.truncated) == (1000, b"said\n", True)

    def test_processes_end_with_their_owner(self, tmp_path: Path) -> None:
        """The owner is killed without a chance to clean up."""
        (tmp_path / FOLDER).mkdir()
        mark = f"3602.{os.getpid()}"
        script = (
            "from pathlib import Path; from ftps_harness.sandbox.sandbox import Sandbox\n"
            f"box = Sandbox(Path({str(tmp_path)!r})); box.host.ping(); print('ready', flush=True)\n"
            f"box.run(['/bin/sleep', {mark!r}], env={{}}, cwd=Path({INSIDE!r}), timeout=3600, folder={FOLDER!r})\n"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as owner:
            assert owner.stdout is not None
            owner.stdout.readline()
            wait_until(lambda: bool(processes_with(mark)))
            owner.kill()
        wait_until(lambda: not processes_with(mark))
        wait_until(lambda: not processes_with(str(tmp_path)))  # the supervisor's own command line

    def test_interruption_ends_a_program_at_once(self, box: Sandbox) -> None:
        interruption = process.Interruption()
        token = process.INTERRUPTION.set(interruption)
        try:
            interruption.ask()
            began = time.monotonic()
            with pytest.raises(process.Interrupted):
                shell(box, "sleep 60", timeout=100)
            assert time.monotonic() - began < 20
        finally:
            process.INTERRUPTION.reset(token)
            interruption.close()

    def test_wait_may_come_later(self, tmp_path: Path) -> None:
        (tmp_path / FOLDER).mkdir()
        with Sandbox(tmp_path, wait=False) as box:
            box.wait()
            assert shell(box, "exit 3").exit_code == 3

    def test_sandbox_ends_without_a_wait(self, tmp_path: Path) -> None:
        with Sandbox(tmp_path, wait=False):
            pass
        wait_until(lambda: not processes_with(str(tmp_path)))

    def test_missing_folder_is_an_error(self, box: Sandbox) -> None:
        with pytest.raises(
            HarnessError, match=r"^cannot start /bin/true: No such file or directory \(/no/such/folder\)"
        ):
            box.run(["/bin/true"], env={}, cwd=Path("/no/such/folder"), timeout=5, folder=FOLDER)

    def test_program_has_a_session_and_default_signals_of_its_own(self, box: Sandbox) -> None:
        script = (
            "import os, signal; print(os.getsid(0) == os.getpid(), signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
        )
        assert python(box, script).stdout == b"True True\n"

    def test_closed_sandbox_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / FOLDER).mkdir()
        box = Sandbox(tmp_path)
        box.close()
        box.close()
        with pytest.raises(HarnessError, match="the sandbox has ended"):
            shell(box, "true")

    def test_runs_leak_no_descriptor(self, box: Sandbox) -> None:
        shell(box, "true")
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(10):
            shell(box, "true")
            box.begin()
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestTraffic:
    def test_connection_inside_is_recorded_whole(self, box: Sandbox) -> None:
        """300 KB exceed a socket's own buffer."""
        box.begin()
        talk = (
            "import socket, threading; s = socket.create_server(('127.0.0.1', 4444))\n"
            "c = socket.create_connection(s.getsockname()); a, _ = s.accept()\n"
            "t = threading.Thread(target=c.sendall, args=(b'x' * 300000,)); t.start(); n = 0\n"
            "while n < 300000: n += len(a.recv(65536))\n"
            "t.join(); a.sendall(b'thanks'); c.recv(9)\n"
        )
        assert python(box, talk).exit_code == 0
        traffic = box.traffic()
        (flow,) = traffic.flows
        assert (flow.server, flow.state, flow.whole) == (("127.0.0.1", 4444), "open", True)
        assert flow.to_server == b"x" * 300000
        assert flow.to_client == b"thanks"
        assert traffic.lost == 0

    def test_begin_discards_earlier_traffic(self, box: Sandbox) -> None:
        for _ in range(20):
            box.begin()
            python(box, "import socket; socket.socket().connect_ex(('192.0.2.1', 7))")
            assert len(box.traffic().flows) == 1

    def test_programs_cannot_forge_a_capture_mark(self, box: Sandbox) -> None:
        """A mark is not shown, and everything before it counts as complete."""
        box.begin()
        forged = "import socket; s = socket.socket(2, 2); s.bind(('127.0.0.2', 9))\n"
        forged += "for _ in range(3): s.sendto(b'\\xff' * 65500, ('127.0.0.1', 9))"
        assert python(box, forged).exit_code == 0
        assert [flow.server for flow in box.traffic().flows] == [("127.0.0.1", 9)] * 3
        taken = python(box, "import socket; socket.socket(2, 2).bind(('127.0.0.1', 9))")
        assert b"Address already in use" in taken.stderr

    def test_capture_that_cannot_keep_up_reports_losses(self, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        """The capture's thread is held while more traffic passes than fits into the ring."""
        box.begin()
        capture = box._capture
        flood = "import socket; s = socket.socket(2, 2)\nfor _ in range(2000): s.sendto(bytes(60000), ('127.0.0.1', 5))"
        with capture._marked:
            assert python(box, flood).exit_code == 0
        assert box.traffic().lost > 0


class TestMissingPermissions:
    def test_missing_namespaces_are_reported_with_the_remedy(self, tmp_path: Path) -> None:
        """The test runs in a user namespace that permits no further one."""
        script = (
            "from pathlib import Path; from ftps_harness.sandbox.sandbox import Sandbox, Unavailable\n"
            f"try: Sandbox(Path({str(tmp_path)!r}))\nexcept Unavailable as why: print(why)\n"
        )
        outer = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" -c "$1"'
        command = ["unshare", "--user", "--map-root-user", "sh", "-c", outer, sys.executable, script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        reason = (
            "the kernel does not permit a private user namespace: No space left on device; as root: sysctl user.max_"
        )
        assert done.stdout.startswith(reason)

    @pytest.mark.parametrize(
        ("files", "remedy"),
        [
            ({"proc/kernel/apparmor_restrict_unprivileged_userns": "1\n"}, "as root: sysctl kernel.apparmor_"),
            ({"proc/kernel/unprivileged_userns_clone": "0\n"}, "as root: sysctl kernel.unprivileged_userns_clone=1"),
            ({"proc/user/max_user_namespaces": "0\n", "root/.dockerenv": ""}, "as root: sysctl user.max_user_"),
            ({"root/.dockerenv": "", "proc/user/max_user_namespaces": "96365\n"}, "start this container with --sec"),
            ({"root/run/.containerenv": ""}, "start this container with --security-opt"),
            ({}, "allow unprivileged user namespaces, or run as root"),
        ],
        ids=["ubuntu", "debian", "none", "docker", "podman", "unknown"],
    )
    def test_remedy_names_the_missing_permission(self, tmp_path: Path, files: dict[str, str], remedy: str) -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        assert how_to_grant(tmp_path / "proc", tmp_path / "root").startswith(remedy)

    def test_sandbox_needs_linux(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(Unavailable, match="Linux"):
            Sandbox(tmp_path)


def processes_with(mark: str) -> list[int]:
    """Processes of this machine with a word in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in command and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def wait_until(true: object, seconds: float = 30.0) -> None:
    assert callable(true)
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)
