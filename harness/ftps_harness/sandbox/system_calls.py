"""The Linux system calls that change a file, start a program or use the network: their numbers and arguments.

Data for `interruption` and `guard`. The supervisor imports it, so it uses only a small part of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

X86_64, AARCH64 = 0xC000003E, 0xC00000B7
"""Architectures (linux/audit.h)."""

_MACHINES = {"x86_64": X86_64, "aarch64": AARCH64}

FILE_CLONE = 0x40049409, 0x4020940D
"""FICLONE and FICLONERANGE (ioctl_ficlonerange(2))."""


Place = tuple[int | None, int | None]
"""How a call identifies a file: the argument with the descriptor of the file or of the folder that the path is relative
to (None for the working directory), and the argument with the path's address (None if the descriptor is the file)."""


class SystemCall:
    """One system call.

    Attributes:
        places: The arguments that identify the files that it changes.
        space: Whether a full disk refuses it: always, if it creates something (`new`), or never.
        flags: The argument with the flags of an open; None for other calls.
        how: The argument with the address of such flags (openat2(2)); None for other calls.
    """

    __slots__ = ("flags", "how", "name", "places", "space")

    def __init__(
        self,
        name: str,
        places: tuple[Place, ...],
        space: Literal["always", "new", "never"],
        flags: int | None = None,
        how: int | None = None,
    ) -> None:
        self.name = name
        self.places = places
        self.space = space
        self.flags = flags
        self.how = how


def _file(number: int) -> tuple[Place, ...]:
    return ((number, None),)


def _path(number: int) -> tuple[Place, ...]:
    return ((None, number),)


def _at(folder: int) -> tuple[Place, ...]:
    return ((folder, folder + 1),)


_ROWS: tuple[tuple[int | None, int | None, SystemCall], ...] = (
    (1, 64, SystemCall("write", _file(0), "always")),
    (18, 68, SystemCall("pwrite64", _file(0), "always")),
    (20, 66, SystemCall("writev", _file(0), "always")),
    (296, 70, SystemCall("pwritev", _file(0), "always")),
    (328, 287, SystemCall("pwritev2", _file(0), "always")),
    (40, 71, SystemCall("sendfile", _file(0), "always")),
    (326, 285, SystemCall("copy_file_range", _file(2), "always")),
    (275, 76, SystemCall("splice", _file(2), "always")),
    (9, 222, SystemCall("mmap", _file(4), "always")),
    (285, 47, SystemCall("fallocate", _file(0), "always")),
    (77, 46, SystemCall("ftruncate", _file(0), "never")),
    (76, 45, SystemCall("truncate", _path(0), "never")),
    (2, None, SystemCall("open", _path(0), "new", flags=1)),
    (85, None, SystemCall("creat", _path(0), "new")),
    (257, 56, SystemCall("openat", _at(0), "new", flags=2)),
    (437, 437, SystemCall("openat2", _at(0), "new", how=2)),
    (133, None, SystemCall("mknod", _path(0), "new")),
    (259, 33, SystemCall("mknodat", _at(0), "new")),
    (83, None, SystemCall("mkdir", _path(0), "new")),
    (258, 34, SystemCall("mkdirat", _at(0), "new")),
    (86, None, SystemCall("link", _path(1), "new")),
    (265, 37, SystemCall("linkat", _at(2), "new")),
    (88, None, SystemCall("symlink", _path(1), "new")),
    (266, 36, SystemCall("symlinkat", _at(1), "new")),
    (82, None, SystemCall("rename", (*_path(1), *_path(0)), "always")),
    (264, 38, SystemCall("renameat", (*_at(2), *_at(0)), "always")),
    (316, 276, SystemCall("renameat2", (*_at(2), *_at(0)), "always")),
    (87, None, SystemCall("unlink", _path(0), "never")),
    (263, 35, SystemCall("unlinkat", _at(0), "never")),
    (84, None, SystemCall("rmdir", _path(0), "never")),
    (90, None, SystemCall("chmod", _path(0), "never")),
    (91, 52, SystemCall("fchmod", _file(0), "never")),
    (268, 53, SystemCall("fchmodat", _at(0), "never")),
    (452, 452, SystemCall("fchmodat2", _at(0), "never")),
    (92, None, SystemCall("chown", _path(0), "never")),
    (94, None, SystemCall("lchown", _path(0), "never")),
    (93, 55, SystemCall("fchown", _file(0), "never")),
    (260, 54, SystemCall("fchownat", _at(0), "never")),
    (188, 5, SystemCall("setxattr", _path(0), "always")),
    (189, 6, SystemCall("lsetxattr", _path(0), "always")),
    (190, 7, SystemCall("fsetxattr", _file(0), "always")),
    (463, 463, SystemCall("setxattrat", _at(0), "always")),
    (197, 14, SystemCall("removexattr", _path(0), "never")),
    (198, 15, SystemCall("lremovexattr", _path(0), "never")),
    (199, 16, SystemCall("fremovexattr", _file(0), "never")),
    (466, 466, SystemCall("removexattrat", _at(0), "never")),
)
"""Numbers on x86-64 and aarch64 (asm/unistd_64.h, asm-generic/unistd.h), and the call."""

_STARTING: tuple[tuple[int, int, int], ...] = ((59, 221, 0), (322, 281, 1))
"""execve and execveat: their numbers there, and the argument with the address of the program's path; the next argument
is the address of the program's arguments."""


_NETWORK = {
    "socket": (41, 198),
    "connect": (42, 203),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "setsockopt": (54, 208),
    "io_uring_setup": (425, 425),
    "rt_sigaction": (13, 134),
}
"""Calls that use the network, and the one that says what a signal does to them: their numbers there."""


class Table:
    """The calls of one machine.

    Attributes:
        architecture: As the kernel reports it to a filter.
        changing: Number → the call.
        starting: Number of a call that starts a program → the argument with the address of its path; the next
            argument is the address of the program's arguments.
        denied: Numbers of io_setup and io_uring_setup, which can change files without a further call.
        ioctl: Its number.
        network: Name of a call that uses the network → its number.
        seccomp: The number of seccomp(2).
    """

    def __init__(self, architecture: int) -> None:
        on_x86 = architecture == X86_64
        numbered = ((row[0] if on_x86 else row[1], row[2]) for row in _ROWS)
        self.architecture = architecture
        self.changing = {number: call for number, call in numbered if number is not None}
        self.starting = {row[0] if on_x86 else row[1]: row[2] for row in _STARTING}
        self.denied = (206 if on_x86 else 0, 425)
        self.ioctl = 16 if on_x86 else 29
        self.network = {name: numbers[0 if on_x86 else 1] for name, numbers in _NETWORK.items()}
        self.seccomp = 317 if on_x86 else 277


def table(machine: str) -> Table | None:
    """Return the calls of a machine as uname(2) names it; None if its numbers are not listed here."""
    architecture = _MACHINES.get(machine)
    return None if architecture is None else Table(architecture)
