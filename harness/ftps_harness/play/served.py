"""Restores the served folder for a control to its state before the step.

A step may leave a trace on the server by which a setup can recognize the control: a file, its content, a time, a mode.
A setup that behaves differently when it finds one proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError
from ftps_lab import disk
from ftps_lab.temporary import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class _State:
    """The state of a file or a folder; a folder has no content."""

    content: bytes | None
    mode: int
    modified: int


class ServedFolder:
    """A snapshot of a folder, taken on creation: files and folders; links are ignored.

    Args:
        root: The folder that the server serves.

    Raises:
        LabError: Something in it cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._before = _states(root)

    @contextlib.contextmanager
    def as_it_was(self) -> Iterator[None]:
        """Restore the snapshot, and on exit the current state; what did not change is not touched.

        Raises:
            HarnessError: The folder cannot be changed.
            LabError: Something in it cannot be read.
        """
        after = _states(self._root)
        aside = [path for path in self._root.iterdir() if path not in self._before]
        with Folder("aside", self._root.parent) as folder:
            with _sentence(self._root):
                _move(aside, folder.path)
                _restore(self._root, self._before)
            try:
                yield
            finally:
                with _sentence(self._root):
                    _restore(
                        self._root, {path: each for path, each in after.items() if _top(path, self._root) not in aside}
                    )
                    _move(list(folder.path.iterdir()), self._root)
                    os.utime(self._root, ns=(after[self._root].modified,) * 2)


def _states(root: Path) -> dict[Path, _State]:
    found = {root: _state(root, root.stat())}
    found |= {path: _state(path, own) for path, own in disk.below(root) if not stat.S_ISLNK(own.st_mode)}
    return found


def _state(path: Path, own: os.stat_result) -> _State:
    content = disk.read(path) if stat.S_ISREG(own.st_mode) else None
    return _State(content, stat.S_IMODE(own.st_mode), own.st_mtime_ns)


def _top(path: Path, root: Path) -> Path:
    """The direct child of the root that is, or contains, the path."""
    return root / path.relative_to(root).parts[0] if path != root else root


def _move(paths: list[Path], folder: Path) -> None:
    for path in paths:
        path.rename(folder / path.name)


def _restore(root: Path, states: dict[Path, _State]) -> None:
    """Restore a folder to `states`: folders are created before their content, and get their times last."""
    now = _states(root)
    for path in sorted(now.keys() - states.keys(), reverse=True):
        path.rmdir() if now[path].content is None else path.unlink()
    changed = [path for path in sorted(states) if now.get(path) != states[path]]
    for path in changed:
        content = states[path].content
        if content is None:
            path.mkdir(exist_ok=True)
        elif path not in now or now[path].content != content:
            path.write_bytes(content)
    for path in sorted(states, reverse=True):
        own = path.stat()
        if stat.S_IMODE(own.st_mode) != states[path].mode:
            path.chmod(states[path].mode)
        if own.st_mtime_ns != states[path].modified:
            os.utime(path, ns=(own.st_atime_ns, states[path].modified))


@contextlib.contextmanager
def _sentence(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HarnessError(
            f"cannot restore {root} for a control to its state before the step: {error.strerror or error}"
        ) from error
