"""Calls of the C library that keep Python's lock: answers to programs that wait.

Python's own functions release the lock for each system call, and a thread that takes it may keep it for 5 ms: with
servers in the same process, an answer that takes 20 µs took 200. The supervisor imports this.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

libc = ctypes.PyDLL(None, use_errno=True)
"""The C library. Only for calls that do not wait."""

libc.ioctl.argtypes = ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p
libc.poll.argtypes = ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int
libc.open.argtypes = ctypes.c_char_p, ctypes.c_int
libc.pread.argtypes = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
libc.pread.restype = ctypes.c_ssize_t
libc.setsockopt.argtypes = ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint


def buffer(data: bytearray) -> ctypes.Array[ctypes.c_char]:
    """The memory of `data`, for functions that write to it."""
    return (ctypes.c_char * len(data)).from_buffer(data)


def call(function: Callable[..., int], *arguments: object) -> int:
    """Call a function of `libc`.

    Raises:
        OSError: It failed.
    """
    result = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
