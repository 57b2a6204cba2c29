"""A capture of every packet on a loopback, through the kernel's ring (packet(7), PACKET_RX_RING, version 3).

The kernel and the capture share the ring's memory: a socket's ordinary buffer (200 KiB on most machines) would lose
packets in any transfer. Packets lost nevertheless are counted.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from ftps_lab.errors import LabError
from ftps_lab.wire.flows import Flows, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

_SOL_PACKET, _PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 263, 5, 6, 10
_TPACKET_V3 = 2
_SO_ATTACH_FILTER = 26
_ETH_P_ALL = 0x0003

_BLOCK = 1 << 17
"""Bytes in a block; a loopback packet has at most 64 KiB and a few headers."""
_BLOCKS = 192
_RETIRE_MS = 50
"""Milliseconds after which the kernel releases a block that is not full; otherwise marks fill it."""
_USER = 1
"""TP_STATUS_USER: a block is ours to read."""

_PACKET = struct.Struct("=I8xI8xH")
"""Fields of struct tpacket3_hdr: offset of the next one, length of the packet, and where it starts."""

_OUTGOING = ((0x28, 0, 0, 0xFFFFF004), (0x15, 0, 1, 4), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0))
"""Classic BPF: ``ldh pkttype; jeq #PACKET_OUTGOING; accept; drop``. On loopback every packet passes twice."""

_MARK_SECONDS, _AGAIN_SECONDS = 10.0, 0.2


class Capture:
    """Watches a loopback in its own thread.

    Args:
        sock: An AF_PACKET socket of the network namespace to watch, not yet bound; the capture owns it.
        mark: Sends marks through that loopback, ahead of anything requested later: two datagrams of `mark_size` bytes,
            of which no two fit into a block, that start with the token and the call's number (8 bytes, from 1).
        mark_port: The source and destination port of the marks; nothing else may use it.
        mark_size: Their length in bytes.
        token: A secret that the watched programs cannot know.

    Raises:
        LabError: The kernel provides no ring.
    """

    def __init__(
        self, sock: socket.socket, mark: Callable[[], None], mark_port: int, mark_size: int, token: bytes
    ) -> None:
        self._sock = sock
        self._mark = mark
        self._mark_header = struct.pack("!HHH", mark_port, mark_port, mark_size + 8)
        self._token = token
        self._flows = Flows()
        self._lost = 0
        self._marks_sent = self._marks_seen = self._begin_at = 0
        self._begun = True
        self._marked = threading.Condition()
        self._block = 0
        try:
            self._ring = _ring(sock)
        except OSError as error:
            sock.close()
            raise LabError(f"cannot capture the sandbox's loopback: {error.strerror or error}") from error
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="ftps-lab capture", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Discard everything so far once the mark sent now passes; the call does not wait for it."""
        with self._marked:
            self._marks_sent += 1
            self._begin_at = self._marks_sent
            self._begun = False
            self._count_lost()
            self._lost = 0  # now: later losses may be counted before the mark is seen
            self._mark()

    def traffic(self) -> Traffic:
        """All traffic since `begin`.

        Raises:
            LabError: The capture does not see its own marks.
        """
        self._wait_for_marks()
        with self._marked:
            return Traffic(self._flows.frozen(), self._lost + (not self._begun))  # that mark may itself be lost

    def close(self) -> None:
        """End it; repeatable."""
        if self._end >= 0:
            os.close(self._end)
            self._end = -1
            self._thread.join()
            os.close(self._ended)
            self._ring.close()
            self._sock.close()

    def _wait_for_marks(self) -> None:
        """Send marks until one is seen: by then every earlier packet has been read, or counted as lost."""
        with self._marked:
            wanted = self._marks_sent + 1
            until = time.monotonic() + _MARK_SECONDS
            while time.monotonic() < until:
                self._marks_sent += 1  # if the ring is full, a mark is lost too
                self._mark()
                if self._marked.wait_for(lambda: self._marks_seen >= wanted, _AGAIN_SECONDS):
                    return
        raise LabError(
            f"the capture of the sandbox's loopback did not see its own mark within {_MARK_SECONDS:.0f} seconds"
        )

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLERR)
        poll.register(self._ended, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._ended in ready:
                return
            while self._take_block():
                pass

    def _take_block(self) -> bool:
        start = self._block * _BLOCK
        status, count, offset = struct.unpack_from("=III", self._ring, start + 8)
        if not status & _USER:
            return False
        with self._marked:
            at = start + offset
            for _ in range(count):
                following, length, mac = _PACKET.unpack_from(self._ring, at)
                self._take(self._ring[at + mac : at + mac + length])
                at += following
            self._count_lost()
            self._marked.notify_all()
        struct.pack_into("=I", self._ring, start + 8, 0)  # TP_STATUS_KERNEL: back to the kernel
        self._block = (self._block + 1) % _BLOCKS
        return True

    def _take(self, packet: bytes) -> None:
        end = 42 + len(self._token)
        if packet[34:40] == self._mark_header and packet[42:end] == self._token:
            number = struct.unpack_from("!Q", packet, end)[0]
            if number == self._begin_at and not self._begun:
                self._flows, self._begun = Flows(), True
            self._marks_seen = number
        else:
            self._flows.take(packet)

    def _count_lost(self) -> None:
        with contextlib.suppress(OSError):
            statistics = self._sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
            self._lost += struct.unpack("=III", statistics)[1]


def _ring(sock: socket.socket) -> mmap.mmap:
    """Give the socket its ring, then bind it to loopback: in this order no packet passes unseen."""
    import ctypes

    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _OUTGOING))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_OUTGOING), ctypes.addressof(program)))
    sock.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
    frame = 1 << 11
    request = struct.pack("=IIIIIII", _BLOCK, _BLOCKS, frame, _BLOCK // frame * _BLOCKS, _RETIRE_MS, 0, 0)
    sock.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
    ring = mmap.mmap(sock.fileno(), _BLOCK * _BLOCKS, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    sock.bind(("lo", _ETH_P_ALL))
    return ring
