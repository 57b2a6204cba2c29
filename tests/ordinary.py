"""File modes that bind like an ordinary user's, for tests that may run as root."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSION_3 = 0x20080522
_PAST_MODES = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which root reads and writes regardless of the mode."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def without_root_powers() -> Iterator[None]:
    """Make file modes bind this thread and threads that it starts, even as root, but not programs that it starts."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, before, now = _Header(_VERSION_3, 0), (_Sets * 2)(), (_Sets * 2)()
    for sets in (before, now):
        _checked(libc.capget(ctypes.byref(header), sets))
    now[0].effective &= ~_PAST_MODES
    _checked(libc.capset(ctypes.byref(header), now))
    try:
        yield
    finally:
        _checked(libc.capset(ctypes.byref(header), before))


def _checked(code: int) -> None:
    if code != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
