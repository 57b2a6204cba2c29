"""The system calls that Python 3.11 lacks: namespaces, mounts, capabilities, and a loopback that owns every address.

Linux only. Uses only the standard library, because the supervisor imports it and must be ready within 25 ms.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x2, 0x4, 0x1000, 0x4000, 0x40000

_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS = 1, 28, 38
_SECBIT_NOROOT, _SECBIT_NOROOT_LOCKED = 0x1, 0x2
_CLONE_PIDFD = 0x1000
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY = 0x1
_SYS_CLONE3, _SYS_MOUNT_SETATTR = 435, 442
"""The same numbers on every architecture (Linux 5.3, clone3(2); Linux 5.12, mount_setattr(2))."""

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_RTM_NEWADDR, _IFA_ADDRESS, _IFA_LOCAL, _IFA_F_NODAD = 20, 1, 2, 0x02
_RTM_NEWROUTE, _NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE = 24, 0x1, 0x4, 0x400
_RT_TABLE_LOCAL, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, _RTA_OIF = 255, 3, 254, 2, 4

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_SECCOMP_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 0x8, 0x20
RET_KILL, RET_LISTENER, RET_ALLOW, RET_ERRNO = 0x80000000, 0x7FC00000, 0x7FFF0000, 0x00050000
"""Return values of a seccomp filter: kill the process, ask the listener, allow, or an error (SECCOMP_RET_*)."""
BPF_LOAD, BPF_AND, BPF_EQUAL, BPF_AT_LEAST, BPF_ANY_BIT, BPF_RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
AT_NUMBER, AT_ARCHITECTURE = 0, 4
"""Offsets of the call's number and architecture for a seccomp filter (seccomp(2), struct seccomp_data)."""

X32 = 0x40000000
"""The bit that selects the x32 system calls in an x86-64 program."""

_FORBIDDEN = {
    0xC000003E: (101, 311, 438, 425, 76, 248, 249, 250, 521, 540),  # x86-64; the last two are the first two's in x32
    0x40000003: (26, 348, 438, 425, 92, 193, 286, 287, 288),  # i386
    0xC00000B7: (117, 271, 438, 425, 45, 217, 218, 219),  # aarch64
}
"""Architecture (linux/audit.h) → its numbers of ptrace, process_vm_writev, pidfd_getfd, io_uring_setup (which can open
sockets without a further call), truncate (and truncate64), add_key, request_key, keyctl."""

_SOCKET = {0xC000003E: 41, 0x40000003: 359, 0xC00000B7: 198}
"""The number of socket(2) there. Old i386 programs use socketcall(2) instead, whose arguments a filter cannot read."""

