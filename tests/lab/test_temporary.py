"""Temporary folders: private, removed at their end, removed after a SIGKILL, and never taken from a live process."""

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

HOLD_A_FOLDER = """
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
def _not_cleared() -> None:
    """Make each test look like a process that has just started."""
    temporary.clear_leftovers.cache_clear()


def hold(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a temporary folder, and that folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD_A_FOLDER, str(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_folder_is_private_and_removed_on_close(tmp_path: Path) -> None:
    with Folder("kind", tmp_path) as folder:
        assert folder.path.parent == tmp_path
        assert folder.path.name.startswith(f"{PREFIX}kind-")
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        (folder.path / "below").mkdir()
    assert list(tmp_path.iterdir()) == []
    folder.close()  # a second call does nothing


def test_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    """Even if it contains an unreadable folder, and by an ordinary user."""
    process, left = hold(tmp_path)
    with process:
        process.send_signal(signal.SIGKILL)
    assert left.exists()
    with without_root_powers(), Folder("next", tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder.path]


def test_folder_of_a_live_process_stays(tmp_path: Path) -> None:
    process, held = hold(tmp_path)
    with process:
        try:
            with Folder("next", tmp_path):
                assert (held / "closed").exists()
        finally:
            process.kill()


def test_other_names_links_and_files_stay(tmp_path: Path) -> None:
    """The target of a link is not ours."""
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(other)
    (tmp_path / f"{PREFIX}file").touch()
    with Folder("next", tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"other", f"{PREFIX}link", f"{PREFIX}file"}


def test_nothing_is_removed_where_locks_are_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is then unknown whether an owner lives; new folders can still be made."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    (tmp_path / f"{PREFIX}home-x").mkdir()
    with Folder("next", tmp_path) as folder:
        assert folder.path.exists()
    assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}home-x"]


def test_concurrent_processes_do_not_remove_each_others_folders(tmp_path: Path) -> None:
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


def test_place_is_tmpdir_with_links_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "link"))
    assert temporary.place() == tmp_path / "real"


@pytest.mark.parametrize("name", ["with blank", "it's", 'say "x"', "a;b", "a&b", "a|b", "a>b", "a\tb"])
def test_place_avoids_paths_below_which_lftp_reads_no_rc(
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
def no_tmpdir_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable says where temporary files go."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")  # noqa: S108 - the default that is asked about


@pytest.mark.usefixtures("no_tmpdir_set")
def test_quick_place_is_memory_if_it_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path)
    monkeypatch.setattr(temporary, "_ROOM", 1)
    assert temporary.quick_place() == tmp_path
    monkeypatch.setattr(temporary, "_ROOM", 1 << 60)
    assert temporary.quick_place() == temporary.wanted_place()
    monkeypatch.setattr(temporary, "_ROOM", 1)
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path / "none")
    assert temporary.quick_place() == temporary.wanted_place()


@pytest.mark.usefixtures("no_tmpdir_set")
def test_quick_place_is_not_mounted_noexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's /dev/shm often is."""
    state = list(os.statvfs(tmp_path))
    state[8] |= os.ST_NOEXEC
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path)
    monkeypatch.setattr(temporary, "_ROOM", 1)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(state))
    assert temporary.quick_place() == temporary.wanted_place()


@pytest.mark.usefixtures("no_tmpdir_set")
@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP"])
def test_quick_place_is_the_users_choice_if_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(temporary, "_MEMORY", tmp_path / "memory")
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(temporary, "_ROOM", 1)
    assert temporary.quick_place() == tmp_path / "memory"
    monkeypatch.setenv(name, "/tmp")  # noqa: S108 - even the default
    assert temporary.quick_place() == temporary.wanted_place()
    monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert temporary.quick_place() == tmp_path


def test_place_may_have_non_ascii_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Übung-日本").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "Übung-日本"))
    assert temporary.place() == tmp_path / "Übung-日本"


def test_folder_with_a_mount_below_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
