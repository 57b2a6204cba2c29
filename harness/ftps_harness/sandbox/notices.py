"""Receives and answers system calls that a seccomp filter hands to a listener (seccomp_unotify(2), Linux 5.5).

The supervisor imports this, so it uses only the standard library.
"""

from __future__ import annotations

import errno
import os
import select
import struct
from typing import NamedTuple

from ftps_harness.sandbox.direct import buffer, call, libc

_RECEIVE, _SEND, _IS_VALID, _GIVE = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
"""SECCOMP_IOCTL_NOTIF_RECV, _SEND, _ID_VALID and _ADDFD (linux/seccomp.h)."""
_NOTICE = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, process, flags; number, architecture, instruction, arguments."""
_ANSWER = struct.Struct("=QqiI")
"""struct seccomp_notif_resp: id, value, error, flags."""
_GIFT = struct.Struct("=QIIII")
"""struct seccomp_notif_addfd: id, flags, our descriptor, its number there, its flags there."""
_CONTINUE, _AT_NUMBER, _AND_ANSWER = 1, 1, 2
_POLLED = struct.Struct("=ihh")
"""struct pollfd: descriptor, wanted, found."""


class Notice(NamedTuple):
    """One call that waits for an answer.

    Attributes:
        id: The kernel's name for it.
        process: The thread that called, as this process's PID namespace numbers it.
        call: The number of the system call.
        arguments: Its six arguments, unsigned.
    """

    id: int
    process: int
    call: int
    arguments: tuple[int, ...]


class Listener:
    """The listening end of a filter.

    Attributes:
        descriptor: Becomes readable when a call waits, and hangs up when no process is left that could call.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor."""
        return self.descriptor

    def close(self) -> None:
        """Stop listening: from now on, every such call fails with ENOSYS."""
        os.close(self.descriptor)

    def state(self) -> int:
        """``POLLIN`` if a call waits, ``POLLHUP`` if no process is left that could call (Linux 5.9), otherwise 0."""
        polled = bytearray(_POLLED.pack(self.descriptor, select.POLLIN, 0))
        call(libc.poll, buffer(polled), 1, 0)
        found: int = _POLLED.unpack(polled)[2]
        return found

    def receive(self) -> Notice | None:
        """Return the next call; None if a signal has ended it meanwhile."""
        notice = bytearray(_NOTICE.size)
        try:
            call(libc.ioctl, self.descriptor, _RECEIVE, buffer(notice))
        except OSError:
            return None
        number, process, _, which, _, _, *arguments = _NOTICE.unpack(notice)
        return Notice(number, process, which, tuple(arguments))

    def is_waiting(self, notice: Notice) -> bool:
        """Whether a call still waits: what was read from its process meanwhile is really that process's."""
        return self._tell(_IS_VALID, notice.id.to_bytes(8, "little"))

    def answer(self, notice: Notice, error: int = 0) -> bool:
        """Make a call fail with an error, or let the kernel carry it out if that is 0; False if the call is gone."""
        return self._tell(_SEND, _ANSWER.pack(notice.id, 0, -error, 0 if error else _CONTINUE))

    def give(self, notice: Notice, descriptor: int, *, at: int | None, flags: int) -> None:
        """Answer a call with a copy of our descriptor (Linux 5.9).

        Args:
            notice: The call.
            descriptor: Ours.
            at: Its number in the process; None for the lowest free one.
            flags: ``O_CLOEXEC`` or 0.

        Raises:
            OSError: The process cannot have it; the call still waits.
        """
        where = 0 if at is None else _AT_NUMBER
        try:
            self._give(notice, where | _AND_ANSWER, descriptor, at or 0, flags)
        except OSError as refusal:
            if refusal.errno != errno.EINVAL:
                raise
            number = self._give(notice, where, descriptor, at or 0, flags)  # before Linux 5.14, in two steps
            self._tell(_SEND, _ANSWER.pack(notice.id, number, 0, 0))

    def _give(self, notice: Notice, how: int, descriptor: int, at: int, flags: int) -> int:
        gift = bytearray(_GIFT.pack(notice.id, how, descriptor, at, flags))
        return call(libc.ioctl, self.descriptor, _GIVE, buffer(gift))

    def _tell(self, request: int, data: bytes) -> bool:
        try:
            call(libc.ioctl, self.descriptor, request, data)
        except OSError:
            return False
        return True
