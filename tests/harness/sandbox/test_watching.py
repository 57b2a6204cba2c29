"""Every other writer of a watched file is counted, by any path and at any speed."""

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


def open_twice(file: Path) -> None:
    """Open the file twice with nothing in between."""
    first, second = (os.open(file, os.O_WRONLY | os.O_APPEND) for _ in range(2))
    os.close(first)
    os.close(second)


def write_by_another_link(file: Path) -> None:
    other = file.parent.parent / "other"
    os.link(file, other)
    other.write_text("x")


def write_by_descriptor_path(file: Path) -> None:
    with file.open("a") as one, open(f"/proc/self/fd/{one.fileno()}", "a") as other:  # noqa: PTH123 - a path of /proc
        other.write("x")


def replace_file(file: Path) -> None:
    file.unlink()
    file.write_text("x")


def move_folder_and_put_it_back(file: Path) -> None:
    """Meanwhile the path leads to another file, whose content is then copied."""
    aside = file.parent.rename(file.parent.parent / "aside")
    file.parent.mkdir()
    file.write_text("x")
    content = file.read_text()
    file.unlink()
    file.parent.rmdir()
    aside.rename(file.parent)
    file.write_text(content)


WRITERS: dict[str, tuple[Callable[[Path], object], int, bool]] = {
    "one writer": (lambda file: file.write_text("x"), 1, False),
    "a reader": (lambda file: (file.write_text("x"), file.read_text()), 1, False),
    "two writers": (lambda file: (file.write_text("x"), file.write_text("x")), 2, False),
    "two writers at once": (open_twice, 2, False),
    "a descriptor's path": (write_by_descriptor_path, 2, False),
    "another link": (write_by_another_link, 1, True),
    "another file": (replace_file, 0, True),
    "moved and put back": (lambda file: file.rename(file.parent / "x").rename(file), 0, True),
    "its folder moved and put back": (move_folder_and_put_it_back, 1, True),
    "no writer": (lambda _: None, 0, False),
}


@pytest.mark.parametrize("case", WRITERS)
def test_writers_and_replacements_are_counted(tmp_path: Path, case: str) -> None:
    act, writers, replaced = WRITERS[case]
    (tmp_path / "log").mkdir()
    file = tmp_path / "log" / "file"
    for _ in range(2):  # again with the same path: nothing of the first round may remain
        file.write_text("")
        (tmp_path / "other").unlink(missing_ok=True)
        with watched(file) as watch:
            act(file)
        assert (watch.writers, watch.replaced) == (writers, replaced)


def test_missing_file_has_an_unknown_number_of_writers(tmp_path: Path) -> None:
    with watched(tmp_path / "none") as watch:
        pass
    assert watch.writers is None
