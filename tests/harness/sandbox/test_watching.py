"""Every other writer of a watched file is seen, by any path and at any speed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from ftps_harness.sandbox.watching import watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def opened_twice(file: Path) -> None:
    """Open the file twice with nothing in between."""
    first, second = (os.open(file, os.O_WRONLY | os.O_APPEND) for _ in range(2))
    os.close(first)
    os.close(second)


def by_another_link(file: Path) -> None:
    other = file.parent.parent / "other"
    os.link(file, other)
    other.write_text("x")


def by_a_descriptor(file: Path) -> None:
    with file.open("a") as one, open(f"/proc/self/fd/{one.fileno()}", "a") as other:  # noqa: PTH123 - a path of /proc
        other.write("x")


def replaced_by_another(file: Path) -> None:
    file.unlink()
    file.write_text("x")


MEDDLING: dict[str, tuple[Callable[[Path], object], int, bool]] = {
    "one writer": (lambda file: file.write_text("x"), 1, False),
    "a reader": (lambda file: (file.write_text("x"), file.read_text()), 1, False),
    "two writers": (lambda file: (file.write_text("x"), file.write_text("x")), 2, False),
    "two writers at once": (opened_twice, 2, False),
    "a descriptor's path": (by_a_descriptor, 2, False),
    "another link": (by_another_link, 1, True),
    "another file": (replaced_by_another, 0, True),
    "moved and put back": (lambda file: file.rename(file.parent / "x").rename(file), 0, True),
    "nobody": (lambda _: None, 0, False),
}


@pytest.mark.parametrize("meddling", MEDDLING)
def test_who_wrote_is_counted(tmp_path: Path, meddling: str) -> None:
    act, writers, replaced = MEDDLING[meddling]
    (tmp_path / "log").mkdir()
    file = tmp_path / "log" / "file"
    for _ in range(2):  # again with the same path: nothing of the first round may remain
        file.write_text("")
        (tmp_path / "other").unlink(missing_ok=True)
        with watched(file) as watch:
            act(file)
        assert (watch.writers, watch.replaced) == (writers, replaced)


def test_a_file_that_is_not_there_has_no_writers(tmp_path: Path) -> None:
    with watched(tmp_path / "none") as watch:
        pass
    assert watch.writers is None