_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. Network namespaces do not confine every other family: a virtual machine's
AF_VSOCK leads to its host."""

GLOBAL = "2001:db8::1"
"""One IPv6 address (RFC 3849) that is not loopback's own: without one, lftp reports that IPv6 is not configured and
does not even try ::1 (measured: 4.9.2)."""

GLOBAL_IPV4 = "192.0.2.1"
"""The same for IPv4 (RFC 5737): without it, programs that resolve with AI_ADDRCONFIG find no IPv4 address
(getaddrinfo(3) ignores loopback's own; measured: `openssl s_client -connect NAME:21`, OpenSSL 3.0.22)."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Move this process to new namespaces (unshare(2)).

    Raises:
        OSError: The kernel does not permit it.
    """
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system, or bind part of one (mount(2)).

    Raises:
        OSError: The kernel refuses; `filename` names the target.
    """
    strings = [value.encode("utf-8", "surrogateescape") or None for value in (source, target, kind, data)]
    _check(_libc.mount(strings[0], strings[1], strings[2], flags, strings[3]), f"mount {target}")


def set_read_only(path: str, *, read_only: bool, recursive: bool = False) -> None:
    """Make a mount read-only or writable, with all mounts below it if `recursive` (mount_setattr(2), Linux 5.12).

    Raises:
        OSError: The kernel refuses, or is older.
    """
    set_, clear = (_MOUNT_ATTR_RDONLY, 0) if read_only else (0, _MOUNT_ATTR_RDONLY)
    attributes = struct.pack("=QQQQ", set_, clear, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    number = ctypes.c_long(_SYS_MOUNT_SETATTR)
    where = path.encode("utf-8", "surrogateescape")
    size = ctypes.c_size_t(len(attributes))
    _check(_libc.syscall(number, _AT_FDCWD, where, flags, attributes, size), f"mount_setattr {path}")


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent thread ends (PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl")


def give_no_capabilities() -> None:
    """From here on, no program that this process or its children execute has a capability, whatever its user.

    SECBIT_NOROOT stops execve(2) from giving root capabilities, and no_new_privs stops files from giving any.
    """
    _check(_libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NOROOT | _SECBIT_NOROOT_LOCKED, 0, 0, 0), "prctl")
    give_no_new_privileges()


def give_no_new_privileges() -> None:
    """From here on, no program that this thread or its children execute gets more rights than they have.

    A filter of system calls requires it, unless root installs it (seccomp(2)).
    """
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def forbid_meddling() -> None:
    """From here on, this process and its children cannot change other processes, or truncate files that are not open.

    So only lftp can write to its memory, or to its log without a visible open, and no program can leave a trace in a
    keyring, or open a socket that no network namespace confines. Requires `give_no_capabilities`. On architectures that
    are not in `_FORBIDDEN`, nothing is forbidden.

    Raises:
        OSError: The kernel does not support filters.
    """
    program = [(BPF_LOAD, 0, 0, AT_ARCHITECTURE)]
    for architecture, numbers in _FORBIDDEN.items():
        rules = [(BPF_LOAD, 0, 0, AT_NUMBER), (BPF_AND, 0, 0, ~X32 & 0xFFFFFFFF)]
        for number in numbers:
            rules += [(BPF_EQUAL, 0, 1, number), (BPF_RETURN, 0, 0, RET_ERRNO | errno.EPERM)]
        rules += [(BPF_EQUAL, 1, 0, _SOCKET[architecture]), (BPF_RETURN, 0, 0, RET_ALLOW)]
        rules += [(BPF_LOAD, 0, 0, at_argument(0))]
        rules += [(BPF_EQUAL, len(_FAMILIES) - index, 0, family) for index, family in enumerate(_FAMILIES)]
        rules += [(BPF_RETURN, 0, 0, RET_ERRNO | errno.EAFNOSUPPORT), (BPF_RETURN, 0, 0, RET_ALLOW)]
        program += [(BPF_EQUAL, 0, len(rules), architecture), *rules]
    program += [(BPF_RETURN, 0, 0, RET_ALLOW)]
    code = _code(program)
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _pointer(code), 0, 0), "prctl")


def _code(program: Sequence[tuple[int, int, int, int]]) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))


def _pointer(code: ctypes.Array[ctypes.c_char]) -> ctypes.Array[ctypes.c_char]:
    """A pointer to a filter (struct sock_fprog); its code must live as long as the pointer."""
    return ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(code)))


def at_argument(number: int) -> int:
    """The offset of the lower half of a call's argument for a seccomp filter; arguments are counted from 0."""
    return 16 + 8 * number


def listen_to_calls(seccomp: int, program: Sequence[tuple[int, int, int, int]]) -> int:
    """Filter the system calls of this thread and its children; return a descriptor that receives some of them.

    Args:
        seccomp: The number of seccomp(2) on this architecture.
        program: The filter: code, two jumps and a value for each instruction.

    Raises:
        OSError: The kernel refuses, or is older than 5.0.
    """
    code = _code(program)
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):  # before Linux 5.19 signals may repeat a request
        arguments = ctypes.c_long(seccomp), _SECCOMP_SET_MODE_FILTER, ctypes.c_ulong(flags), _pointer(code)
        descriptor = _libc.syscall(*arguments)
        if descriptor >= 0 or ctypes.get_errno() != errno.EINVAL:
            break
    _check(descriptor, "seccomp")
    return int(descriptor)


