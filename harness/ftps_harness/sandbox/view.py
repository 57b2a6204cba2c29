"""The file system as programs inside see it: read-only, HOME always at the same path, and none of the user's files.

The supervisor imports it and forks for each program, so it uses only a small part of the standard library.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.sandbox import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

INSIDE = "/tmp/ftps-lab"  # noqa: S108 - a path in a private /tmp
"""The path of the sealed folder for every program inside, the same for step and control."""

_TEMPORARY = "/tmp"  # noqa: S108 - becomes private
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the same
_ALL = _TEMPORARY + "/all"
"""Where the supervisor keeps the folder that holds all sealed folders; programs never see it."""

_KEPT = frozenset(
    {
        *("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt", "etc", "nix", "gnu"),  # programs
        *("dev", "proc", "sys", "tmp"),  # created new, or read-only
    }
)
"""The entries of the root folder that stay; all others are empty inside. A socket or a FIFO would lead out of the
network namespace: a read-only file system prevents neither connecting to a socket's path nor writing to a FIFO
(unix(7), fifo(7)). /run has the sockets of resolvers and of the Docker engine, and any folder may have others. Sockets
in the folders that stay, such as the Nix daemon's, are hidden one by one (`sockets`)."""

_DEVICES = ("null", "zero", "full", "random", "urandom")
"""The only entries in /dev inside: with others, root could write to this machine's disks and kernel log."""

_EMPTIED_ANYWAY = ("var/tmp",)
"""Folders that programs expect inside an emptied folder."""

_LINKS = 8
"""Maximum number of symbolic links to follow from a system configuration file to the real file."""

_PLAIN = kernel.MS_NOSUID | kernel.MS_NODEV

_NO_LINK = os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW
"""For what a program could have replaced by a link in an earlier run: to the folders of other runs, say."""


def sockets() -> list[str]:
    """The absolute paths of the bound sockets in this network namespace (proc(5))."""
    lines = Path("/proc/net/unix").read_text("utf-8", "surrogateescape").splitlines()
    paths = {f"/{line.partition(' /')[2]}" for line in lines if " /" in line}
    return sorted(path for path in paths if _is_socket(path))


def _is_socket(path: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode)  # noqa: PTH116 - a text, not a Path
    return False


def enter_shared(folder: str, visible: Sequence[str], replaced: Mapping[str, str], hidden: Sequence[str] = ()) -> None:
    """Change the view of the calling process's mount namespace, for all later programs.

    Args:
        folder: Holds the sealed folders; the only writable folder.
        visible: Program folders and files that stay visible although their parent is emptied; a folder comes before
            its content.
        replaced: System files and folders, and their replacements inside; those that the system lacks are skipped.
        hidden: Sockets that would lead out.

    Raises:
        OSError: A mount is refused; `filename` says which.
    """
    opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in {folder, *visible, *replaced.values()}}
    top = sorted(path.name for path in Path("/").iterdir())
    emptied = [*(f"/{name}" for name in top if name not in _KEPT and _is_folder(f"/{name}")), _TEMPORARY]
    devices = {name: os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in _DEVICES}
    kernel.set_read_only("/", read_only=True, recursive=True)
    for path in emptied:
        kernel.mount("tmpfs", path, "tmpfs", _PLAIN, "mode=1777,size=64m")
    for name in _EMPTIED_ANYWAY:
        if f"/{name.split('/')[0]}" in emptied:
            Path("/", name).mkdir(mode=0o1777)
    _make_devices(devices)
    shown = [path for path in visible if any(_is_below(path, other) for other in (*emptied, _SHARED_MEMORY))]
    _show({path: opened.pop(path) for path in shown})
    for path in filter(_is_socket, hidden):
        kernel.mount("/dev/null", path, flags=kernel.MS_BIND)
    for path, ours in replaced.items():
        if (target := _real(path, emptied)) is not None:
            _bind(opened[ours], target)
            kernel.set_read_only(target, read_only=True)
    Path(_ALL).mkdir()
    _bind(opened[folder], _ALL)
    kernel.set_read_only(_ALL, read_only=False)
    for path in (*emptied, "/dev"):
        kernel.set_read_only(path, read_only=True)
    for descriptor in opened.values():
        os.close(descriptor)


