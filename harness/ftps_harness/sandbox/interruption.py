"""Interrupt a program at its n-th change of a file: kill it there, hold it, or let its disk be full from there on.

The same way shows the arguments of everything that it starts, to be searched for what must not stand there.

seccomp(2) hands each system call that may change a file to the first process of the program's PID namespace, which
decides before the kernel carries it out (seccomp_unotify(2), Linux 5.5). No tracer and no library is needed, so it
works for every program of this machine's architecture, static or not. A program for another one (32 bits, x32) is
killed with SIGSYS at its first call: its changes would not be seen.

Writes into memory that a program mapped from a file are not seen, only the mapping itself; and a program that makes a
mount namespace of its own can give files other names. The supervisor imports this before its view of the file system
changes: nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from ftps_harness.sandbox import kernel, memory, system_calls
from ftps_harness.sandbox.changes import HELD, RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.sandbox.system_calls import Place, SystemCall, Table

_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
"""SECCOMP_IOCTL_NOTIF_RECV, _SEND and _ID_VALID (linux/seccomp.h)."""
_NOTICE = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, process, flags; number, architecture, instruction, arguments."""
_ANSWER = struct.Struct("=QqiI")
"""struct seccomp_notif_resp: id, value, error, flags."""
_CONTINUE = 1

_OPENS_TO_CHANGE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PROT_WRITE, _MAP_SHARED = 0x2, 0x1
_MMAP_PROTECTION, _MMAP_FLAGS = 2, 3

_PATH_SIZE = 4096
_PATH_TOLD = 500
"""Characters: a report stays below PIPE_BUF, so it comes whole or not at all."""
_HOLD_SECONDS = 0.01
"""How often a program that is held is looked after."""

_LINKS = 40
"""Symbolic links that the kernel follows before it gives up (path_resolution(7))."""


def listen(*, starts: bool = False) -> int:
    """Have the calling process's changes, and those of its children, handed to whoever gets the returned descriptor.

    It needs `kernel.give_no_capabilities`.

    Args:
        starts: The programs that they start too.

    Raises:
        OSError: The kernel cannot do it, or the numbers of this architecture's calls are not known.
    """
    table = system_calls.table(os.uname().machine)
    if table is None:
        raise OSError(errno.ENOSYS, "cannot watch file changes on this architecture", os.uname().machine)
    return kernel.listen_to_calls(table.seccomp, _rules(table, starts=starts))


def _rules(table: Table, *, starts: bool) -> list[tuple[int, int, int, int]]:
    """The filter: architecture and number of each call, for opening and mapping the flags too."""
    load, equal, any_bit, at_least, end = (
        kernel.BPF_LOAD,
        kernel.BPF_EQUAL,
        kernel.BPF_ANY_BIT,
        kernel.BPF_AT_LEAST,
        kernel.BPF_RETURN,
    )
    rules = [(load, 0, 0, kernel.AT_ARCHITECTURE), (equal, 1, 0, table.architecture), (end, 0, 0, kernel.RET_KILL)]
    rules += [(load, 0, 0, kernel.AT_NUMBER)]
    if table.architecture == system_calls.X86_64:
        rules += [(at_least, 0, 1, kernel.X32), (end, 0, 0, kernel.RET_KILL)]
    for number, call in table.changing.items():
        bits = [(call.flags, _OPENS_TO_CHANGE)] if call.flags is not None else []
        if call.name == "mmap":
            bits = [(_MMAP_PROTECTION, _PROT_WRITE), (_MMAP_FLAGS, _MAP_SHARED)]
        steps: list[tuple[int, int, int, int]] = []
        for argument, mask in bits:
            steps += [(load, 0, 0, kernel.at_argument(argument)), (any_bit, 1, 0, mask), (end, 0, 0, kernel.RET_ALLOW)]
        steps += [(end, 0, 0, kernel.RET_LISTENER)]
        rules += [(equal, 0, len(steps), number), *steps]
    for number in table.starting if starts else ():
        rules += [(equal, 0, 1, number), (end, 0, 0, kernel.RET_LISTENER)]
    for number in table.denied:
        rules += [(equal, 0, 1, number), (end, 0, 0, kernel.RET_ERRNO | errno.ENOSYS)]
    rules += [(equal, 0, 5, table.ioctl), (load, 0, 0, kernel.at_argument(1))]
    for request in system_calls.FILE_CLONE:
        rules += [(equal, 0, 1, request), (end, 0, 0, kernel.RET_ERRNO | errno.EOPNOTSUPP)]
    return [*rules, (end, 0, 0, kernel.RET_ALLOW)]


