"""The first process of a sandbox: sets its namespaces up, starts the lab's agent, then starts programs until the end.

It runs as ``python -I -S``, with the standard library and two modules beside it, so that it is there within 30 ms. It
is single-threaded, so it may fork. It is process 1 of its PID namespace: whatever runs inside ends with it, and it ends
when its owner closes the connection to it, also by dying.

Each message from the owner is a byte that says what to do, with descriptors:

* ``R``: run a program. Descriptors: the order (a file with JSON), stdout, stderr, where its end is told, and a pipe
  whose end of file asks for its end.
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
"""Discard (RFC 863): where marks go, and nothing of a scenario does."""

MARK_SIZE = 65_500
"""Bytes. No two of these fit into one block of the capture's ring (128 KiB): with the second, the first is handed over
at once, and all that came before it. With 65,000 they did fit, and every other run waited 7 ms for a timer."""

TOKEN_SIZE = 16
"""Bytes at the beginning of each mark that nobody inside knows: the owner's first message, and in no command line."""

NAMES_PORT = 53

_DESCRIPTORS = 5


def main(control: int, order: dict[str, Any]) -> NoReturn:
    """Set everything up and serve.

    Args:
        control: The socket to the owner.
        order: ``agent`` (the command), ``variables`` (more of its environment), ``streams`` (descriptors for its stdin,
            stdout and stderr), and for `view`: ``folder``, ``visible`` and ``replaced``.
    """
    owner = socket.socket(fileno=control)
    token = owner.recv(
        TOKEN_SIZE
    )  # first of all: a socket that is closed with something unread takes its last word along
    doing = "a private user namespace"
    try:
        uid, gid = os.getuid(), os.getgid()
        kernel.unshare(kernel.CLONE_NEWUSER)
        kernel.keep_identity(uid, gid)
        doing = "private network, mount, PID and IPC namespaces"
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC)
    except OSError as error:
        _fail(owner, doing, error)
    first = os.fork()
    if first == 0:
        _first_process(owner, order, token)
    for descriptor in (control, *order["streams"]):
        os.close(descriptor)
    os.waitpid(first, 0)
    os._exit(0)


def _first_process(owner: socket.socket, order: dict[str, Any], token: bytes) -> NoReturn:
    doing = "private mounts"
    try:
        kernel.die_with_parent()
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        doing = "a private /proc"
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV)
        doing = "a private loopback"
        kernel.own_every_address()
        doing = "a capture of its loopback"
        capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # bound by its owner, when its ring is there
        _start_agent(order)  # which sees the file system as it is
        from ftps_harness.sandbox import interruption  # noqa: F401 - its file is not visible once a program asks for it

        doing = "a read-only view of the file system (Linux 5.12 or newer)"
        kernel.unshare(kernel.CLONE_NEWNS)
        view.enter_shared(order["folder"], order["visible"], order["replaced"])
        kernel.give_no_capabilities()
        kernel.forbid_meddling()
    except OSError as error:
        _fail(owner, doing, error)
    marks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    marks.bind(("127.0.0.1", MARK_PORT))  # so that nobody else can send any
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
    """Replace this process by a program, in a session of its own."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - a list, and no shell


class _Program:
    """One program that runs: its namespace's first process, and the descriptors that belong to it."""

    def __init__(self, process: int, watched: int, told: int, leash: int) -> None:
        self.process = process
        self.watched = watched
        self.told = told
        self.leash = leash

    def end(self) -> None:
        """Kill what is left of it, and tell its owner when everything in its namespace has ended."""
        os.kill(self.process, signal.SIGKILL)  # what has ended already is a zombie, which that does not harm
        os.waitpid(self.process, 0)  # returns when the kernel has ended the whole PID namespace
        os.write(self.told, b'{"ended": true}\n')
        for descriptor in (self.watched, self.told, self.leash):
            os.close(descriptor)


class _Supervisor:
    """Serves the owner until he closes the connection."""

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
        """Until the owner is gone."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._owner.fileno():
                    self._obey()
                elif descriptor == self._names.fileno():
                    self._deny_name()
                elif descriptor in self._programs:
                    self._end(self._programs[descriptor])

    def _deny_name(self) -> None:
        """Whoever asks for a name is told that there is none: without an answer, lftp asks until its time is over."""
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

    def _run(self, order: int, out: int, err: int, told: int, leash: int) -> None:
        try:
            process, watched = kernel.fork_into(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC)
        except OSError as error:
            os.write(told, json.dumps({"error": error.strerror, "where": ""}).encode() + b"\n")
            for descriptor in (order, out, err, told, leash):
                os.close(descriptor)
            return
        if process == 0:
            _tell(told, lambda: _first_of_program(order, out, err, told, self._visible))
        for descriptor in (order, out, err):
            os.close(descriptor)
        program = _Program(process, watched, told, leash)
        for descriptor in (watched, leash):
            self._poll.register(descriptor, select.POLLIN)
            self._programs[descriptor] = program

    def _end(self, program: _Program) -> None:
        for descriptor in (program.watched, program.leash):
            self._poll.unregister(descriptor)
            del self._programs[descriptor]
        program.end()


def no_such_name(query: bytes) -> bytes:
    """The answer NXDOMAIN to a query (RFC 1035 section 4.1); empty if it is none."""
    end = 12
    while end < len(query) and query[end]:
        end += query[end] + 1
    end += 5  # the root, type and class
    if end > len(query):
        return b""
    return query[:2] + b"\x81\x83" + b"\0\1" + bytes(6) + query[12:end]


def _tell(descriptor: int, work: Callable[[], None]) -> NoReturn:
    """Do the work of a forked process, and tell what kept it from being done."""
    code = 0
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - a forked process must never return into its parent's code
        why = error.strerror or str(error) if isinstance(error, OSError) else repr(error)
        where = error.filename if isinstance(error, OSError) and error.filename else ""
        os.write(descriptor, json.dumps({"error": why, "where": str(where)}).encode() + b"\n")
        code = 1
    os._exit(code)


def _first_of_program(order_file: int, out: int, err: int, told: int, visible: list[str]) -> None:
    """The first process of the program's PID namespace: wait for the program and for all that it leaves behind."""
    with os.fdopen(order_file, "rb") as file:
        order = json.load(file)
    view.enter_own(order["folder"], visible, order["shown"])
    # Read-only: what runs as root owns the kernel's settings in it, those of this machine too.
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_RDONLY)
    trap = _trap(order, told) if order["interrupt"] else None
    program = os.fork()
    if program == 0:
        _tell(told, lambda: _execute(order, out, err, trap))
    os.close(out)
    os.close(err)
    if trap is not None:
        trap.serve(program)
        return
    while True:
        try:
            process, status = os.wait()
        except ChildProcessError:
            return
        if process == program:
            code = os.waitstatus_to_exitcode(status)
            os.write(told, json.dumps({"code": code}).encode() + b"\n")


def _trap(order: dict[str, Any], told: int) -> Trap:
    from ftps_harness.sandbox.interruption import Trap

    return Trap(order["interrupt"], (view.INSIDE, *order["shown"]), told)


def _execute(order: dict[str, Any], out: int, err: int, trap: Trap | None) -> None:
    os.chdir(order["cwd"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    if trap is not None:
        trap.enter()
    _become(order["argv"], order["env"], [nothing, out, err])