def fork_into(flags: int) -> tuple[int, int]:
    """Fork a child that is in new namespaces from its first instruction (clone3(2), Linux 5.3).

    Only for single-threaded processes: this skips the fork handlers of Python and the C library.

    Args:
        flags: The namespaces to create.

    Returns:
        The child's pid and its pidfd (pidfd_open(2)); 0 and -1 in the child.

    Raises:
        OSError: The kernel refuses.
    """
    descriptor = ctypes.c_int(-1)
    arguments = struct.pack("=11Q", flags | _CLONE_PIDFD, ctypes.addressof(descriptor), 0, 0, signal.SIGCHLD, *[0] * 6)
    size = ctypes.c_size_t(len(arguments))
    process = _libc.syscall(ctypes.c_long(_SYS_CLONE3), arguments, size)
    _check(process, "clone3")
    return process, descriptor.value


def keep_identity(uid: int, gid: int) -> None:
    """Keep our user and group in a new user namespace, so that files keep their owner (user_namespaces(7)).

    Args:
        uid: The user's number outside.
        gid: The group's number outside.
    """
    Path("/proc/self/setgroups").write_text("deny", "ascii")  # required before an ordinary user may write gid_map
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", "ascii")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", "ascii")


def own_every_address() -> None:
    """Bring loopback up, and let every IPv4 and IPv6 address lead to it.

    A new network namespace has no other interface, so without these routes other addresses would be "unreachable"
    before any packet of the attempt exists. With them (the kernel's "AnyIP": a local route for everything) an address
    belongs to the lab if a server listens on it; otherwise the connection is refused, and the attempt shows on the
    wire.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", _ioctl(control, _SIOCGIFFLAGS, request))[1]
        _ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))
    _write_setting("net/ipv4/ip_unprivileged_port_start", "0")
    _route(socket.AF_INET)
    _address(socket.AF_INET, GLOBAL_IPV4)
    for name in ("net/ipv6/conf/all/disable_ipv6", "net/ipv6/conf/lo/disable_ipv6"):
        _write_setting(name, "0")
    if Path("/proc/sys/net/ipv6").is_dir():
        _write_setting("net/ipv6/ip_nonlocal_bind", "1")
        _route(socket.AF_INET6)
        _address(socket.AF_INET6, GLOBAL)


def _ioctl(sock: socket.socket, request: int, argument: bytes) -> bytes:
    import fcntl

    return fcntl.ioctl(sock, request, argument)


def _write_setting(name: str, value: str) -> None:
    """Write a setting of the network namespace; settings that this kernel lacks are skipped."""
    path = Path("/proc/sys") / name
    if path.exists():
        path.write_text(value, "ascii")


def _route(family: int) -> None:
    """Add the route ``local default dev lo`` (rtnetlink(7))."""
    index = struct.pack("HHi", 8, _RTA_OIF, socket.if_nametoindex("lo"))
    route = struct.pack("BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_LOCAL, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, 0)
    _netlink(_RTM_NEWROUTE, route + index)


def _address(family: int, address: str) -> None:
    """Add an address to loopback."""
    packed = socket.inet_pton(family, address)
    header = struct.pack("BBBBi", family, 8 * len(packed), _IFA_F_NODAD, 0, socket.if_nametoindex("lo"))
    attributes = (struct.pack("HH", 4 + len(packed), kind) + packed for kind in (_IFA_ADDRESS, _IFA_LOCAL))
    _netlink(_RTM_NEWADDR, header + b"".join(attributes))


def _netlink(message: int, body: bytes) -> None:
    header = struct.pack("IHHII", 16 + len(body), message, _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.sendall(header + body)
        answer = netlink.recv(4096)
    error = -struct.unpack_from("i", answer, 16)[0]
    if error:
        raise OSError(error, os.strerror(error), "rtnetlink")
