"""The sealed HOME: private, complete, copied for controls, and removed afterwards."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox.home import Home
from ftps_harness.sandbox.watching import watched

if TYPE_CHECKING:
    from ftps_harness.words import Folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_folders_are_below_one_private_folder(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        assert home.root.parent == tmp_path
        for folder in (home.root, home.home, home.dot_lftp, home.elsewhere, home.downloads, home.uploads, home.logs):
            assert folder.is_dir()
            assert mode(folder) == 0o700
            assert folder == home.root or home.root in folder.parents
        assert home.dot_lftp == home.home / ".lftp"


def test_logs_are_outside_home_and_always_at_the_same_path(tmp_path: Path) -> None:
    """Each log starts empty at the previous log's path, so an rc cannot use it to tell a step from its control."""
    with Home(tmp_path) as home, home.clone() as copy:
        log = home.next_log()
        log.write_text("of the run before")
        assert home.next_log() == log
        assert log.read_bytes() == b""
        assert copy.next_log().relative_to(copy.root) == log.relative_to(home.root)
        assert home.home not in log.parents
        assert home.elsewhere not in log.parents


def test_clone_has_dot_lftp_exactly_as_the_original(tmp_path: Path) -> None:
    """An extra .lftp would hide ~/.config/lftp/rc; a .lftp that is a link stays one."""
    with Home(tmp_path) as home:
        home.dot_lftp.rmdir()
        with home.clone() as copy:
            assert list(copy.home.iterdir()) == []
        home.dot_lftp.symlink_to("dotfiles")
        with home.clone() as copy:
            assert copy.dot_lftp.readlink() == Path("dotfiles")


def test_rc_is_written_byte_for_byte_and_replaced(tmp_path: Path) -> None:
    """No character is dropped or converted, not even a byte-order mark or a CR."""
    with Home(tmp_path) as home:
        home.write_rc("a long first version of it\n")
        path = home.write_rc("\ufeffset x y\r\n")
        assert path == home.dot_lftp / "rc"
        assert path.read_bytes() == b"\xef\xbb\xbfset x y\r\n"


@pytest.mark.parametrize(("private", "expected"), [(True, 0o600), (False, 0o644)])
def test_private_file_is_readable_by_its_owner_only(tmp_path: Path, private: bool, expected: int) -> None:
    old = os.umask(0o022)
    try:
        with Home(tmp_path) as home:
            assert mode(home.put_file("k", b"x", private=private)) == expected
    finally:
        os.umask(old)


def test_file_replaced_by_a_key_becomes_private(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.put_file("k", b"public")
        assert mode(home.put_file("k", b"key", private=True)) == 0o600


@pytest.mark.parametrize(("folder", "where"), [("lftp", "home/.lftp"), ("home", "home"), ("elsewhere", "elsewhere")])
def test_files_are_put_into_the_named_folder(tmp_path: Path, folder: Folder, where: str) -> None:
    with Home(tmp_path) as home:
        path = home.put_file("certs/my pin.crt", b"data", folder=folder)
        assert path == home.root / where / "certs" / "my pin.crt"
        assert path.read_bytes() == b"data"
        assert home.folder(folder) == home.root / where


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", ".", "", "a/../.."])
def test_file_name_that_escapes_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with Home(tmp_path) as home, pytest.raises(HarnessError, match="the path escapes"):
        home.put_file(name, b"x")


def test_symlink_is_replaced_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"untouched")
    with Home(tmp_path) as home:
        (home.dot_lftp / "rc").symlink_to(outside)
        home.write_rc("set x y\n")
        assert outside.read_bytes() == b"untouched"


