"""What a guard asks about, and how it judges a call: the filter's rules, and the addresses in a call's arguments.

Data and decisions of `guard`, which explains them.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from ftps_harness.sandbox import kernel, memory, system_calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.sandbox.notices import Notice

Rule = tuple[int, int, int, int]
"""An instruction of a filter (`kernel.listen_to_calls`)."""

DATAGRAMS = 100
"""The lowest descriptor of a datagram socket: above what programs usually have open, below every usual limit."""

KINDS = 0xF
"""The part of a socket's type that is not a flag (SOCK_TYPE_MASK of the kernel)."""
STREAM_PROTOCOLS = (0, socket.IPPROTO_TCP, 262)
"""The last one is MPTCP."""
_LOCAL_FAMILIES = (0, socket.AF_UNIX, 16, 38)
"""Unspecified (for `connect`: disconnect; the kernel knows no such socket), AF_UNIX, AF_NETLINK, AF_ALG."""
INET = (socket.AF_INET, socket.AF_INET6)

_SA_RESTART = 0x10000000
_AT_FLAGS = 8
"""The flags' offset in the kernel's struct sigaction, on both architectures."""

_FAST_OPEN = 0x20000000
SO_BINDTODEVICE, _SO_BINDTOIFINDEX = 25, 62
"""On both architectures (asm-generic/socket.h)."""

_ADDRESS_SIZE = 128
"""Bytes of struct sockaddr_storage."""
_HEADER, _ENTRY = 56, 64
"""Bytes of struct msghdr, and of struct mmsghdr."""
_MOST_ENTRIES = 1024
"""Messages that the kernel takes from one sendmmsg(2)."""

_NAME_SERVER = 53
_SERVICES = (b"/run/", b"/var/run/")


def rules(table: system_calls.Table) -> Iterator[Rule]:
    """The filter. It ends programs for another architecture (32 bits, x32), whose calls have other numbers."""
    load, equal, at_least, any_bit, end = (
        kernel.BPF_LOAD,
        kernel.BPF_EQUAL,
        kernel.BPF_AT_LEAST,
        kernel.BPF_ANY_BIT,
        kernel.BPF_RETURN,
    )
    ask, allow, refuse = (
        (end, 0, 0, kernel.RET_LISTENER),
        (end, 0, 0, kernel.RET_ALLOW),
        (end, 0, 0, kernel.RET_ERRNO | errno.EPERM),
    )

    def argument(number: int, *, upper: bool = False) -> Rule:
        return load, 0, 0, kernel.at_argument(number) + 4 * upper

    yield from [(load, 0, 0, kernel.AT_ARCHITECTURE), (equal, 1, 0, table.architecture), (end, 0, 0, kernel.RET_KILL)]
    yield (load, 0, 0, kernel.AT_NUMBER)
    if table.architecture == system_calls.X86_64:
        yield from [(at_least, 0, 1, kernel.X32), (end, 0, 0, kernel.RET_KILL)]
    families = [(equal, len(_LOCAL_FAMILIES) - index, 0, family) for index, family in enumerate(_LOCAL_FAMILIES)]
    to_device = [(equal, 1, 0, SO_BINDTODEVICE), (equal, 0, 1, _SO_BINDTOIFINDEX), refuse, allow]
    for name, steps in {
        "socket": [argument(0), *families, ask, allow],
        "connect": [ask],
        "sendto": [argument(4), (equal, 0, 2, 0), argument(4, upper=True), (equal, 1, 0, 0), ask, allow],
        "sendmsg": [argument(0), (at_least, 2, 0, DATAGRAMS), argument(2), (any_bit, 0, 1, _FAST_OPEN), ask, allow],
        "sendmmsg": [ask],
        "setsockopt": [argument(1), (equal, 1, 0, socket.SOL_SOCKET), allow, argument(2), *to_device],
        "rt_sigaction": [argument(0), (equal, 1, 0, signal.SIGCHLD), allow, argument(1), (equal, 0, 1, 0), allow, ask],
        "io_uring_setup": [(end, 0, 0, kernel.RET_ERRNO | errno.ENOSYS)],  # its calls would be invisible
    }.items():
        yield from [(equal, 0, len(steps), table.network[name]), *steps]
    yield allow


