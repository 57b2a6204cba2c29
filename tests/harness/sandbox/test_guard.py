"""Under guard, no program leaves this machine by any call, address or process, and each attempt is recorded."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import guard, kernel, memory, network_calls, process, system_calls
from ftps_harness.sandbox.guard import Guard
from ftps_harness.sandbox.notices import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.sandbox.process import Finished

OUTSIDE = "192.0.2.9"
IMPORTS = "import ctypes, errno, os, socket, struct, sys, time\n"


@pytest.fixture(autouse=True)
def guarded_here() -> None:
    """Most tests need a kernel that can guard; here it must be one, unless it says why not."""
    if why := guard.why_none():
        pytest.skip(why)


def python(code: str, cwd: Path, *, timeout: float = 20.0, start: process.Starter = process.guarded) -> Finished:
    return start([sys.executable, "-S", "-c", IMPORTS + code], env={}, cwd=cwd, timeout=timeout)


def said(finished: Finished) -> list[str]:
    assert not finished.stderr, finished.stderr.decode()
    return finished.stdout.decode().split()


def error_of(call: str) -> str:
    """Python that prints the name of the error of a call, or ``ok``."""
    return f"try:\n    {call}\n    print('ok')\nexcept OSError as error:\n    print(errno.errorcode[error.errno])\n"


@pytest.fixture
def own_address() -> str:
    """An address of this machine other than loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((OUTSIDE, 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no network")
        address: str = asking.getsockname()[0]
    return address


def children() -> set[str]:
    """This process's children; in a container it may also have inherited orphans."""
    return {pid for each in Path("/proc/self/task").glob("*/children") for pid in each.read_text().split()}


class TestAddresses:
    @pytest.mark.parametrize(
        ("family", "address", "phrase"),
        [
            ("AF_INET", f"('{OUTSIDE}', 80)", f"{OUTSIDE} port 80 by tcp (python"),
            ("AF_INET", "('10.0.0.1', 21)", "10.0.0.1 port 21 by tcp (python"),
            ("AF_INET6", "('2001:db8::9', 21)", "2001:db8::9 port 21 by tcp (python"),
            ("AF_INET6", f"('::ffff:{OUTSIDE}', 21)", f"::ffff:{OUTSIDE} port 21 by tcp (python"),
            ("AF_INET6", "('fe80::1', 21)", "fe80::1 port 21 by tcp (python"),
            ("AF_INET", "('127.0.0.53', 53)", "the name server 127.0.0.53 port 53 by tcp (python"),
            ("AF_INET6", "('::1', 53)", "the name server ::1 port 53 by tcp (python"),
        ],
    )
    def test_other_machine_is_unreachable_and_recorded(
        self, tmp_path: Path, family: str, address: str, phrase: str
    ) -> None:
        done = python(error_of(f"socket.socket(socket.{family}).connect({address})"), tmp_path)
        assert said(done) == ["ENETUNREACH"]
        (recorded,) = done.refused
        assert recorded.startswith(phrase)

    @pytest.mark.parametrize(
        ("family", "address"),
        [
            ("AF_INET", "127.0.0.1"),
            ("AF_INET", "127.9.9.9"),
            ("AF_INET", "0.0.0.0"),  # noqa: S104 - leads to loopback
            ("AF_INET6", "::1"),
            ("AF_INET6", "::"),
            ("AF_INET6", "::ffff:127.0.0.1"),
        ],
    )
    def test_loopback_is_reached(self, tmp_path: Path, family: str, address: str) -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            if family == "AF_INET6":
                pytest.skip("this machine has no IPv6")
        code = (
            f"server = socket.socket(socket.{family}); server.bind(('{address}', 0)); server.listen()\n"
            f"client = socket.create_connection(server.getsockname()[:2])\n"
            "peer, _ = server.accept(); client.sendall(b'hello'); print(peer.recv(9).decode())\n"
        )
        done = python(code, tmp_path)
        assert (said(done), done.refused) == (["hello"], ())

    def test_another_address_of_this_machine_is_outside(self, tmp_path: Path, own_address: str) -> None:
        """Without the guard, the same program reaches the listener there."""
        with socket.create_server((own_address, 0)) as listener:
            call = f"socket.create_connection({listener.getsockname()!r}, 5)"
            assert said(python(error_of(call), tmp_path, start=process.run)) == ["ok"]
            listener.settimeout(5)
            listener.accept()[0].close()
            done = python(error_of(call), tmp_path)
            assert said(done) == ["ENETUNREACH"]
            assert len(done.refused) == 1
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()

    def test_nothing_outside_reaches_a_guarded_listener(self, tmp_path: Path, own_address: str) -> None:
        """Otherwise a program could wait for its accomplice."""
        code = (
            "server = socket.create_server(('0.0.0.0', 0)); server.settimeout(1)\n"
            "open('new', 'w').write(str(server.getsockname()[1])); os.rename('new', 'port')\n"
            "try: print('accepted', server.accept()[1][0])\n"
            "except TimeoutError: print('nobody')\n"
        )
        results = []
        for start in (process.run, process.guarded):
            (tmp_path / "port").unlink(missing_ok=True)
            thread = threading.Thread(target=lambda start=start: results.append(python(code, tmp_path, start=start)))
            thread.start()
            until = time.monotonic() + 15
            while not (tmp_path / "port").exists() and time.monotonic() < until:
                time.sleep(0.01)
            with socket.socket() as outside:
                outside.settimeout(0.2)
                outside.connect_ex((own_address, int((tmp_path / "port").read_text())))
                thread.join()
        assert [said(each)[0] for each in results] == ["accepted", "nobody"]

    def test_disconnecting_and_invalid_addresses_are_the_kernels_matter(self, tmp_path: Path) -> None:
        code = (
            "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.connect(('127.0.0.1', 9))\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "for address, size in ((struct.pack('=H14x', 0), 16), (struct.pack('=H', 2), 2), (None, 16), (b'', 0)):\n"
            "    ctypes.set_errno(0); libc.connect(one.fileno(), address, size)\n"
            "    print(errno.errorcode.get(ctypes.get_errno(), 'ok'))\n"
        )
        done = python(code, tmp_path)
        assert said(done) == ["ok", "EINVAL", "ENETUNREACH", "EINVAL"]
        (recorded,) = done.refused  # an address that cannot be read never continues
        assert recorded.startswith("an address that the lab could not read (python")

    def test_services_in_run_are_not_there(self, tmp_path: Path) -> None:
        """They could use the network for a program. Elsewhere, sockets with a path work."""
        folder = Path("/run")
        if not os.access(folder, os.W_OK):
            pytest.skip("only root can put a socket there")
        path = folder / f"ftps-lab-test-{os.getpid()}"
        for where in (path, tmp_path / "own"):
            with socket.socket(socket.AF_UNIX) as service:
                service.bind(str(where))
                service.listen()
                code = error_of(f"socket.socket(socket.AF_UNIX).connect({str(where)!r})")
                assert said(python(code, tmp_path, start=process.run)) == ["ok"]
                done = python(code, tmp_path)
            where.unlink()
            assert (said(done), done.refused) == (["ENOENT" if where == path else "ok"], ())


DATAGRAM = "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
MANY = (
    "name = struct.pack('=H2s4s8x', 2, (9).to_bytes(2, 'big'), socket.inet_aton({host!r}))\n"
    "names = ctypes.create_string_buffer(name, 16); data = ctypes.create_string_buffer(b'x', 1)\n"
    "part = ctypes.create_string_buffer(struct.pack('=QQ', ctypes.addressof(data), 1), 16)\n"
    "header = struct.pack('=QI4xQQQQi4x', ctypes.addressof(names), 16, ctypes.addressof(part), 1, 0, 0, 0)\n"
    "own = struct.pack('=QI4xQQQQi4x', 0, 0, ctypes.addressof(part), 1, 0, 0, 0)\n"
    "many = (own + bytes(8) + header + bytes(8))\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "if libc.sendmmsg(one.fileno(), many, 2, 0) < 0: raise OSError(ctypes.get_errno(), 'sendmmsg')\n"
)


class TestDatagrams:
    @pytest.mark.parametrize(
        "call",
        [
            "one.connect({at})",
            "one.sendto(b'x', {at})",
            "one.sendmsg([b'x'], [], 0, {at})",
            "one.connect(('127.0.0.1', 9)); one.sendto(b'x', {at})",
            "one.connect(('127.0.0.1', 9)); one.sendmsg([b'x'], [], 0, {at})",
            "one.bind(('127.0.0.1', 0)); one.sendmsg([b'x'], [], 0, {at})",
        ],
    )
    def test_other_machine_gets_no_datagram(self, tmp_path: Path, call: str, own_address: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind((own_address, 0))
            receiver.setblocking(False)
            done = python(DATAGRAM + error_of(call.format(at=receiver.getsockname())), tmp_path)
            with pytest.raises(BlockingIOError):
                receiver.recv(9)
        assert said(done) == ["ENETUNREACH"]
        (recorded,) = done.refused
        assert recorded.startswith(f"{own_address} port ")
        assert " by udp (python" in recorded

    def test_several_messages_with_one_for_another_machine_are_refused(self, tmp_path: Path) -> None:
        code = DATAGRAM + "one.connect(('127.0.0.1', 9))\n"
        for host, wanted in (("127.0.0.1", "ok"), (OUTSIDE, "ENETUNREACH")):
            lines = MANY.format(host=host).rstrip("\n").replace("\n", "\n    ")
            done = python(code + error_of(lines), tmp_path)
            assert said(done) in ([wanted], ["ECONNREFUSED"] if wanted == "ok" else [wanted])
            assert [each.partition(" (")[0] for each in done.refused] == (
                [] if wanted == "ok" else [f"{OUTSIDE} port 9 by udp"]
            )

    def test_unspecified_family_means_ipv4_to_the_kernel(self, tmp_path: Path) -> None:
        code = DATAGRAM + (
            f"name = struct.pack('=H2s4s8x', 0, (9).to_bytes(2, 'big'), socket.inet_aton('{OUTSIDE}'))\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "print(libc.sendto(one.fileno(), b'x', 1, 0, name, 16), errno.errorcode[ctypes.get_errno()])\n"
        )
        done = python(code, tmp_path)
        assert said(done) == ["-1", "ENETUNREACH"]
        assert done.refused

    def test_loopback_datagrams_arrive(self, tmp_path: Path) -> None:
        code = DATAGRAM + (
            "other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); other.bind(('127.0.0.1', 0))\n"
            "at = other.getsockname()\n"
            "one.sendto(b'a', at); one.sendmsg([b'b'], [], 0, at); one.connect(at)\n"
            "one.send(b'c'); one.sendmsg([b'd'])\n"
            "print(b''.join(other.recv(9) for _ in range(4)).decode())\n"
        )
        done = python(code, tmp_path)
        assert (said(done), done.refused) == (["abcd"], ())

    def test_datagram_socket_beyond_the_limit_of_descriptors_is_recorded(self, tmp_path: Path) -> None:
        """It cannot get a number by which the kernel would ask about it."""
        code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n" + error_of(DATAGRAM.strip())
        done = python(code, tmp_path)
        assert said(done) == ["EBADF"]
        (recorded,) = done.refused
        assert recorded.startswith("the network by a datagram socket (python")


INTERRUPTED = """
import collections
libc = ctypes.CDLL(None, use_errno=True)
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: None)
class Action(ctypes.Structure):
    _fields_ = [("handler", ctypes.c_void_p), ("rest", ctypes.c_ubyte * 144)]
libc.sigaction(17, ctypes.byref(Action(ctypes.cast(handler, ctypes.c_void_p).value)), None)
counted = collections.Counter()
for _ in range(200):
    if os.fork() == 0:
        os._exit(0)
    for _ in range(3):
        one = libc.socket(2, 1, 0)
        counted["ok" if one >= 0 else errno.errorcode[ctypes.get_errno()]] += 1
        os.close(one) if one >= 0 else None
    os.waitpid(-1, 0)
print(dict(counted))
"""


class TestOtherWays:
    @pytest.mark.parametrize(
        "call",
        [
            f"socket.socket().sendto(b'x', 0x20000000, ('{OUTSIDE}', 80))",
            f"socket.socket().sendmsg([b'x'], [], 0x20000000, ('{OUTSIDE}', 80))",
        ],
    )
    def test_tcp_fast_open_is_refused(self, tmp_path: Path, call: str) -> None:
        done = python(error_of(call), tmp_path)
        assert said(done) == ["ENETUNREACH"]
        assert [each.partition(" (")[0] for each in done.refused] == [f"{OUTSIDE} port 80 by tcp"]

    @pytest.mark.parametrize(
        "kind",
        [
            "socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP",
            "socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6",
            "socket.AF_PACKET, socket.SOCK_RAW",
            "socket.AF_PACKET, socket.SOCK_DGRAM",
            "socket.AF_INET, socket.SOCK_STREAM, 132",
            "socket.AF_INET, socket.SOCK_SEQPACKET",
            "40, socket.SOCK_STREAM",
        ],
        ids=["icmp", "icmpv6", "packet", "cooked", "sctp", "sequential", "vsock"],
    )
    def test_socket_of_another_kind_is_refused_even_to_root(self, tmp_path: Path, kind: str) -> None:
        done = python(error_of(f"socket.socket({kind})"), tmp_path)
        assert said(done) == ["EPERM"]
        (recorded,) = done.refused
        assert recorded.startswith("the network by a socket of family ")

    def test_socket_never_leaves_the_loopback_interface(self, tmp_path: Path) -> None:
        """Not even root, and not on a socket that has no connection yet."""
        code = (
            "for family in (socket.AF_INET, socket.AF_INET6):\n"
            "    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
            "        one = socket.socket(family, kind)\n"
            "        print(one.getsockopt(socket.SOL_SOCKET, 25, 16).strip(b'\\0').decode())\n"
            "        for option, value in ((25, b'eth0'), (25, b''), (62, struct.pack('i', 0))):\n"
            "            try: one.setsockopt(socket.SOL_SOCKET, option, value); print('ok')\n"
            "            except OSError as error: print(errno.errorcode[error.errno])\n"
            "        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        )
        assert said(python(code, tmp_path)) == ["lo", "EPERM", "EPERM", "EPERM"] * 4

    def test_io_uring_is_refused(self, tmp_path: Path) -> None:
        code = "libc = ctypes.CDLL(None, use_errno=True); libc.syscall(425, 1, bytes(120)); print(ctypes.get_errno())"
        assert said(python(code, tmp_path)) == [str(errno.ENOSYS)]

    def test_program_of_another_architecture_is_ended(self, tmp_path: Path) -> None:
        if os.uname().machine != "x86_64":
            pytest.skip("x86-64 has a second set of calls, x32")
        done = python("ctypes.CDLL(None).syscall(0x40000000 + 39)", tmp_path)
        assert done.signal == 31

    def test_name_is_not_looked_up(self, tmp_path: Path) -> None:
        done = process.guarded(["/usr/bin/getent", "hosts", "tell.everybody.example"], env={}, cwd=tmp_path, timeout=30)
        assert done.exit_code == 2
        assert done.refused
        assert all("port 53 by" in each and "(getent)" in each for each in done.refused)

    def test_signal_does_not_interrupt_a_question(self, tmp_path: Path) -> None:
        """lftp's handler of SIGCHLD does not restart calls. Without the guard's change, 1 to 5 in 100 here fail."""
        done = python(INTERRUPTED, tmp_path)
        assert said(done) == ["{'ok':", "600}"]

    def test_only_handlers_of_sigchld_are_changed(self, tmp_path: Path) -> None:
        code = (
            "import signal\n"
            "for number in (signal.SIGCHLD, signal.SIGUSR1):\n"
            "    libc = ctypes.CDLL(None); old = (ctypes.c_ubyte * 200)()\n"
            "    signal.signal(number, lambda *_: None); signal.siginterrupt(number, True)\n"
            "    libc.sigaction(int(number), None, old)\n"
            "    print(bool(int.from_bytes(bytes(old[136:140]), 'little') & 0x10000000))\n"
        )
        assert said(python(code, tmp_path)) == ["True", "False"]
        assert said(python(code, tmp_path, start=process.run)) == ["False", "False"]

    def test_flags_of_a_socket_are_those_that_the_program_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = (
            "import fcntl\n"
            "libc = ctypes.CDLL(None)\n"
            "for flags in (0, socket.SOCK_NONBLOCK, socket.SOCK_CLOEXEC):\n"
            "    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
            "        one = libc.socket(2, kind | flags, 0)\n"
            "        print(int(not os.get_blocking(one)), int(not os.get_inheritable(one)), int(one >= 100))\n"
        )
        monkeypatch.setattr(socket, "getdefaulttimeout", lambda: 3.0)
        socket.setdefaulttimeout(3.0)
        try:
            done = python(code, tmp_path)
        finally:
            socket.setdefaulttimeout(None)
        assert done.stdout.split(b"\n")[:-1] == [b"0 0 0", b"0 0 1", b"1 0 0", b"1 0 1", b"0 1 0", b"0 1 1"]


class TestProcesses:
    def test_daemon_that_closes_everything_is_waited_for_and_recorded(self, tmp_path: Path) -> None:
        code = (
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0:\n"
            "        os.closerange(0, 1000); time.sleep(0.3)\n"
            f"        error = socket.socket().connect_ex(('{OUTSIDE}', 80))\n"
            "        open('error', 'w').write(errno.errorcode[error])\n"
            "    os._exit(0)\n"
        )
        done = python(code, tmp_path)
        assert not done.timed_out
        assert (tmp_path / "error").read_text() == "ENETUNREACH"
        assert [each.partition(" (")[0] for each in done.refused] == [f"{OUTSIDE} port 80 by tcp"]

    def test_what_outlives_the_run_has_no_network(self, tmp_path: Path) -> None:
        code = (
            "if os.fork() == 0:\n"
            "    os.setsid(); os.closerange(0, 1000); open('ready', 'w').close()\n"
            "    while not os.path.exists('over'): time.sleep(0.01)\n"
            "    try: socket.socket(); error = 'ok'\n"
            "    except OSError as each: error = errno.errorcode[each.errno]\n"
            "    open('new', 'w').write(error); os.rename('new', 'error')\n"
        )
        for limit in (0.5, 2.0, 15.0):  # on a loaded machine, it is killed before it has left
            done = python(code, tmp_path, timeout=limit)
            assert done.timed_out
            if (tmp_path / "ready").exists():
                break
        (tmp_path / "over").touch()
        until = time.monotonic() + 15
        while not (tmp_path / "error").exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert (tmp_path / "error").read_text() == "ENOSYS"

    def test_zombie_that_nobody_reaps_does_not_delay_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before Linux 6.11, it holds the filter, so the kernel does not report its end."""
        monkeypatch.setattr(Guard, "serve", lambda _: False)
        monkeypatch.setattr(guard, "_STATUS", re.compile(b"^Name:\tno such program$", re.MULTILINE))
        done = process.guarded(["/bin/true"], env={}, cwd=tmp_path, timeout=20)
        assert (done.exit_code, done.timed_out) == (0, False)
        assert done.seconds < 10

    def test_guarded_process_is_recognized(self, tmp_path: Path) -> None:
        code = (
            "status = open('/proc/self/status', 'rb').read(); import re\n"
            f"print(bool(re.search({guard._STATUS.pattern!r}, status, re.MULTILINE)))"
        )
        assert said(python(code, tmp_path)) == ["True"]
        assert said(python(code, tmp_path, start=process.run)) == ["False"]

    def test_many_attempts_are_recorded_up_to_a_limit(self, tmp_path: Path) -> None:
        code = "for port in range(1, 300): socket.socket().connect_ex(('192.0.2.9', port))"
        assert len(python(code, tmp_path).refused) == 100

    def test_setuid_programs_give_no_rights(self, tmp_path: Path) -> None:
        code = "print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
        assert said(python(code, tmp_path)) == ["1"]


class TestHarness:
    def test_harness_keeps_its_own_network(self, tmp_path: Path, own_address: str) -> None:
        python("", tmp_path)
        with socket.create_server((own_address, 0)) as listener, socket.create_connection(listener.getsockname(), 5):
            pass
        assert "Seccomp:\t0\n" in Path("/proc/thread-self/status").read_text() or _filtered_before()

    def test_hundred_runs_leave_no_descriptor_and_no_thread(self, tmp_path: Path) -> None:
        def count() -> tuple[int, int, set[str]]:
            return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), children()

        process.guarded(["/bin/true"], env={}, cwd=tmp_path, timeout=5)
        before = count()
        for _ in range(100):
            process.guarded(["/bin/true"], env={}, cwd=tmp_path, timeout=5)
        assert count() == before

    def test_hidden_memory_fails_closed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As of a daemon under kernel.yama.ptrace_scope=1, which is no longer a descendant."""

        def refuse(*_: object) -> bytes:
            raise PermissionError(errno.EPERM, "not permitted")

        monkeypatch.setattr(memory, "read", refuse)
        done = python(error_of("socket.socket().connect(('127.0.0.1', 80))"), tmp_path)
        assert said(done) == ["ENETUNREACH"]
        (recorded,) = done.refused
        assert recorded.startswith("an address that the lab could not read (python")

    def test_program_is_not_started_without_a_guard(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kernel, "listen_to_calls", _refuse)
        with pytest.raises(HarnessError, match="permits no filter of system calls: Device or resource busy"):
            process.guarded(["/bin/touch", "started"], env={}, cwd=tmp_path, timeout=5)
        assert not (tmp_path / "started").exists()

    @pytest.mark.parametrize("command", ["/nonexistent/lftp", "/", "a\0b"])
    def test_program_that_cannot_be_started_is_an_error(self, command: str, tmp_path: Path) -> None:
        with pytest.raises(HarnessError, match="cannot start"):
            process.guarded([command], env={}, cwd=tmp_path, timeout=5)

    def test_ctrl_c_during_the_start_leaves_no_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_: Guard) -> bool:
            raise KeyboardInterrupt

        monkeypatch.setattr(Guard, "serve", interrupt)
        before = children()
        with pytest.raises(KeyboardInterrupt):
            process.guarded(["/bin/sleep", "60"], env={}, cwd=tmp_path, timeout=60)
        assert children() == before

    @pytest.mark.parametrize(("delay", "begun"), [(0, True), (0.2, True), (0.2, False)])
    def test_ctrl_c_as_the_guard_s_thread_begins_leaves_no_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay: float, begun: bool
    ) -> None:
        """Before the filter is there (``delay``, in seconds), perhaps after it, or before the thread has run."""
        begin, install = threading.Thread.start, Guard._install

        def begin_and_interrupt(thread: threading.Thread) -> None:
            begin(thread)
            raise KeyboardInterrupt

        def install_late(guarding: Guard) -> None:
            time.sleep(delay)  # as on a busy machine: the interruption comes first
            install(guarding)

        monkeypatch.setattr(threading.Thread, "start", begin_and_interrupt)
        monkeypatch.setattr(Guard, "_install", install_late)
        if not begun:
            monkeypatch.setattr(threading.Thread, "ident", None)
        before = children()
        with pytest.raises(KeyboardInterrupt):
            process.guarded(["/bin/sleep", "60"], env={}, cwd=tmp_path, timeout=60)
        for thread in threading.enumerate():
            if thread.name == "ftps-lab: guard":
                thread.join()
        assert children() == before

    def test_no_thread_for_the_guard(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            process.guarded(["/bin/sleep", "60"], env={}, cwd=tmp_path, timeout=60)


class TestWhyNone:
    """The guard is claimed only if it has refused a connection here."""

    @pytest.fixture(autouse=True)
    def asked_anew(self) -> Iterator[None]:
        guard.why_none.cache_clear()
        yield
        guard.why_none.cache_clear()

    def test_kernel_that_refuses_the_filter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kernel, "listen_to_calls", _refuse)
        assert guard.why_none().endswith("the kernel permits no filter of system calls: Device or resource busy")

    def test_architecture_with_unknown_calls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system_calls, "table", lambda _: None)
        assert "does not know the system calls of" in guard.why_none()

    def test_other_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert guard.why_none() == "only Linux has such filters"

    @pytest.mark.parametrize("missing", ["connect", "socket"])
    def test_filter_that_is_not_in_force(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        rules = network_calls.rules

        def fewer(table: system_calls.Table) -> list[network_calls.Rule]:
            return [
                (*rule[:3], 9999) if rule[3] == table.network[missing] and rule[2] else rule for rule in rules(table)
            ]

        monkeypatch.setattr(network_calls, "rules", fewer)
        assert guard.why_none() == "a connection that it should have refused was not refused"

    def test_kernel_without_gifts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Linux 5.5 to 5.8."""

        def give(*_: object, **__: object) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

        monkeypatch.setattr(Listener, "give", give)
        assert guard.why_none().startswith("the kernel does not support it (Linux 5.9 or newer): ")


def _refuse(*_: object) -> int:
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _filtered_before() -> bool:
    """Whether this whole process runs under somebody else's filter, such as a container's."""
    return "Seccomp:\t2\n" in Path("/proc/1/status").read_text()