def test_clone_of_a_home_without_dot_lftp_has_none(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.dot_lftp.rmdir()
        with home.clone() as copy:
            assert not copy.dot_lftp.exists()


def test_clone_has_home_and_uploads_and_is_independent(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.write_rc("set x y\n")
        home.put_file("k", b"key", private=True)
        home.put_file("p", b"pin", folder="elsewhere")
        home.put_upload("u", b"up")
        (home.downloads / "d").write_bytes(b"down")
        home.next_log().write_bytes(b"log")
        with home.clone() as copy:
            assert (copy.dot_lftp / "rc").read_bytes() == b"set x y\n"
            assert mode(copy.dot_lftp / "k") == 0o600
            assert (copy.elsewhere / "p").read_bytes() == b"pin"
            assert (copy.uploads / "u").read_bytes() == b"up"
            assert not list(copy.downloads.iterdir())
            assert not list(copy.logs.iterdir())
            copy.write_rc("set x z\n")
            assert (home.dot_lftp / "rc").read_bytes() == b"set x y\n"
        assert home.root.exists()


@pytest.mark.parametrize("name", ["home", "elsewhere", "downloads", "uploads", "log", "tmp", "shm"])
def test_link_in_place_of_a_folder_is_replaced(tmp_path: Path, name: str) -> None:
    """A client in a sandbox can link to any path; outside, that is a folder of this machine."""
    (tmp_path / "victim/.lftp").mkdir(parents=True)
    (tmp_path / "victim/file").write_text("keep")
    with Home(tmp_path) as home:
        (home.root / name).rename(home.root / "aside")
        (home.root / name).symlink_to(tmp_path / "victim")
        home.reopen()
        home.clear()
        home.next_log()
        home.put_upload("file", b"new")
        home.write_rc("new")
        with home.clone() as copy:
            assert not (copy.home / "file").exists()
    assert {path.name for path in (tmp_path / "victim").iterdir()} == {".lftp", "file"}
    assert (tmp_path / "victim/file").read_text() == "keep"


def test_file_is_never_written_through_a_link_that_leads_out(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    with Home(tmp_path) as home:
        home.dot_lftp.rmdir()
        home.dot_lftp.symlink_to(tmp_path / "victim")
        with pytest.raises(HarnessError, match="a symbolic link in this path leads out"):
            home.write_rc("new")
        with pytest.raises(HarnessError, match="a symbolic link in this path leads out"):
            home.put_file("file", b"new")
        home.dot_lftp.unlink()
        (home.home / "dotfiles").mkdir()
        home.dot_lftp.symlink_to("dotfiles")
        assert home.write_rc("new").resolve() == home.home / "dotfiles/rc"
    assert list((tmp_path / "victim").iterdir()) == []


def test_clear_removes_logs(tmp_path: Path) -> None:
    """Messages of an earlier run would be read again, and would show a setup that it ran before."""
    with Home(tmp_path) as home:
        (home.logs / "0123.marks").write_bytes(b"end-0123")
        home.clear()
        assert not list(home.logs.iterdir())


def test_clear_removes_downloads(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        (home.downloads / "mirror").mkdir()
        (home.downloads / "mirror" / "d").write_bytes(b"down")
        home.clear()
        assert not list(home.downloads.iterdir())


def test_close_removes_everything_and_is_repeatable(tmp_path: Path) -> None:
    home = Home(tmp_path)
    locked = home.home / "locked"
    locked.mkdir()
    (locked / "file").write_bytes(b"x")
    locked.chmod(0)
    home.close()
    home.close()
    assert not list(tmp_path.iterdir())


def test_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Home(tmp_path):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_parent_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"cannot create a private folder below .*gone.* TMPDIR"):
        Home(tmp_path / "gone")


def test_full_disk_is_an_error_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(HarnessError, match="No space left on device"):
        Home(tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


def test_next_log_is_made_without_opening_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked process about to exec would close its copy of the descriptor while the log is watched: a second writer.

    Measured before: 27 of 4,320 runs ("2 programs wrote into it"), four at a time in three processes; 0 of 1,980 after.
    """
    with Home() as home:
        home.next_log()
        monkeypatch.setattr(os, "open", lambda *_, **__: pytest.fail("opened"))
        path = home.next_log()
        monkeypatch.undo()
        assert (path.read_bytes(), path.stat().st_mode & 0o777, path.stat().st_mtime) == (b"", 0o600, 0)
        with watched(path) as watch:
            pass
        assert (watch.writers, watch.replaced) == (0, False)
