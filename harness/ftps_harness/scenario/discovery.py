"""Find scenario files below a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ftps_harness.errors import UsageError
from ftps_harness.scenario.parsing import id_of
from ftps_harness.scenario.reading import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_OURS = frozenset({"__pycache__", "node_modules", "site-packages"})


def catalogue(root: Path) -> dict[str, Path]:
    """Every `*.scenario.toml` below a folder, by id, sorted by id.

    Skips hidden folders and installed packages (one of which has our own catalogue).

    Args:
        root: The folder.

    Raises:
        UsageError: The folder does not exist or cannot be read, or two files have the same id.
    """
    found: dict[str, Path] = {}
    try:
        paths = sorted(_below(str(root)))
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
    for path in map(Path, paths):
        if (twin := found.setdefault(id_of(path), path)) != path:
            raise UsageError(f"{path} and {twin} have the same id, {id_of(path)}; rename one of them")
    return dict(sorted(found.items()))


def _below(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in _NOT_OURS:
                    yield from _below(entry.path)
            elif entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                yield entry.path
