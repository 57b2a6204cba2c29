"""Interrupts a program at its n-th file change: kills it, holds it, or simulates a full disk from then on.

The same mechanism shows the arguments of everything that it starts, to search them for forbidden content.

seccomp(2) passes each system call that may change a file to the first process of the program's PID namespace, which
decides before the kernel carries it out (seccomp_unotify(2), Linux 5.5). This needs no tracer and no library, so it
works for every program of this machine's architecture, static or not. A program for another one (32 bits, x32) is
killed with SIGSYS at its first call, because its changes would be invisible.

Writes to memory-mapped files are invisible, only the mapping itself is seen; and a program that creates its own mount
namespace can make files appear under other names. The supervisor imports this before its view of the file system
changes, so it uses only the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from ftps_harness.sandbox import kernel, memory, system_calls
from ftps_harness.sandbox.changes import HELD, RELEASE
from ftps_harness.sandbox.notices import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.sandbox.notices import Notice
    from ftps_harness.sandbox.system_calls import Place, SystemCall, Table

_OPENS_TO_CHANGE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PROT_WRITE, _MAP_SHARED = 0x2, 0x1
_MMAP_PROTECTION, _MMAP_FLAGS = 2, 3

_PATH_SIZE = 4096
_PATH_REPORTED = 500
"""Characters: keeps a report below PIPE_BUF, so that its write is atomic."""
_HOLD_SECONDS = 0.01
"""Polling interval for a held program."""

_LINKS = 40
"""Symbolic links that the kernel follows before it gives up (path_resolution(7))."""


def listen(*, starts: bool = False) -> int:
    """Report the file changes of the calling process and its children to the holder of the returned descriptor.

    Requires `kernel.give_no_capabilities`.

    Args:
        starts: Also report the programs that they start.

    Raises:
        OSError: The kernel does not support it, or this architecture's call numbers are unknown.
    """
    table = system_calls.table(os.uname().machine)
    if table is None:
        raise OSError(errno.ENOSYS, "cannot watch file changes on this architecture", os.uname().machine)
    return kernel.listen_to_calls(table.seccomp, _rules(table, starts=starts))


def _rules(table: Table, *, starts: bool) -> list[tuple[int, int, int, int]]:
    """The filter: it checks architecture and number of each call, and the flags of opens and mappings."""
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
    """Decides on each change of a program; one end is in the program's first process, the other in its parent.

    Args:
        order: The fields of `changes.Interrupt`, and how many calls to name (``kept``).
        folders: Changes below these count.
        reports: The descriptor for reports to the owner, a line of JSON for each change.
    """

    def __init__(self, order: dict[str, Any], folders: Sequence[str], reports: int) -> None:
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
        self._reports = reports
        self._counted = 0
        self._ours, self._theirs = socket.socketpair()
        self._killed = self._interrupted = False

    def enter(self) -> None:
        """Install the filter; runs in the child, before it executes the program.

        Raises:
            OSError: The kernel does not support it.
        """
        listener = listen(starts=bool(self._sought))
        socket.send_fds(self._theirs, [b"!"], [listener])
        os.close(listener)

    def serve(self, program: int) -> None:
        """Serve in the parent until it has no child left; report the program's exit code and its changes."""
        self._theirs.close()
        with contextlib.closing(self._ours):
            # None if the child failed earlier.
            listeners = {descriptor: Listener(descriptor) for descriptor in socket.recv_fds(self._ours, 1, 1)[1]}
        awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        poll = select.poll()
        poll.register(awake, select.POLLIN)
        for listener in listeners:
            poll.register(listener, select.POLLIN)
        while self._reap(program):
            for descriptor, events in poll.poll():
                if descriptor == awake:
                    os.read(awake, 4096)
                elif events & select.POLLIN:
                    self._decide(listeners[descriptor])
                else:
                    poll.unregister(descriptor)  # no process is left that could send calls
        self._report({"counted": self._counted, "started": self._started, "unseen": self._unseen})

    def _reap(self, program: int) -> bool:
        """Reap the children that have ended; False if none is left."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if process == 0:
                return True
            if process == program:
                self._report({"code": os.waitstatus_to_exitcode(status)})

    def _report(self, said: dict[str, object]) -> None:
        os.write(self._reports, json.dumps(said).encode() + b"\n")

    def _decide(self, listener: Listener) -> None:
        """Answer one call. A call that a signal has ended needs no answer and does not count."""
        notice = listener.receive()
        if notice is None or self._killed:
            return
        if notice.call in self._starting:
            self._search(listener, notice)
            listener.answer(notice)
            return
        call = self._calls[notice.call]
        path = _changed(call, notice.process, notice.arguments, self._folders)
        if path is None:
            listener.answer(notice)
            return
        reached = self._at is not None and self._counted + 1 >= self._at
        if reached and self._how == "kill":
            if listener.is_waiting(notice):
                self._count(call, path, "killed")
                self._killed = True
                os.kill(-1, signal.SIGKILL)  # kills all but this process, the first of its namespace
            return
        refused = reached and self._how == "full-disk" and _needs_space(call, path)
        held = self._how == "hold" and self._counted + 1 == self._at
        if held:
            self._hold()
        if listener.answer(notice, errno.ENOSPC if refused else 0):
            self._count(call, path, "refused" if refused else "held" if held else "made")

    def _search(self, listener: Listener, notice: Notice) -> None:
        """Search the arguments of a program that a process starts.

        Another thread of that process can still change them, so deliberate hiding is not detected.
        """
        self._started += 1
        process, addresses = notice.process, notice.arguments[self._starting[notice.call] :]
        try:
            program = os.fsdecode(memory.read(process, addresses[0], _PATH_SIZE).split(b"\0", 1)[0])[:_PATH_REPORTED]
            words = b"\0".join(memory.arguments(process, addresses[1]))
        except (OSError, OverflowError):
            self._unseen += listener.is_waiting(notice)  # otherwise a signal ended the process, and nothing starts
            return
        for index, pattern in enumerate(self._sought):
            found = index, program
            if found not in self._found and len(self._found) < self._kept and pattern.search(words):
                self._found.add(found)
                self._report({"sought": index, "program": program})

    def _hold(self) -> None:
        """Wait until the owner releases the change; the program's other file changes wait too."""
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
            self._report({"call": call.name, "path": path[:_PATH_REPORTED], "effect": effect})


def _needs_space(call: SystemCall, path: str) -> bool:
    return call.space == "always" or (call.space == "new" and not os.path.lexists(path))


def _changed(call: SystemCall, process: int, arguments: Sequence[int], folders: Sequence[str]) -> str | None:
    """The path below one of the folders that a call would change; empty if unreadable, None if it changes none."""
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
                return ""  # the program hides its memory (PR_SET_DUMPABLE): rather count one too many
    return None


def _paths(place: Place, process: int, arguments: Sequence[int]) -> Iterator[str]:
    """The paths that a call may change: the name itself, then the target of a symbolic link of that name."""
    folder, name_at = place
    base = f"/proc/{process}/cwd"
    if folder is not None:
        descriptor = arguments[folder] & 0xFFFFFFFF
        if descriptor < 1 << 31:  # otherwise AT_FDCWD or no descriptor
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
    """Resolve symbolic links as the process would: /proc/self is its own."""
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
