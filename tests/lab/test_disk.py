"""A client's unreadable files are still listed, read, copied and removed, by root and by an ordinary user."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ordinary import without_root_powers

from ftps_lab import disk
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _without_root_powers() -> Iterator[None]:
    """Make file modes bind us, as they bind an ordinary user."""
    with without_root_powers():
        yield


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder with an unreadable folder in it, an unreadable file in that, and a link to the file."""
    folder = tmp_path / "it"
    inner = folder / "closed"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"content")
    (inner / "link").symlink_to("file")
    (inner / "file").chmod(0)
    inner.chmod(0)
    folder.chmod(0)
    return folder


def test_file_modes_bind_these_tests(closed: Path) -> None:
    """Otherwise every test below would pass for root whatever the code does."""
    with pytest.raises(PermissionError):
        list(closed.iterdir())


def test_below_lists_unreadable_folders_without_changing_modes(closed: Path) -> None:
    found = {path.name: path for path, _ in disk.below(closed)}
    assert set(found) == {"closed", "file", "link"}
    assert mode(found["file"]) == 0, "a file's mode and time of change are evidence: listing leaves both alone"


def test_read_restores_the_mode_of_an_unreadable_file(closed: Path) -> None:
    (file,) = (path for path, _ in disk.below(closed) if path.name == "file")
    assert disk.read(file) == b"content"
    assert mode(file) == 0


def test_is_file_works_after_open_folder(closed: Path) -> None:
    disk.open_folder(closed)
    assert disk.is_file(closed / "closed" / "file")
    assert not disk.is_file(closed / "closed" / "missing")


def test_copy_of_an_unreadable_folder_keeps_file_modes(closed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    disk.copy(closed, copy)
    assert mode(copy / "closed" / "file") == mode(closed / "closed" / "file") == 0
    assert (copy / "closed" / "link").readlink() == Path("file")
    assert disk.read(copy / "closed" / "file") == b"content"


def test_remove_deletes_an_unreadable_folder(closed: Path) -> None:
    disk.remove(closed)
    assert not closed.exists()
    disk.remove(closed)  # a second call does nothing


def test_remove_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    outside.chmod(0o500)
    folder = tmp_path / "it"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    disk.remove(folder)
    assert (outside / "kept").read_bytes() == b"kept"
    assert mode(outside) == 0o500


def test_read_through_a_link_is_refused_and_changes_no_mode(tmp_path: Path) -> None:
    """The target may be any file on this machine."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    secret.chmod(0)
    link = tmp_path / "link"
    link.symlink_to(secret)
    with pytest.raises(LabError, match="cannot read"):
        disk.read(link)
    assert mode(secret) == 0


def test_failed_removal_is_a_lab_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "it"
    folder.mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "rmdir", refuse)
    with pytest.raises(LabError, match=r"cannot remove .*: Permission denied; remove it by hand"):
        disk.remove(folder)


def test_only_a_regular_file_of_our_own_is_read(tmp_path: Path) -> None:
    """A FIFO would wait, a link could lead anywhere."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert disk.read_own(tmp_path / "file") == b"content"
    assert disk.read_own(tmp_path / "file", 3) == b"con"
    assert [disk.read_own(tmp_path / name) for name in ("fifo", "folder", "link", "missing")] == [None] * 4


def test_folder_with_paths_beyond_the_limit_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program can make them step by step."""
    folder = tmp_path / "deep"
    folder.mkdir()
    with monkeypatch.context() as there:
        there.chdir(folder)
        for _ in range(50):
            Path("x" * 200).mkdir()
            os.chdir("x" * 200)
    disk.remove(folder)
    assert not folder.exists()
