"""Passwords among the arguments of processes: which are found, and where the lab does not look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_lab.processes import WATCH, among_arguments

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    for number, line in enumerate((b"lftp\0-u\0me,s3cret", b"curl\0ftp://me:p%40ss@host/", b"sh\0-c\0xdisguisedx")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_bytes(line)
    (tmp_path / "99").mkdir()  # a process that has ended meanwhile
    return tmp_path


@pytest.mark.parametrize(
    ("password", "found"), [("s3cret", True), ("p@ss", True), ("disguised", False), ("-u", False), ("other", False)]
)
def test_password_is_found_among_arguments(
    password: str, found: bool, proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WATCH, "1")
    assert among_arguments(password, proc) is found


def test_arguments_are_not_searched_without_the_watch_variable(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WATCH, raising=False)
    assert not among_arguments("s3cret", proc)