class Trap:
    """Decides on each change of a program; its two ends are in the program's first process and in its parent.

    Args:
        order: The fields of `changes.Interrupt`, and how many calls to name (``kept``).
        folders: Below these, changes count.
        told: Where the owner reads, a line of JSON for each change.
    """

    def __init__(self, order: dict[str, Any], folders: Sequence[str], told: int) -> None:
        table = system_calls.table(os.uname().machine)
        self._calls = table.changing if table else {}
        self._starting = table.starting if table else {}
        self._sought = [re.compile(os.fsencode(each)) for each in order["sought"]]
        self._found: set[tuple[int, str]] = set()
        self._started = self._unseen = 0
        self._at = order["at"]
        self._how = order["how"]
        self._seconds = order["seconds"]
        self._kept = order["kept"]
        self._folders = folders
        self._told = told
        self._counted = 0
        self._ours, self._theirs = socket.socketpair()
        self._listener = -1
        self._killed = self._interrupted = False

    def enter(self) -> None:
        """In the child, before it executes the program.

        Raises:
            OSError: The kernel cannot do it.
        """
        listener = listen(starts=bool(self._sought))
        socket.send_fds(self._theirs, [b"!"], [listener])
        os.close(listener)

    def serve(self, program: int) -> None:
        """In the parent, until it has no child left; it tells the program's exit code, and what was changed."""
        self._theirs.close()
        with contextlib.closing(self._ours):
            listeners = socket.recv_fds(self._ours, 1, 1)[1]  # none if the child failed before
        awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        poll = select.poll()
        poll.register(awake, select.POLLIN)
        for self._listener in listeners:
            poll.register(self._listener, select.POLLIN)
        while self._reap(program):
            for descriptor, events in poll.poll():
                if descriptor == awake:
                    os.read(awake, 4096)
                elif events & select.POLLIN:
                    self._decide()
                else:
                    poll.unregister(descriptor)  # nobody is left whose calls could come here
        self._tell({"counted": self._counted, "started": self._started, "unseen": self._unseen})

    def _reap(self, program: int) -> bool:
        """Take note of the children that have ended; False if none is left."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if process == 0:
                return True
            if process == program:
                self._tell({"code": os.waitstatus_to_exitcode(status)})

    def _tell(self, said: dict[str, object]) -> None:
        os.write(self._told, json.dumps(said).encode() + b"\n")

    def _decide(self) -> None:
        """Answer one call. One that is gone, because a signal ended it, needs no answer and does not count."""
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, notice)
        except OSError:
            return
        if self._killed:
            return
        number, process, _, which, _, _, *arguments = _NOTICE.unpack(notice)
        if which in self._starting:
            self._search(number, process, arguments[self._starting[which] :])
            self._answer(number, 0)
            return
        call = self._calls[which]
        path = _changed(call, process, arguments, self._folders)
        if path is None:
            self._answer(number, 0)
            return
        reached = self._at is not None and self._counted + 1 >= self._at
        if reached and self._how == "kill":
            if self._is_valid(number):
                self._count(call, path, "killed")
                self._killed = True
                os.kill(-1, signal.SIGKILL)  # all but this process, which is the first of its namespace
            return
        refused = reached and self._how == "full-disk" and _needs_space(call, path)
        held = self._how == "hold" and self._counted + 1 == self._at
        if held:
            self._hold()
        if self._answer(number, errno.ENOSPC if refused else 0):
            self._count(call, path, "refused" if refused else "held" if held else "made")

    def _search(self, number: int, process: int, addresses: Sequence[int]) -> None:
        """Look through the arguments of a program that a process starts.

        Another thread of that process can still change them: who hides something on purpose is not caught.
        """
        self._started += 1
        try:
            program = os.fsdecode(memory.read(process, addresses[0], _PATH_SIZE).split(b"\0", 1)[0])[:_PATH_TOLD]
            words = b"\0".join(memory.arguments(process, addresses[1]))
        except (OSError, OverflowError):
            self._unseen += self._is_valid(number)  # else a signal ended the process: it starts nothing
            return
        for index, pattern in enumerate(self._sought):
            found = index, program
            if found not in self._found and len(self._found) < self._kept and pattern.search(words):
                self._found.add(found)
                self._tell({"sought": index, "program": program})

    def _hold(self) -> None:
        """Wait until the owner lets it go on; nothing else of the program changes a file meanwhile."""
        folder = self._folders[0]
        os.close(os.open(f"{folder}/{HELD}", os.O_WRONLY | os.O_CREAT, 0o600))
        until = time.monotonic() + self._seconds
        while time.monotonic() < until and not os.path.exists(f"{folder}/{RELEASE}"):  # noqa: PTH110 - no pathlib here
            time.sleep(_HOLD_SECONDS)

    def _count(self, call: SystemCall, path: str, effect: str) -> None:
        self._counted += 1
        begins = effect != "made" and not self._interrupted
        self._interrupted |= begins
        if self._counted <= self._kept or begins:
            self._tell({"call": call.name, "path": path[:_PATH_TOLD], "effect": effect})

    def _is_valid(self, number: int) -> bool:
        try:
            fcntl.ioctl(self._listener, _IS_VALID, number.to_bytes(8, "little"))
        except OSError:
            return False
        return True

    def _answer(self, number: int, error: int) -> bool:
        """Let a call fail with an error, or go on without one; False if it is gone."""
        answer = _ANSWER.pack(number, 0, -error, 0 if error else _CONTINUE)
        try:
            fcntl.ioctl(self._listener, _SEND, answer)
        except OSError:
            return False
        return True


def _needs_space(call: SystemCall, path: str) -> bool:
    return call.space == "always" or (call.space == "new" and not os.path.lexists(path))


def _changed(call: SystemCall, process: int, arguments: Sequence[int], folders: Sequence[str]) -> str | None:
    """The path below one of the folders that a call would change; empty if it cannot be read, None if there is none."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(OSError, OverflowError))  # the process is gone, or an address is wrong
        if call.how is not None:
            flags = int.from_bytes(memory.read(process, arguments[call.how], 8), "little")
            if not flags & _OPENS_TO_CHANGE:
                return None
        for place in call.places:
            try:
                for path in _paths(place, process, arguments):
                    if any(path == folder or path.startswith(folder + "/") for folder in folders):
                        return path
            except PermissionError:
                return ""  # a program that hides its memory (PR_SET_DUMPABLE): better one too many than one too few
    return None


