"""Keeps programs on this machine where no sandbox is allowed: the kernel asks the harness before it uses the network.

A seccomp filter with a listener (Linux 5.9, x86-64 and aarch64) needs no rights and no namespace, and works in a
container. Filters belong to threads and are inherited by everything that these start, so a short-lived thread installs
it and starts the program; the thread that runs the program answers.

* ``socket``: the harness itself makes each IP socket, binds it to the loopback interface and gives it to the program.
  Only CAP_NET_RAW could undo that (socket(7), SO_BINDTODEVICE), and the filter refuses even root. So no connection
  leaves although an address may change after it was examined, and nothing from outside arrives.
* ``connect``, ``sendto``, ``sendmmsg``: an address that is not on this machine's loopback is recorded and unreachable.
* ``sendmsg``: GnuTLS calls it for each record of 16 KiB, and a question takes 25 to 100 µs. Only datagram sockets can
  send to any address with it, so these get descriptors from `DATAGRAMS` on, and the kernel asks only about those, and
  about TCP Fast Open.

A signal ends the wait for an answer. If its handler does not restart calls (SA_RESTART), the program sees an error that
such a call never has otherwise: lftp's resolver is a child process that ends at that moment, and on a loaded machine
half of lftp's connections failed. So handlers of SIGCHLD restart calls, whatever the program asks for.

This is a guard against setups that lead lftp elsewhere, not against code that attacks it. The harness reads addresses
from the program's memory, which another of its threads may change before the kernel reads them again, and a program
can move its descriptors: so it can hide an attempt, and a datagram that names another interface (IP_PKTINFO) can leave.
It can also trace processes of the same user, and use what other servers of this machine do for their clients. Of these,
name servers on loopback are refused, and so are the sockets in /run, where name services, D-Bus and Docker listen.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import kernel, network_calls, system_calls
from ftps_harness.sandbox.direct import call, libc
from ftps_harness.sandbox.notices import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.sandbox.notices import Notice

Started = TypeVar("Started")

_KEPT = 100
"""Attempts that are kept of one program; more of the same kind prove nothing more."""

_STATUS = re.compile(rb"^NoNewPrivs:\t1\nSeccomp:\t2$", re.MULTILINE)
_ZOMBIE = re.compile(rb"^State:\t[ZX]", re.MULTILINE)
"""Lines of /proc/PID/status (proc(5))."""

_LOOK_SECONDS = 0.1
"""Time between two looks for processes that are left; each takes some milliseconds."""

_START_SECONDS = 0.002
"""Starting a program takes about 1 ms."""

_PROBED = ("192.0.2.1", 9)
"""An address that is nobody's (RFC 5737)."""


