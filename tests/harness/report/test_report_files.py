"""Reports are written completely or not at all, and refused before the run if they cannot be written."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.report.files import check_target, write


def test_new_file_has_ordinary_permissions(tmp_path: Path) -> None:
    write(str(tmp_path / "new.json"), "ü\n")
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert (tmp_path / "new.json").read_bytes() == "ü\n".encode()
    assert stat.S_IMODE((tmp_path / "new.json").stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text("old")
    path.chmod(0o600)
    write(str(path), "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["old.json"]


def test_symlink_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write(str(tmp_path / "link"), "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "text"


def test_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file is replaced only after the new one is complete."""
    path = tmp_path / "old.json"
    path.write_text("old")

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_room)
    with pytest.raises(HarnessError, match=r"old\.json was not written: No space left on device$"):
        write(str(path), "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["old.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_device_is_written_to_and_not_replaced() -> None:
    with pytest.raises(HarnessError, match="/dev/full was not written: No space left on device"):
        write("/dev/full", "text")
    write("/dev/null", "text")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_fifo_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    write(str(fifo), "text")
    reader.join(5)
    assert read == ["text"]


def test_dash_means_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    write("-", "text")
    assert capsys.readouterr().out == "text"


def test_folder_or_missing_parent_is_refused_as_a_target(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--json .*: this is a folder"):
        check_target("--json", str(tmp_path))
    with pytest.raises(UsageError, match=r"--json .*: the folder .*/missing"):
        check_target("--json", str(tmp_path / "missing/file"))
    for name in ("-", "/dev/null", str(tmp_path / "new.json")):
        check_target("--json", name)


def test_target_in_an_unwritable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so the test replaces the system's answer."""
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    with pytest.raises(UsageError, match="no permission to write there"):
        check_target("--json", str(tmp_path / "new.json"))