def enter_own(name: str, visible: Sequence[str], shown: Mapping[str, str]) -> None:
    """Add a sealed folder and a private /tmp to the calling process's mount namespace, a copy of the shared one.

    Args:
        name: The sealed folder's name, below the one that holds all. Its folders ``tmp`` and ``shm`` become /tmp and
            /dev/shm, so its owner sees what was written there. If they are missing, these are in memory.
        visible: As for `enter_shared`.
        shown: Absolute paths, and the files or folders below the sealed folder that are shown there, writable. Missing
            parents are created in emptied folders.

    Raises:
        OSError: A mount is refused; `filename` says which.
    """
    descriptor = os.open(f"{_ALL}/{name}", os.O_PATH | os.O_CLOEXEC)
    ours = {path: os.open(f"{_ALL}/{name}/{part}", _NO_LINK) for path, part in shown.items()}
    again = [path for path in visible if _is_below(path, _TEMPORARY) or _is_below(path, _SHARED_MEMORY)]
    opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in again}
    for path, own in ((_TEMPORARY, "tmp"), (_SHARED_MEMORY, "shm")):
        try:
            folder = os.open(own, _NO_LINK | os.O_DIRECTORY, dir_fd=descriptor)
        except FileNotFoundError:
            kernel.mount("tmpfs", path, "tmpfs", _PLAIN, "mode=1777,size=256m")
        else:
            _bind(folder, path)
            os.close(folder)
    with contextlib.suppress(FileExistsError):
        os.mkdir(INSIDE, 0o700)  # noqa: PTH102 - pathlib costs more than the call
    _bind(descriptor, INSIDE)
    os.close(descriptor)
    _show(opened)
    for path in sorted(ours):  # a folder comes before its content
        _show_writable(path, ours[path])


def _show_writable(path: str, descriptor: int) -> None:
    """Mount a file or folder of the sealed folder at a path, creating the path if needed; close the descriptor."""
    target = Path(path)
    if not target.exists():
        top = f"/{target.parts[1]}"
        kernel.set_read_only(top, read_only=False)  # an emptied folder: anywhere else the path already exists
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        kernel.set_read_only(top, read_only=top != _TEMPORARY)
    _bind(descriptor, path)
    kernel.set_read_only(path, read_only=False)
    os.close(descriptor)


def _show(opened: Mapping[str, int]) -> None:
    """Mount folders and files at their old paths in emptied folders, and close the descriptors.

    With everything mounted in them: the kernel refuses to uncover what is below another user namespace's mounts, such
    as a volume in a container's project folder (mount_namespaces(7)), and some mounts hide sockets.
    """
    for path, descriptor in opened.items():
        folder = Path(path) if stat.S_ISDIR(os.fstat(descriptor).st_mode) else Path(path).parent
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not Path(path).exists():
            Path(path).touch()
        _bind(descriptor, path, kernel.MS_BIND | kernel.MS_REC)
        kernel.set_read_only(path, read_only=True, recursive=True)
        os.close(descriptor)


def _make_devices(devices: Mapping[str, int]) -> None:
    """Create a /dev with only the devices that every program may use."""
    kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
    for name, descriptor in devices.items():
        Path("/dev", name).touch()
        _bind(descriptor, f"/dev/{name}")
        os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path("/dev", name).symlink_to(f"/proc/self/fd/{number}")
    Path("/dev/fd").symlink_to("/proc/self/fd")
    Path(_SHARED_MEMORY).mkdir()


def _bind(descriptor: int, target: str, flags: int = kernel.MS_BIND) -> None:
    kernel.mount(f"/proc/self/fd/{descriptor}", target, flags=flags)


def _is_folder(path: str) -> bool:
    return Path(path).is_dir() and not Path(path).is_symlink()


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _real(path: str, emptied: Sequence[str]) -> str | None:
    """Resolve a path, creating the target if it is in an emptied folder (resolv.conf); None if nothing is there."""
    for _ in range(_LINKS):
        try:
            path = os.path.normpath(Path(path).parent / os.readlink(path))  # noqa: PTH115 - the text, not the target
        except OSError:
            break
    target = Path(path)
    if target.exists():
        return path
    if not any(_is_below(path, folder) for folder in emptied):
        return None
    for folder in reversed(list(_missing(target.parent))):
        folder.mkdir(mode=0o755)
    target.touch()
    return path


def _missing(folder: Path) -> Iterator[Path]:
    while not folder.exists():
        yield folder
        folder = folder.parent