def _paths(place: Place, process: int, arguments: Sequence[int]) -> Iterator[str]:
    """What a call may change there: the name itself, then what a symbolic link of that name leads to."""
    folder, name_at = place
    base = f"/proc/{process}/cwd"
    if folder is not None:
        descriptor = arguments[folder] & 0xFFFFFFFF
        if descriptor < 1 << 31:  # else AT_FDCWD, or none at all
            base = f"/proc/{process}/fd/{descriptor}"
    if name_at is None:
        yield os.readlink(base)  # noqa: PTH115 - the text: a pipe has no path
        return
    text = os.fsdecode(memory.read(process, arguments[name_at], _PATH_SIZE).split(b"\0", 1)[0])
    path = text if text.startswith("/") else f"{os.readlink(base)}/{text}"  # noqa: PTH115 - the same
    parent, _, name = path.rstrip("/").rpartition("/")
    if name not in ("", ".", ".."):
        yield f"{_real(process, parent).rstrip('/')}/{name}"
    yield _real(process, path)


def _real(process: int, path: str) -> str:
    """A path without symbolic links, as a process would follow them: /proc/self is its own."""
    real = "/"
    links = 0
    left = path.split("/")[::-1]
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            real = os.path.dirname(real)  # noqa: PTH120 - pathlib costs more than the call
            continue
        step = f"{real.rstrip('/')}/{part}"
        if step in ("/proc/self", "/proc/thread-self"):
            real = f"/proc/{process}"
            continue
        try:
            target = os.readlink(step)  # noqa: PTH115 - the text
        except OSError:
            real = step
            continue
        links += 1
        if links > _LINKS:
            return step
        real = "/" if target.startswith("/") else real
        left += target.split("/")[::-1]
    return real
