"""The first process of a sandbox: sets up its namespaces, starts the lab's agent, then runs programs until the end.

It runs as ``python -I -S``, with the standard library and two modules beside it, so that it starts within 30 ms. It is
single-threaded, so it may fork. It is process 1 of its PID namespace: everything inside ends with it, and it ends when
its owner closes the connection or dies.

Each message from the owner is a command byte with descriptors:

* ``R``: run a program. Descriptors: the order (a file with JSON), stdout, stderr, a pipe to report its end, a pipe
  whose end of file requests its end, and a pipe that brings a byte when the program is to start: it is ready by then.
* ``M``: send marks through loopback.
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import os
import select
import signal
import socket
from typing import TYPE_CHECKING, Any, NoReturn

from ftps_harness.sandbox import kernel, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftps_harness.sandbox.interruption import Trap

MARK_PORT = 9
"""Discard (RFC 863): the port for marks; no scenario uses it."""

MARK_SIZE = 65_500
"""Bytes. No two of these fit into one block of the capture's ring (128 KiB), so the second makes the kernel deliver the
first, and everything before it, at once. With 65,000 two did fit, and every other run waited 7 ms for a timer."""

TOKEN_SIZE = 16
"""Secret bytes at the start of each mark: they come in the owner's first message and appear in no command line."""

NAMES_PORT = 53

_DESCRIPTORS = 6

_DEFAULT_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)
"""Python or this module ignores them; programs get their default action."""

ENDED = b'{"ended": true}\n'
"""Line to a program's owner: all its processes have ended."""


def main(control: int, order: dict[str, Any]) -> NoReturn:
    """Set everything up and serve.

    Args:
        control: The socket to the owner.
        order: ``agent`` (the command), ``variables`` (more of its environment), ``streams`` (descriptors for its stdin,
            stdout and stderr), and for `view`: ``folder``, ``visible`` and ``replaced``.
    """
    owner = socket.socket(fileno=control)
    owner.set_inheritable(False)  # it leads out: no program may leave a message in it, or read one
    token = owner.recv(TOKEN_SIZE)  # first of all: closing a socket with unread data discards its last message
    doing = "a private user namespace"
    try:
        leading_out = view.sockets()  # in the new network namespace there is no list of them
        uid, gid = os.getuid(), os.getgid()
        kernel.unshare(kernel.CLONE_NEWUSER)
        kernel.keep_identity(uid, gid)
        doing = "private network, mount, PID and IPC namespaces"
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC)
    except OSError as error:
        _fail(owner, doing, error)
    first = os.fork()
    if first == 0:
        _first_process(owner, order, token, leading_out)
    for descriptor in (control, *order["streams"]):
        os.close(descriptor)
    os.waitpid(first, 0)
    os._exit(0)


def _first_process(owner: socket.socket, order: dict[str, Any], token: bytes, leading_out: list[str]) -> NoReturn:
    doing = "private mounts"
    try:
        kernel.die_with_parent()
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        doing = "a private /proc"
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV)
        doing = "a private loopback"
        kernel.own_every_address()
        doing = "a capture of its loopback"
        capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # the owner binds it once its ring exists
        _start_agent(order)  # the agent sees the real file system
        from ftps_harness.sandbox import interruption  # noqa: F401 - later its file is no longer visible

        doing = "a read-only view of the file system (Linux 5.12 or newer)"
        kernel.unshare(kernel.CLONE_NEWNS)
        view.enter_shared(order["folder"], order["visible"], order["replaced"], leading_out)
        kernel.give_no_capabilities()
        kernel.forbid_meddling()
    except OSError as error:
        _fail(owner, doing, error)
    marks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    marks.bind(("127.0.0.1", MARK_PORT))  # so that no program inside can send marks
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", NAMES_PORT))
    socket.send_fds(owner, [b"{}"], [capture.fileno()])
    capture.close()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # forked processes share these objects' pages
    gc.disable()
    _Supervisor(owner, marks, names, order["visible"], token).serve()


def _fail(owner: socket.socket, doing: str, error: OSError) -> NoReturn:
    owner.send(json.dumps({"doing": doing, "why": error.strerror or str(error)}).encode())
    os._exit(1)


def _start_agent(order: dict[str, Any]) -> None:
    if os.fork() == 0:
        _become(order["agent"], {**os.environ, **order["variables"]}, order["streams"])
    for descriptor in order["streams"]:
        os.close(descriptor)


def _become(argv: list[str], environment: dict[str, str], descriptors: list[int]) -> NoReturn:
    """Replace this process with a program, in a new session."""
    os.setsid()
    for number in _DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - a list, without a shell


class _Program:
    """One running program: the first process of its namespace, and its descriptors."""

    def __init__(self, process: int, watched: int, reports: int, leash: int) -> None:
        self.process = process
        self.watched = watched
        self.reports = reports
        self.leash = leash

    def end(self) -> None:
        """Kill its remaining processes, and report once everything in its namespace has ended."""
        os.kill(self.process, signal.SIGKILL)  # harmless if it has ended already: then it is a zombie
        os.waitpid(self.process, 0)  # returns when the kernel has ended the whole PID namespace
        with contextlib.suppress(BrokenPipeError):  # its first process has already reported this; the owner has left
            os.write(self.reports, ENDED)
        for descriptor in (self.watched, self.reports, self.leash):
            os.close(descriptor)


