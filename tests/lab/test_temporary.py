"""Temporary folders: private, removed at their end, cleared after a SIGKILL, and never taken from a live process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from tests.ordinary import without_root_powers

from ftps_lab import temporary
from ftps_lab.errors import LabError
from ftps_lab.temporary import PREFIX, Folder

HOLD = """
import sys, time
from pathlib import Path
from ftps_lab.temporary import Folder
folder = Folder("held", Path(sys.argv[1]))
(folder.path / "closed").mkdir()
(folder.path / "closed" / "file").write_text("x")
(folder.path / "closed").chmod(0)
print(folder.path, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def not_cleared() -> None:
    """Make each test look like a process that has just started."""
    temporary.clear_leftovers.cache_clear()


def hold(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_private_and_gone_at_its_end(tmp_path: Path) -> None:
    with Folder("kind", tmp_path) as folder:
        assert folder.path.parent == tmp_path
        assert folder.path.name.startswith(f"{PREFIX}kind-")
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        (folder.path / "below").mkdir()
    assert list(tmp_path.iterdir()) == []
    folder.close()  # a second call does nothing


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    """It contains a folder that no one may enter, and an ordinary user can clear it too."""
    process, left = hold(tmp_path)
    with process:
        process.send_signal(signal.SIGKILL)
    assert left.exists()
    with without_root_powers(), Folder("next", tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder.path]


def test_what_a_living_process_holds_stays(tmp_path: Path) -> None:
    process, held = hold(tmp_path)
    with process:
        try:
            with Folder("next", tmp_path):
                assert (held / "closed").exists()
        finally:
            process.kill()


def test_what_is_not_of_this_name_or_no_folder_stays(tmp_path: Path) -> None:
    """A link in particular stays: its target is not ours."""
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(other)
    (tmp_path / f"{PREFIX}file").touch()
    with Folder("next", tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"other", f"{PREFIX}link", f"{PREFIX}file"}


def test_without_locks_nothing_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without locks, it is impossible to tell whether an owner lives; folders can still be made."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp_path / f"{PREFIX}home-x").mkdir()
    with Folder("next", tmp_path) as folder:
        assert folder.path.exists()
    assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}home-x"]


def test_many_that_start_at_once_do_not_clear_each_others_folders(tmp_path: Path) -> None:
    """A folder is created and then locked: in between it looks as if it had no owner."""
    ends = threading.Event()
    failed: list[BaseException] = []

    def clear() -> None:
        while not ends.is_set():
            temporary.clear_leftovers.cache_clear()
            temporary.clear_leftovers(tmp_path)

    def make() -> None:
        try:
            for _ in range(200):
                with Folder("made", tmp_path) as folder:
                    (folder.path / "file").write_text("x")
        except BaseException as error:  # noqa: BLE001 - it surfaces below
            failed.append(error)

    clearing = [threading.Thread(target=clear) for _ in range(2)]
    making = [threading.Thread(target=make) for _ in range(4)]
    for thread in (*clearing, *making):
        thread.start()
    for thread in making:
        thread.join()
    ends.set()
    for thread in clearing:
        thread.join()
    assert failed == []
    assert list(tmp_path.iterdir()) == []


def test_the_place_is_tmpdir_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "link"))
    assert temporary.place() == tmp_path / "real"


@pytest.mark.parametrize("name", ["with blank", "it's", 'say "x"', "a;b", "a&b", "a|b", "a>b", "a\tb"])
def test_where_lftp_reads_no_rc_another_place_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    monkeypatch.setattr(temporary, "_ELSEWHERE", (str(tmp_path / "none"), str(tmp_path / "elsewhere")))
    assert temporary.place() == tmp_path / "elsewhere"
    monkeypatch.setattr(temporary, "_ELSEWHERE", ())
    with pytest.raises(LabError, match="set TMPDIR to a folder without them"):
        temporary.place()


@pytest.fixture
def unchosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable says where temporary files go."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")  # noqa: S108 - the default that is asked about


@pytest.mark.usefixtures("unchosen")
def test_the_quick_place_is_memory_where_it_takes_what_a_disk_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path)
    monkeypatch.setattr(temporary, "_ROOM", 1)
    assert temporary.quick_place() == tmp_path
    monkeypatch.setattr(temporary, "_ROOM", 1 << 60)
    assert temporary.quick_place() == temporary.wanted_place()
    monkeypatch.setattr(temporary, "_ROOM", 1)
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path / "none")
    assert temporary.quick_place() == temporary.wanted_place()


@pytest.mark.usefixtures("unchosen")
def test_the_quick_place_can_hold_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's /dev/shm is often mounted noexec."""
    state = list(os.statvfs(tmp_path))
    state[8] |= os.ST_NOEXEC
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path)
    monkeypatch.setattr(temporary, "_ROOM", 1)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(state))
    assert temporary.quick_place() == temporary.wanted_place()


@pytest.mark.usefixtures("unchosen")
@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP"])
def test_who_chooses_a_place_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path / "memory")
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(temporary, "_ROOM", 1)
    assert temporary.quick_place() == tmp_path / "memory"
    monkeypatch.setenv(name, "/tmp")  # noqa: S108 - even the default
    assert temporary.quick_place() == temporary.wanted_place()
    monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert temporary.quick_place() == tmp_path


def test_letters_of_any_language_are_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Übung-日本").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "Übung-日本"))
    assert temporary.place() == tmp_path / "Übung-日本"


def test_what_has_something_mounted_below_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the matrix's folder is only the path to a mount, so it has no lock there."""
    way = tmp_path / f"{PREFIX}matrix-a b"
    (way / "pair").mkdir(parents=True)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"61 60 0:1 / {str(way).replace(' ', chr(92) + '040')}/pair rw - ext4 /dev/x rw\n")
    monkeypatch.setattr(temporary, "MOUNTS", mounts)
    with Folder("next", tmp_path):
        assert (way / "pair").exists()
    temporary.clear_leftovers.cache_clear()
    mounts.write_text("")
    with Folder("next", tmp_path):
        assert not way.exists()
