"""The build context of an image, as a tar in memory: the repository's files, from a checkout or an installed wheel.

The same files give the same bytes, wherever they came from and whenever they were written: their hash names the image.
"""

from __future__ import annotations

import io
import os
import tarfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import ftps_lab
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_IN_THE_WHEEL = {
    "lab/images": "ftps_lab/images",
    "lab/ftps_lab": "ftps_lab",
    "harness/images": "ftps_harness/images",
    "harness/ftps_harness": "ftps_harness",
    "scenarios": "ftps_harness/catalogue",
}
"""Where an installed wheel has the repository's folders, below site-packages (pyproject.toml, force-include)."""

_GUESTS = {"ftps_lab": ("images",), "ftps_harness": ("images", "catalogue")}
"""Folders of a wheel's packages that are elsewhere in the repository."""


def pack(paths: Sequence[str]) -> bytes:
    """A tar of files and folders, named as in the repository.

    Args:
        paths: Such as ``lab/images/lab`` and ``scenarios``.

    Raises:
        LabError: One is missing.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, path in sorted(file for each in paths for file in _files(each)):
            member = tarfile.TarInfo(name)
            content = path.read_bytes()
            member.size = len(content)
            member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def find(path: str) -> Path:
    """The path of a repository's file or folder on this machine.

    Raises:
        LabError: Neither a checkout nor the installed wheel has it.
    """
    for base, inside in _places(path):
        if (found := base / inside).exists():
            return found
    raise LabError(
        f"{path}: missing, but the container images are built from it; reinstall ftps-lab, or run it in its repository"
    )


def _places(path: str) -> Iterator[tuple[Path, str]]:
    package = _package()
    if package.parent.name == "lab":
        yield package.parent.parent, path
    for ours, theirs in _IN_THE_WHEEL.items():
        if path == ours or path.startswith(f"{ours}/"):
            yield package.parent, theirs + path.removeprefix(ours)


@cache
def _package() -> Path:
    return Path(ftps_lab.__file__).resolve().parent


def _files(path: str) -> Iterator[tuple[str, Path]]:
    """Every file below a path of the repository, without hidden files, caches and links."""
    top = find(path)
    if top.is_file():
        yield path, top
        return
    guests = _GUESTS.get(top.name, ())
    for folder, folders, names in os.walk(top):
        at_top = Path(folder) == top
        folders[:] = [each for each in folders if not (_ignored(each) or (at_top and each in guests))]
        for name in names:
            file = Path(folder, name)
            if not _ignored(name) and not file.is_symlink():
                yield f"{path}/{file.relative_to(top).as_posix()}", file


def _ignored(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith((".pyc", ".pyo", "~"))