class _Supervisor:
    """Serves the owner until it closes the connection."""

    def __init__(
        self,
        owner: socket.socket,
        marks: socket.socket,
        names: socket.socket,
        visible: list[str],
        token: bytes,
    ) -> None:
        self._visible = visible
        self._owner = owner
        self._marks = marks
        self._token = token
        self._names = names
        self._marked = 0
        self._poll = select.poll()
        self._poll.register(owner, select.POLLIN)
        self._poll.register(names, select.POLLIN)
        self._programs: dict[int, _Program] = {}

    def serve(self) -> NoReturn:
        """Serve until the owner is gone."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._owner.fileno():
                    self._obey()
                elif descriptor == self._names.fileno():
                    self._deny_name()
                elif descriptor in self._programs:
                    self._end(self._programs[descriptor])

    def _deny_name(self) -> None:
        """Answer every name query with NXDOMAIN: without an answer, lftp repeats the query until its timeout."""
        question, client = self._names.recvfrom(1024)
        if answer := no_such_name(question):
            with contextlib.suppress(OSError):  # the program may have ended
                self._names.sendto(answer, client)

    def _obey(self) -> None:
        size = array.array("i").itemsize
        word, ancillary, _, _ = self._owner.recvmsg(1, socket.CMSG_SPACE(_DESCRIPTORS * size), socket.MSG_CMSG_CLOEXEC)
        found = array.array("i")
        for _level, _kind, data in ancillary:
            found.frombytes(data[: len(data) - len(data) % size])
        if word == b"R" and len(found) == _DESCRIPTORS:
            self._run(*found)
        elif word == b"M":
            self._marked += 1
            for _ in range(2):
                self._marks.sendto(
                    (self._token + self._marked.to_bytes(8, "big")).ljust(MARK_SIZE, b"\0"), ("127.0.0.1", MARK_PORT)
                )
        else:
            os._exit(0)  # everything inside ends with this process

    def _run(self, order: int, out: int, err: int, reports: int, leash: int, start: int) -> None:
        try:
            process, watched = kernel.fork_into(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC)
        except OSError as error:
            os.write(reports, json.dumps({"error": error.strerror, "where": ""}).encode() + b"\n")
            for descriptor in (order, out, err, reports, leash, start):
                os.close(descriptor)
            return
        if process == 0:
            _run_and_report(reports, lambda: _first_of_program(order, out, err, reports, start, self._visible))
        for descriptor in (order, out, err, start):
            os.close(descriptor)
        program = _Program(process, watched, reports, leash)
        for descriptor in (watched, leash):
            self._poll.register(descriptor, select.POLLIN)
            self._programs[descriptor] = program

    def _end(self, program: _Program) -> None:
        for descriptor in (program.watched, program.leash):
            self._poll.unregister(descriptor)
            del self._programs[descriptor]
        program.end()


def no_such_name(query: bytes) -> bytes:
    """Return the NXDOMAIN answer to a query (RFC 1035 section 4.1); empty if it is not a query."""
    end = 12
    while end < len(query) and query[end]:
        end += query[end] + 1
    end += 5  # the root, type and class
    if end > len(query):
        return b""
    return query[:2] + b"\x81\x83" + b"\0\1" + bytes(6) + query[12:end]


def _run_and_report(descriptor: int, work: Callable[[], None]) -> NoReturn:
    """Do the work of a forked process, and report why it failed, if it did."""
    code = 0
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - a forked process must never return into its parent's code
        why = error.strerror or str(error) if isinstance(error, OSError) else repr(error)
        where = error.filename if isinstance(error, OSError) and error.filename else ""
        os.write(descriptor, json.dumps({"error": why, "where": str(where)}).encode() + b"\n")
        code = 1
    os._exit(code)


def _first_of_program(order_file: int, out: int, err: int, reports: int, start: int, visible: list[str]) -> None:
    """Run as the first process of the program's PID namespace: wait for the program and all that it leaves running."""
    with os.fdopen(order_file, "rb") as file:
        order = json.load(file)
    view.enter_own(order["folder"], visible, order["shown"])
    # Read-only: programs that run as root own the kernel settings in it, including those of this machine.
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_RDONLY)
    os.chdir(order["cwd"])
    streams = [os.open(os.devnull, os.O_RDONLY), out, err]
    trap = _trap(order, reports) if order["interrupt"] else None
    if not os.read(start, 1):
        return  # the owner has gone
    os.close(start)
    program = _spawn(order, streams) if trap is None else _fork(order, streams, trap, reports)
    for descriptor in streams:
        os.close(descriptor)
    if trap is None:
        _wait_for_all(program, reports)
    else:
        trap.serve(program)


def _wait_for_all(program: int, reports: int) -> None:
    """Report the program's exit code, then that none of its processes is left.

    The first process of a PID namespace inherits all orphans, so without children it is alone. The report does not wait
    for the end of its namespaces, which takes the kernel another millisecond.
    """
    while True:
        try:
            process, status = os.wait()
        except ChildProcessError:
            os.write(reports, ENDED)
            return
        if process == program:
            code = os.waitstatus_to_exitcode(status)
            os.write(reports, json.dumps({"code": code}).encode() + b"\n")


def _trap(order: dict[str, Any], reports: int) -> Trap:
    from ftps_harness.sandbox.interruption import Trap

    return Trap(order["interrupt"], (view.INSIDE, *order["shown"]), reports)


def _spawn(order: dict[str, Any], streams: list[int]) -> int:
    """Start the program in a new session, without the copy of this process's memory that a fork makes.

    glibc's posix_spawn(3) shares the memory until the program runs. Measured, for `true`: 3 ms less than a fork.
    """
    return os.posix_spawn(
        order["argv"][0],
        order["argv"],
        order["env"],
        file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(streams)],
        setsid=True,
        setsigdef=_DEFAULT_SIGNALS,
    )


def _fork(order: dict[str, Any], streams: list[int], trap: Trap, reports: int) -> int:
    """Start the program with its system calls trapped."""

    def execute() -> None:
        trap.enter()
        _become(order["argv"], order["env"], streams)

    program = os.fork()
    if program == 0:
        _run_and_report(reports, execute)
    return program
