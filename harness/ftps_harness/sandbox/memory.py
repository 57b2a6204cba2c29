"""Another process's memory that a system call refers to: bytes, and the arguments of a program it starts.

The supervisor imports this, so it uses only the standard library.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ftps_harness.sandbox.direct import buffer, call, libc

if TYPE_CHECKING:
    from collections.abc import Iterator

_POINTER = 8
"""Size of an address in bytes: both architectures of `system_calls` have 64 bits."""

_BLOCK = 4096
_LONGEST = 1 << 17
"""Maximum size of one argument in bytes (MAX_ARG_STRLEN of execve(2))."""

_MOST = 1 << 18
"""Maximum number of arguments to read; the kernel's own limit is 6 MiB of addresses and text."""


def read(process: int, address: int, size: int) -> bytes:
    """Read up to `size` bytes of a process's memory.

    Raises:
        OSError: The process is gone, or the address is not mapped.
    """
    data = bytearray(size)
    descriptor = call(libc.open, b"/proc/%d/mem" % process, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return bytes(data[: call(libc.pread, descriptor, buffer(data), size, address)])
    finally:
        libc.close(descriptor)


def write(process: int, address: int, data: bytes) -> None:
    """Change a process's memory.

    Raises:
        OSError: The process is gone, or the address is not writable.
    """
    descriptor = os.open(f"/proc/{process}/mem", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, data, address)
    finally:
        os.close(descriptor)


def arguments(process: int, address: int) -> list[bytes]:
    """Read a null-terminated array of string addresses: the arguments of execve(2).

    Raises:
        OSError: The process is gone, or an address is wrong: the kernel refuses such a call too.
    """
    descriptor = os.open(f"/proc/{process}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return [_string(descriptor, each) for each in _addresses(descriptor, address)]
    finally:
        os.close(descriptor)


def _addresses(memory: int, at: int) -> Iterator[int]:
    for number in range(_MOST if at else 0):
        address = int.from_bytes(os.pread(memory, _POINTER, at + number * _POINTER), "little")
        if not address:
            return
        yield address


def _string(memory: int, at: int) -> bytes:
    found = b""
    while len(found) < _LONGEST:
        size = _BLOCK - (at + len(found)) % _BLOCK  # never across a page boundary: the next page may not be mapped
        part, end, _ = os.pread(memory, size, at + len(found)).partition(b"\0")
        found += part
        if end or not part:
            break
    return found
