"""Watches a file while programs run: whether any process but its only writer wrote to it or moved it (inotify(7)).

The kernel reports each open and close, by any path and from any namespace. Linux only: elsewhere, and if the kernel
grants no more watches, nothing is seen.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ATTRIB, _CLOSE_WRITE, _CLOSE_NOWRITE, _OPEN = 0x4, 0x8, 0x10, 0x20
_MOVE_SELF, _DELETE_SELF, _OVERFLOW = 0x800, 0x400, 0x4000
_EVENTS = _ATTRIB | _CLOSE_WRITE | _CLOSE_NOWRITE | _OPEN | _MOVE_SELF | _DELETE_SELF
_HEAD = struct.Struct("iIII")
_READ = 1 << 16

_idle: queue.SimpleQueue[int] = queue.SimpleQueue()
"""Instances for reuse: closing one waits 10 ms for the kernel (measured: Linux 6.18)."""


class Watch:
    """The events of one file.

    Attributes:
        writers: How often a descriptor open for writing was closed; None if that is not observable.
        replaced: It was renamed, removed or linked to, its mode or times were set, or its folder was renamed: then the
            path may lead to another file meanwhile.
    """

    def __init__(self) -> None:
        self.writers: int | None = None
        self.replaced = False


@contextlib.contextmanager
def watched(file: Path) -> Iterator[Watch]:
    """Watch an existing file; when the context ends, the watch contains what was seen.

    Its folder is watched too: inotify(7) merges two equal events in a row, and the folder's events separate those of
    the file. A path through another folder needs a link first, which is an event itself.
    """
    watch = Watch()
    if sys.platform != "linux" or (instance := _instance()) is None:
        yield watch
        return
    libc = ctypes.CDLL(None, use_errno=True)
    marks = [libc.inotify_add_watch(instance, os.fsencode(path), _EVENTS) for path in (file.parent, file)]
    try:
        yield watch
        if min(marks) >= 0:
            _read(instance, marks, watch)
    finally:
        for mark in marks:
            libc.inotify_rm_watch(instance, mark)
        _drain(instance)
        _idle.put(instance)


def _instance() -> int | None:
    try:
        return _idle.get_nowait()
    except queue.Empty:
        instance: int = ctypes.CDLL(None, use_errno=True).inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        return instance if instance >= 0 else None


def _read(instance: int, marks: Sequence[int], watch: Watch) -> None:
    folder, mark = marks
    watch.writers = 0
    for data in _waiting(instance):
        at = 0
        while at < len(data):
            of, events, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            watch.writers += of == mark and bool(events & _CLOSE_WRITE)
            watch.replaced |= of == mark and bool(events & (_ATTRIB | _MOVE_SELF | _DELETE_SELF))
            watch.replaced |= of == folder and bool(events & (_MOVE_SELF | _DELETE_SELF))
            watch.replaced |= bool(events & _OVERFLOW)


def _waiting(instance: int) -> Iterator[bytes]:
    with contextlib.suppress(BlockingIOError):
        while True:
            yield os.read(instance, _READ)


def _drain(instance: int) -> None:
    for _ in _waiting(instance):
        pass