def restart_calls(notice: Notice) -> None:
    """Add SA_RESTART to what the program is about to ask for, in the C library's copy of it."""
    at = notice.arguments[1] + _AT_FLAGS
    flags = int.from_bytes(_read(notice, at, 8), sys.byteorder)
    if not flags & _SA_RESTART:
        memory.write(notice.process, at, (flags | _SA_RESTART).to_bytes(8, sys.byteorder))


def judge(name: str, notice: Notice) -> tuple[int, list[str]]:
    """Return the error for a call, 0 to let it continue, and what it tried to reach.

    Raises:
        OSError: An address cannot be read: the program hides its memory, or Yama protects it because the program has
            outlived its parent (kernel.yama.ptrace_scope=1).
    """
    attempts = []
    for address in _addresses(name, notice):
        if _is_service(address):
            return errno.ENOENT, []
        if attempt := _outside(address, sends=name != "connect"):
            protocol = "udp" if notice.arguments[0] & 0xFFFFFFFF >= DATAGRAMS else "tcp"
            attempts.append(f"{attempt} by {protocol}")
    return (errno.ENETUNREACH if attempts else 0), attempts


def _addresses(name: str, notice: Notice) -> Iterator[bytes]:
    """The addresses in a call's arguments."""
    where = notice.arguments
    if name in ("connect", "sendto"):
        at = 1 if name == "connect" else 4
        yield _read(notice, where[at], min(where[at + 1] & 0xFFFFFFFF, _ADDRESS_SIZE))
        return
    entries = min(where[2] & 0xFFFFFFFF, _MOST_ENTRIES) if name == "sendmmsg" else 1
    for number in range(entries):
        header = _read(notice, where[1] + number * _ENTRY, _HEADER)
        pointer, size = (int.from_bytes(header[at:end], sys.byteorder) for at, end in ((0, 8), (8, 12)))
        if pointer and size:
            yield _read(notice, pointer, min(size, _ADDRESS_SIZE))


def _read(notice: Notice, address: int, size: int) -> bytes:
    data = memory.read(notice.process, address, size) if size else b""
    if len(data) < size:
        raise OSError(errno.EFAULT, "cannot read an address")
    return data


def _outside(address: bytes, *, sends: bool) -> str:
    """Describe a socket's address if it is not on this machine's loopback; empty if it is."""
    family = int.from_bytes(address[:2], sys.byteorder)
    if family == 0 and sends and len(address) >= 16:
        family = socket.AF_INET  # the kernel reads it so (net/ipv4/udp.c, udp_sendmsg)
    if family not in INET:
        return "" if family in _LOCAL_FAMILIES or not address else f"an address of family {family}"
    start, size = (4, 4) if family == socket.AF_INET else (8, 16)
    host, port = address[start : start + size], int.from_bytes(address[2:4], "big")
    if len(host) < size:
        return ""  # the kernel refuses it: EINVAL
    if not _is_loopback(host):
        return f"{socket.inet_ntop(family, host)} port {port}"
    return f"the name server {socket.inet_ntop(family, host)} port {port}" if port == _NAME_SERVER else ""


def _is_loopback(host: bytes) -> bool:
    """Whether an address is loopback's, or the unspecified one, which leads there too."""
    mapped = len(host) == 16 and host[:12] == bytes(10) + b"\xff\xff"
    if len(host) == 4 or mapped:
        return host[-4] == 127 or host[-4:] == bytes(4)
    return host[:15] == bytes(15) and host[15] <= 1


def _is_service(address: bytes) -> bool:
    """Whether a socket's address is that of one of the machine's services, which may use the network for a client."""
    if int.from_bytes(address[:2], sys.byteorder) != socket.AF_UNIX:
        return False
    return os.path.normpath(address[2:].split(b"\0", 1)[0]).startswith(_SERVICES)