class Guard:
    """Guards one program and all that it starts.

    Attributes:
        refused: What they tried to reach outside this machine, a phrase each, in order.
    """

    def __init__(self) -> None:
        self._refused: dict[str, None] = {}
        self._listener: Listener | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._ended = False
        self._look_at: float | None = None
        table = system_calls.table(os.uname().machine)
        self._table = table
        self._names = {number: name for name, number in table.network.items()} if table else {}

    @property
    def refused(self) -> tuple[str, ...]:
        """What they tried to reach outside this machine, a phrase each, in order."""
        return tuple(self._refused)

    def start(self, program: Callable[[], Started]) -> Started:
        """Start a program under guard.

        Args:
            program: Starts it; runs in a thread of its own, which is guarded too.

        Raises:
            HarnessError: The kernel supports no guard.
            OSError: The program does not start.
        """
        started: list[Started] = []
        failed: list[BaseException] = []

        def install_and_start() -> None:
            try:
                self._install()
                started.append(program())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                failed.append(error)

        thread = threading.Thread(target=install_and_start, name="ftps-lab: guard")
        try:
            thread.start()
            while True:
                thread.join(_START_SECONDS)
                self.serve()
                if not thread.is_alive():
                    break
        except BaseException:  # Ctrl-C: the caller would not learn what to end
            self.close()
            if thread.ident is not None:  # it has begun
                thread.join()
            for each in started:
                if isinstance(each, subprocess.Popen):
                    with each:
                        each.kill()
            raise
        if failed:
            raise failed[0]
        return started[0]

    def fileno(self) -> int:
        """A descriptor that becomes readable when `serve` has something to do."""
        assert self._listener is not None
        return self._listener.descriptor

    def serve(self) -> bool:
        """Answer the calls that wait; True once no process is left that could call."""
        if self._listener is None:
            return False
        while state := self._listener.state():
            if not state & select.POLLIN:
                self._ended = True
                break
            if (notice := self._listener.receive()) is not None:
                self._decide(self._listener, notice)
        return self._ended

    def is_over(self) -> bool:
        """Whether no process is left that could call; asked again and again once the program itself has ended."""
        if self.serve():
            return True
        # Before Linux 6.11 a zombie holds its filter, and in some containers nobody reaps the program's orphans.
        now = time.monotonic()
        if self._look_at is None:
            self._look_at = now + _LOOK_SECONDS
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_SECONDS
        return not _guarded_processes()

    def close(self) -> None:
        """Stop answering: a process that is left can use no network any more. Repeatable."""
        with self._closing:
            self._closed = True
            if self._listener is not None:
                self._listener.close()
                self._listener = None

    def _install(self) -> None:
        if self._table is None:
            raise HarnessError(f"the lab does not know the system calls of {os.uname().machine}")
        try:
            kernel.give_no_new_privileges()
            listener = Listener(kernel.listen_to_calls(self._table.seccomp, list(network_calls.rules(self._table))))
        except OSError as error:
            raise HarnessError(f"the kernel permits no filter of system calls: {error.strerror}") from error
        with self._closing:
            if not self._closed:
                self._listener = listener
                return
        listener.close()
        raise HarnessError("interrupted")  # before the program was started: nobody would answer or end it

    def _decide(self, listener: Listener, notice: Notice) -> None:
        name = self._names[notice.call]
        if name == "socket":
            self._give_socket(listener, notice)
            return
        if name == "rt_sigaction":
            with contextlib.suppress(OSError, OverflowError):
                network_calls.restart_calls(notice)
            listener.answer(notice)
            return
        try:
            error, attempts = network_calls.judge(name, notice)
        except (OSError, OverflowError):
            error, attempts = errno.ENETUNREACH, ["an address that the lab could not read"]
        if error and listener.is_waiting(notice):  # otherwise it has ended, and what was read may be another's
            self._record(notice, attempts)
        listener.answer(notice, error)

    def _give_socket(self, listener: Listener, notice: Notice) -> None:
        """Answer with a socket that only the loopback interface can use."""
        family, kind, protocol = (ctypes.c_int(number).value for number in notice.arguments[:3])
        datagrams = kind & network_calls.KINDS == socket.SOCK_DGRAM
        streams = kind & network_calls.KINDS == socket.SOCK_STREAM and protocol in network_calls.STREAM_PROTOCOLS
        if family not in network_calls.INET or not (streams or datagrams):
            self._record(notice, [f"the network by a socket of family {family}, type {kind & network_calls.KINDS}"])
            listener.answer(notice, errno.EPERM)
            return
        try:
            made = call(libc.socket, family, kind | socket.SOCK_CLOEXEC, protocol)
            try:
                call(libc.setsockopt, made, socket.SOL_SOCKET, network_calls.SO_BINDTODEVICE, b"lo\0", 3)
                at = _free_descriptor(notice.process) if datagrams else None
                listener.give(notice, made, at=at, flags=kind & socket.SOCK_CLOEXEC)
            finally:
                libc.close(made)
        except OSError as error:
            if datagrams and error.errno == errno.EBADF:  # its number would be above the process's limit
                self._record(notice, ["the network by a datagram socket"])
            listener.answer(notice, error.errno or errno.EPERM)

    def _record(self, notice: Notice, attempts: list[str]) -> None:
        try:
            program = ascii(Path(f"/proc/{notice.process}/comm").read_text("utf-8", "replace").rstrip("\n"))[1:-1]
        except OSError:
            program = "a program"
        for attempt in attempts:
            if len(self._refused) < _KEPT:
                self._refused[f"{attempt} ({program})"] = None


def _free_descriptor(process: int) -> int:
    """A free number for a datagram socket."""
    return max(network_calls.DATAGRAMS, *(int(name) + 1 for name in os.listdir(f"/proc/{process}/fd")))  # noqa: PTH208 - only names


def _guarded_processes() -> bool:
    """Whether any process of this user runs under a filter and without new privileges, as every guarded one does."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (entry / "status").read_bytes()
            if _STATUS.search(status) and not _ZOMBIE.search(status):
                return True
    return False


@functools.cache
def why_none() -> str:
    """Why programs cannot be guarded here, as the rest of a sentence; empty if they can: it has been tried."""
    if sys.platform != "linux":
        return "only Linux has such filters"
    guard = Guard()
    try:
        error, device = guard.start(_reach_outside)
    except (HarnessError, OSError) as why:
        return f"the kernel does not support it (Linux 5.9 or newer): {why}"
    finally:
        guard.close()
    if error != errno.ENETUNREACH or device != b"lo\0" or not guard.refused:
        return "a connection that it should have refused was not refused"
    return ""


def _reach_outside() -> tuple[int, bytes]:
    """Try to connect; return the error, and the interface of the socket."""
    with socket.socket() as probe:
        probe.setblocking(False)
        return probe.connect_ex(_PROBED), probe.getsockopt(socket.SOL_SOCKET, network_calls.SO_BINDTODEVICE, 16)
